"""Trains what the zoo plans, network after network, each from where it stands; lists what is done and what is left.

    make train-all                                            # planned, done, left, in core-hours
    nohup nice make train-all GO=train &                      # one thread; stopped, the same command goes on
    KERAS_BACKEND=torch python tuners/train_all.py train --only max_former_small_c10

The plan is tuners/trainings.json: of each entry its config and recipe, files in this folder; its data set; and the
logits of its teacher. Runs are kept in --runs, a folder each. Hours to come follow from the epochs that a run has; of
one that has not begun, from its operations and the seconds of the runs that have; where there are none, of the zoo's
cards. What is trained is published by hand, once, for publishing reads the test images: the list says by which command.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import kspike
from kspike.training import Recipe, read_history
from kspike.tuners.engine.constraints import counted

HERE = Path(__file__).resolve().parent
#: Training images of a data set.
IMAGES = {"cifar10": 45_000, "cifar100": 45_000}


class Planned:
    """One entry of the plan, and how far its run is."""

    def __init__(self, row: dict[str, str], runs: Path) -> None:
        self.entry, self.data = row["entry"], row["data"]
        self.config_file, self.recipe_file = HERE / row["config"], HERE / row["recipe"]
        self.config = kspike.SpikformerConfig.from_dict(json.loads(self.config_file.read_text("utf-8")))
        self.recipe = Recipe.load(self.recipe_file)
        self.teacher = HERE / row["teacher"] if row.get("teacher") else None
        self.run = runs / self.entry
        self.history = read_history(self.run) if (self.run / "history.csv").exists() else []

    @property
    def published(self) -> str | None:
        """The newest version of the entry, if it has this architecture."""
        names = kspike.zoo.list_models(self.entry)
        return next((name for name in names if kspike.zoo.load(name).config == self.config), None)

    @property
    def seconds(self) -> float:
        return sum(row["seconds"] for row in self.history)

    @property
    def flops(self) -> int:
        return counted(self.config)["flops"]

    def command(self) -> str:
        search = self.config_file.with_suffix(".search.json")
        found = f" --search {search.relative_to(HERE.parent)}" if search.exists() else ""
        return (
            f"kspike zoo publish {self.run} {self.entry} --license apache-2.0 --data {self.data} --directory zoo"
            f"{found} --backend torch --backend jax --backend tensorflow"
        )


def planned(runs: Path, only: list[str] | None = None) -> list[Planned]:
    """The plan, or some of it."""
    rows = json.loads((HERE / "trainings.json").read_text("utf-8"))
    if unknown := set(only or ()) - {row["entry"] for row in rows}:
        raise SystemExit(f"error: the plan has no {', '.join(sorted(unknown))}; it has {[r['entry'] for r in rows]}.")
    return [Planned(row, runs) for row in rows if not only or row["entry"] in only]


def of_runs(plan: list[Planned]) -> Iterator[tuple[float, float]]:
    """(operations of an image, seconds of an image in training) of the runs that have begun."""
    for each in plan:
        if each.history:
            yield each.flops, each.seconds / len(each.history) / IMAGES[each.data]


def of_cards() -> Iterator[tuple[float, float]]:
    """The same of the entries of the zoo, trained on other machines."""
    for name in kspike.zoo.list_models(all_versions=True):
        card = kspike.zoo.card(name)
        said, data = card["training"] or {}, (card["data"] or {}).get("name")
        if said.get("seconds") and data in IMAGES and isinstance(said.get("recipe"), dict):
            images = said["recipe"]["epochs"] * IMAGES[data]
            yield counted(kspike.zoo.load(name).config)["flops"], said["seconds"] / images


def rate(plan: list[Planned]) -> float:
    """Seconds of training an image and operation: of the runs that are there, else of the cards."""
    found = np.array(list(of_runs(plan)) or list(of_cards()))
    return float(found[:, 1].sum() / found[:, 0].sum()) if len(found) else float("nan")


def listed(plan: list[Planned]) -> str:
    """What is planned, done and left, a line an entry."""
    pace, sums = rate(plan), np.zeros(2)
    lines = [f"{'entry':26}{'MFLOP':>7}{'epochs':>8}{'done':>6}{'hours':>7}{'left':>7}"]
    for each in plan:
        done, epochs, published = len(each.history), each.recipe.epochs, each.published
        of_epoch = each.seconds / done if done else pace * each.flops * IMAGES[each.data]
        hours = np.array([each.seconds, 0.0 if published else (epochs - done) * of_epoch]) / 3600
        sums += hours
        state = published or ("to be published" if done == epochs else "begun" if done else "")
        figures = f"{each.flops / 1e6:7.0f}{epochs:8}{done:6}{hours[0]:7.1f}{hours[1]:7.1f}"
        lines.append(f"{each.entry:26}{figures}  {state}".rstrip())
    return "\n".join([*lines, f"{'all':47}{sums[0]:7.1f}{sums[1]:7.1f}"])


def train(each: Planned, precision: str, data_dir: str | None) -> None:
    """Trains one network, or the rest of it, as `kspike train` does."""
    import keras

    data = each.recipe.load_data(each.data, data_dir=data_dir)
    keras.utils.set_random_seed(each.recipe.seed)
    model = kspike.Spikformer(each.config, dtype=precision)
    kspike.training.train(model, data, each.recipe, directory=each.run, teacher=each.teacher)


def main(given: Any = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["list", "train"], default="list")
    parser.add_argument("--only", nargs="+", metavar="ENTRY")
    parser.add_argument("--runs", type=Path, default=Path("runs/zoo"))
    parser.add_argument("--data-dir", help="where TensorFlow Datasets prepared the images")
    parser.add_argument("--precision", choices=["float32", "mixed_bfloat16"], default="mixed_bfloat16")
    options = parser.parse_args(given)
    plan = planned(options.runs, options.only)
    if options.what == "train":
        for each in plan:
            if len(each.history) < each.recipe.epochs and not each.published:
                print(f"{each.entry}: {len(each.history)} of {each.recipe.epochs} epochs are there", flush=True)
                train(each, options.precision, options.data_dir)
        plan = planned(options.runs, options.only)
    print(listed(plan))
    for each in plan:
        if len(each.history) == each.recipe.epochs and not each.published:
            print(each.command())


if __name__ == "__main__":
    main()
