"""What each part of the search is worth, at equal budget: `python benchmarks/ablation.py --runs runs/ablation`.

CIFAR-10 averaged to 16x16, space `kspike_c10_16`; a supernet for each space, then evolutions of equal length:

- whole: as it is;
- neurons frozen: tau and thresholds are no genes, but fixed at Spikformer's; a supernet of its own;
- plif: tau is learned, and no gene (thresholds stay genes); a supernet of its own;
- NSGA-II: the whole space's supernet, parents chosen by the front instead of the score;
- uncalibrated: the whole space's supernet, candidates scored by the statistics that training left.

A row a variant and seed goes into the CSV. accuracy, energy_mj, parameters: the network picked, by the half of the
validation images that scored nothing, calibrated in every variant. aeb: of these two, with the energy of the whole
space's largest network as reference. hypervolume: of the front of all candidates, calibrated, against that network.
random_left and random_calibrated (row "whole"): mean accuracy of random networks by the statistics that training left,
and by their own. Validation is 5,000 images, half of which score.

Projects are kept in --runs: killed, the same command goes on, and skips the rows that are there. The defaults, three
seeds, take about four hours of a core; --images, --validation, --epochs, --generations and --population make it smaller
or larger, and stand in every row. --only divides the variants between two processes that share --runs, with an --out
each; what uses another variant's supernet goes with that one, and what starts before the whole space's reference is
there says so and can be started again. `python benchmarks/ablation.py --page` makes a page and a plot of the rows that
--out has of one size.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from rows import append, read
from table import RECIPE, load, said_versions

from kspike.space import Genome, SearchSpace
from kspike.supernet.validation import undisturbed
from kspike.tuners import AEB, EvolutionSearch
from kspike.tuners.engine import Journal
from kspike.tuners.engine.archive import hypervolume
from kspike.tuners.evolution.evaluator import Evaluator
from kspike.tuners.evolution.supernet import WEIGHTS

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results"
#: What a row cost; rows of another size are left as they are.
SIZE = ("images", "validation", "epochs", "generations", "population")


class Uncalibrated(Evaluator):
    """Scores by the statistics that training left; hands networks out calibrated, as ever."""

    def prepare(self, genome: Genome) -> None:
        self.supernet.activate(genome)

    def extract(self, genome: Genome, data: Any) -> Any:
        return calibrating(self).extract(genome, data)


def calibrating(evaluator: Evaluator) -> Evaluator:
    """The evaluator that a search has by itself."""
    return Evaluator(**{field.name: getattr(evaluator, field.name) for field in dataclasses.fields(evaluator)})


class UncalibratedSearch(EvolutionSearch):
    """A search whose candidates are not calibrated."""

    def _make_evaluator(self, train: Any, scoring: Any) -> Evaluator:
        made = super()._make_evaluator(train, scoring)
        return Uncalibrated(**{field.name: getattr(made, field.name) for field in dataclasses.fields(made)})


@dataclasses.dataclass(frozen=True)
class Variant:
    """One search: its space, how parents are chosen, and which variant's supernet it uses."""

    name: str
    space: SearchSpace
    selection: str = "score"
    supernet_of: str | None = None
    kind: type[EvolutionSearch] = EvolutionSearch


def variants() -> list[Variant]:
    """What is compared, the whole first: others use its supernet, and all its reference."""
    whole = SearchSpace.load("kspike_c10_16")
    genes = whole.to_dict()["genes"]
    frozen = {name: value for name, value in genes.items() if name not in ("tau", "v_threshold")}
    learned = {name: value for name, value in genes.items() if name != "tau"}
    return [
        Variant("whole", whole),
        Variant("NSGA-II", whole, selection="nsga2", supernet_of="whole"),
        Variant("uncalibrated", whole, supernet_of="whole", kind=UncalibratedSearch),
        Variant("neurons frozen", SearchSpace(whole.base, name="frozen", **frozen)),
        Variant("plif", SearchSpace(whole.base.replace(neuron="plif"), name="plif", **learned)),
    ]


def project(name: str, seed: int, options: argparse.Namespace) -> str:
    """The folder of a variant; every size has its own."""
    return "_".join([name.replace(" ", "-"), str(seed), *(str(getattr(options, part)) for part in SIZE)])


def search(variant: Variant, seed: int, data: tuple, options: argparse.Namespace) -> dict[str, Any]:
    """One project: supernet, evolution, the finalist; a row of them."""
    tuner = variant.kind(
        variant.space, generations=options.generations, population_size=options.population, parents=options.parents,
        selection=variant.selection, seed=seed, directory=options.runs,
        project_name=project(variant.name, seed, options),
    )  # fmt: skip
    whole = options.runs / project("whole", seed, options)
    if variant.supernet_of:
        share(whole, Path(tuner.project_dir), tuner)
    train, validation = data
    tuner.train_supernet(train, validation_data=validation, epochs=options.epochs)
    tuner.search(train, validation_data=validation)
    largest = record_of(whole, "reference")["metrics"]
    best, judge = tuner.best_candidates(1)[0], calibrating(tuner._evaluator)
    found = judge(best.genome) | {"accuracy": tuner._picked()[0]["accuracy"]}
    front = tuner.pareto_front()
    if variant.kind is UncalibratedSearch:
        front = [dataclasses.replace(c, metrics={**c.metrics, **judge(c.genome)}) for c in front]
    size = {part: getattr(options, part) for part in SIZE}
    row = {"variant": variant.name, "seed": seed, **size, "trials": len(tuner.state.archive)}
    row |= {name: float(np.float32(found[name])) for name in ("accuracy", "energy_mj")}
    row |= {"parameters": found["parameters"], "aeb": round(AEB().value(found, largest), 5), "front": len(front)}
    row["hypervolume"] = round(hypervolume(front, largest["energy_mj"], largest["parameters"]), 5)
    row |= {"random_left": "", "random_calibrated": ""}
    if variant.name == "whole":
        row |= uncalibrated(tuner, options.networks)
    return row


def record_of(folder: Path, kind: str) -> dict[str, Any]:
    """A record of a project's journal."""
    found = [record for record in Journal(folder / "journal.jsonl").read() if record["type"] == kind]
    if not found:
        raise SystemExit(
            f"error: {folder} has no {kind}. Run the whole space first; if its row is in the table already, take that "
            "out, so that it is made again."
        )
    return found[-1]


def share(source: Path, target: Path, tuner: EvolutionSearch) -> None:
    """Gives a project the supernet of another."""
    if any(record["type"] == "supernet" for record in Journal(target / "journal.jsonl").read()):
        return
    record = record_of(source, "supernet")
    if not (target / WEIGHTS).exists():
        os.link(source / WEIGHTS, target / WEIGHTS)
    tuner.state.journal.append(record)


def uncalibrated(tuner: EvolutionSearch, networks: int) -> dict[str, float]:
    """Mean accuracy of random networks, by the statistics that training left and by their own."""
    judge, supernet = tuner._evaluator, tuner.supernet
    found: tuple[list[float], list[float]] = ([], [])
    for seed in range(networks):
        genome = tuner.space.sample(seed=seed)
        with undisturbed(supernet):
            supernet.activate(genome)
            found[0].append(judge.accuracy(judge.scoring)["accuracy"])
            judge.prepare(genome)
            found[1].append(judge.accuracy(judge.scoring)["accuracy"])
    return {"random_left": round(np.mean(found[0]), 5), "random_calibrated": round(np.mean(found[1]), 5)}


# -- the page ----------------------------------------------------------------------------------------------------------


def page(options: argparse.Namespace) -> None:
    """Means over seeds, each variant against the whole of the same seed, and a plot."""
    size = {name: str(getattr(options, name)) for name in SIZE}
    rows = [row for row in read(options.out) if {name: row[name] for name in SIZE} == size]
    whole = {row["seed"]: row for row in rows if row["variant"] == "whole"}
    if not whole:
        raise SystemExit(f"error: {options.out} has no row of the whole search of the size {size}; run that first.")
    grouped = {variant.name: [row for row in rows if row["variant"] == variant.name] for variant in variants()}
    grouped = {name: group for name, group in grouped.items() if group}
    lines = [
        "# What the parts of the search are worth",
        "",
        about(options, int(rows[0]["trials"])),
        "",
        "| variant | seeds | picked: accuracy, % | energy, mJ | AEB | hypervolume | AEB: apart | hypervolume: apart |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, group in grouped.items():
        columns = [spread([100 * float(row["accuracy"]) for row in group], 2)]
        columns += [spread([float(row[key]) for row in group], 4) for key in ("energy_mj", "aeb", "hypervolume")]
        for key in ("aeb", "hypervolume"):
            apart = [float(row[key]) - float(whole[row["seed"]][key]) for row in group if row["seed"] in whole]
            columns.append("" if name == "whole" else difference(apart))
        lines.append(" | ".join((f"| {name}", str(len(group)), *columns)) + " |")
    left, own = (np.mean([float(r[key]) for r in whole.values()]) for key in ("random_left", "random_calibrated"))
    picture = options.out.with_suffix(".png")
    lines += [
        "",
        f"{options.networks} random networks of each whole supernet: {100 * left:.1f} % by the statistics that "
        f"training left, {100 * own:.1f} % by their own.",
        "",
        f"![AEB of the network picked and hypervolume of the front, a dot a seed]({picture.name})",
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    options.out.with_suffix(".md").write_text(text, encoding="utf-8")
    plot(grouped, picture)


def about(options: argparse.Namespace, trials: int) -> str:
    """What was done."""
    return (
        f"CIFAR-10 averaged to 16x16, space `kspike_c10_16`: supernets of {options.epochs} epochs of "
        f"{options.images:,} images, then {trials} candidates each, scored by AEB on half of {options.validation:,} "
        "validation images; the other half picks the network, and gives its accuracy here. Hypervolume is that of "
        "accuracy, energy and parameters of all candidates, calibrated, against the whole space's largest network. The "
        "last columns are differences from the whole search of the same seed: mean and, in brackets, standard error."
    )


def spread(values: list[float], digits: int) -> str:
    """Mean and standard deviation."""
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ± {np.std(values, ddof=1):.{digits}f}"


def difference(apart: list[float]) -> str:
    """Mean and standard error."""
    mean = f"{np.mean(apart):+.4f}"
    return mean if len(apart) < 2 else f"{mean} ({np.std(apart, ddof=1) / np.sqrt(len(apart)):.4f})"


def plot(grouped: dict[str, list[dict[str, str]]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2), layout="constrained")
    names = list(grouped)
    for axes, (key, title) in zip(
        figure.subplots(1, 2, sharey=True),
        (("aeb", "AEB of the network picked"), ("hypervolume", "hypervolume of the front")),
        strict=True,
    ):
        for at, name in enumerate(names):
            values = [float(row[key]) for row in grouped[name]]
            axes.plot(values, [at] * len(values), "o", color="C0", alpha=0.7)
            axes.plot([np.mean(values)], [at], "|", color="black", markersize=18)
        axes.set_yticks(range(len(names)), names)
        axes.set_title(f"{title}: a dot a seed, a bar the mean", fontsize=9)
        axes.grid(axis="x", alpha=0.3)
    figure.axes[0].invert_yaxis()
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, help="where projects are kept")
    parser.add_argument("--page", action="store_true", help="only make the page, of the rows that are there")
    parser.add_argument("--out", type=Path, default=RESULTS / "ablation_c10_16.csv", help="CSV file that grows")
    parser.add_argument("--images", type=int, default=45_000, help="that train the supernet, an epoch")
    parser.add_argument("--validation", type=int, default=5_000, help="images: one half scores, the other picks")
    parser.add_argument("--epochs", type=int, default=10, help="of each supernet")
    parser.add_argument("--generations", type=int, default=4)
    parser.add_argument("--population", type=int, default=20)
    parser.add_argument("--parents", type=int, default=10)
    parser.add_argument("--networks", type=int, default=20, help="random ones, for what calibration is worth")
    parser.add_argument("--seeds", type=int, default=3)
    names = [variant.name for variant in variants()]
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="variants")
    options = parser.parse_args()
    if options.page:
        return page(options)
    if options.runs is None:
        parser.error("--runs is needed, but for --page")
    images = load(RECIPE)
    data = images.train.subset(options.images), images.validation.subset(options.validation).rebatch(500)
    for seed in range(options.seeds):
        for variant in (variant for variant in variants() if variant.name in options.only):
            key = (variant.name, str(seed), *(str(getattr(options, part)) for part in SIZE))
            if key in {tuple(row[name] for name in ("variant", "seed", *SIZE)) for row in read(options.out)}:
                continue
            start = time.perf_counter()
            row = search(variant, seed, data, options)
            append(options.out, row | {"seconds": round(time.perf_counter() - start), "versions": said_versions()})
            print(f"{variant.name}, seed {seed}: accuracy {row['accuracy']:.4f}, {row['energy_mj']:.6f} mJ", flush=True)


if __name__ == "__main__":
    main()
