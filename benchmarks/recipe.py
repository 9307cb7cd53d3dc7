"""What each part of a recipe is worth to a small spiking network: one change at a time, equal epochs, three seeds.

    KERAS_BACKEND=torch python tuners/teacher_c10.py --precision mixed_bfloat16
    KERAS_BACKEND=torch python benchmarks/recipe.py --runs runs/recipe --teacher runs/teacher_c10.npz

CIFAR-10 at 32x32 (TensorFlow Datasets; TFDS_DATA_DIR says where), the architecture of the entry `auto_spikformer_c10`
from fresh weights, trained in bfloat16 and judged in float32 on the 5,000 validation images; test images are never
read. A row a finished run; killed at any moment, the same command goes on after the last whole epoch. `--page` prints
the table of docs/results/recipe.md from the rows: means, and the paired difference from the plain recipe.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
from pathlib import Path
from typing import Any

import table
from rows import append, read

import kspike
from kspike._messages import counted
from kspike.data import Augmentation
from kspike.training import Recipe

OUT = Path(__file__).resolve().parents[1] / "docs" / "results" / "recipe.csv"
ENTRY = "auto_spikformer_c10"
#: The plain recipe: tuners/recipes/c10.json in a tenth of its epochs.
PLAIN = Recipe(
    epochs=4, batch_size=128, learning_rate=3e-3, min_learning_rate=1e-5, warmup_epochs=0.5, weight_decay=0.02,
    augment="flip_shift",
)  # fmt: skip
SHIFTED = {"flip": 0.5, "shift": 0.125}
#: Name -> what is changed.
PARTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "teacher": {"teacher_share": 0.9},
    "teacher alone": {"teacher_share": 1.0},
    "teacher, temperature 2": {"teacher_share": 0.9, "teacher_temperature": 2.0},
    "label smoothing 0.1": {"label_smoothing": 0.1},
    "cutmix": {"augment": Augmentation(**SHIFTED, cutmix=1.0)},
    "mixup": {"augment": Augmentation(**SHIFTED, mixup=0.2)},
    "erasing": {"augment": "standard"},
    "twice the rate": {"learning_rate": 6e-3},
    "half the rate": {"learning_rate": 1.5e-3},
    "half the batch": {"batch_size": 64},
    "averaged weights": {"ema": 0.99},
    "ten times the decay": {"weight_decay": 0.2},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/recipe"))
    parser.add_argument("--teacher", type=Path, default=Path("runs/teacher_c10.npz"))
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=PLAIN.epochs)
    parser.add_argument("--page", action="store_true", help="print the table, train nothing")
    options = parser.parse_args()
    if options.page:
        print(page(read(options.out)))
        return
    for seed in options.seeds:
        for part in options.parts:
            key = {"part": part, "seed": str(seed), "epochs": str(options.epochs)}
            if any(key.items() <= old.items() for old in read(options.out)):
                continue
            row = {"part": part, **one(part, PLAIN.replace(seed=seed, epochs=options.epochs), options)}
            append(options.out, row)
            print(row, flush=True)


def one(part: str, plain: Recipe, options: argparse.Namespace) -> dict[str, Any]:
    """Trains one network by the changed recipe, goes on if it had begun, and judges it in float32."""
    recipe = plain.replace(**PARTS[part])
    folder = options.runs / f"{part.replace(' ', '_').replace(',', '')}_{recipe.seed}_{recipe.epochs}"
    row = table.one(
        kspike.zoo.load(ENTRY).config, recipe, folder,
        data=recipe.load_data("cifar10"), teacher=options.teacher if recipe.teacher_share else None,
    )  # fmt: skip
    shutil.rmtree(folder)
    return row


def page(rows: list[dict[str, str]]) -> str:
    """The rows as a table of Markdown: mean accuracy, its difference from the plain recipe's of the same seeds."""
    lines = ["| part | seeds | accuracy, % | to plain, points | energy, mJ |", "|---|---|---|---|---|"]
    for epochs in sorted({row["epochs"] for row in rows}, key=int):
        some = [row for row in rows if row["epochs"] == epochs]
        plain = {row["seed"]: float(row["accuracy"]) for row in some if row["part"] == "plain"}
        for part in PARTS:
            mine = {row["seed"]: row for row in some if row["part"] == part}
            if not mine:
                continue
            accuracies = {seed: float(row["accuracy"]) for seed, row in mine.items()}
            gains = [100 * (accuracies[seed] - plain[seed]) for seed in sorted(mine.keys() & plain.keys())]
            energy = statistics.mean(float(row["energy_mj"]) for row in mine.values())
            said = " ".join(f"{gain:+.2f}" for gain in gains) if part != "plain" else ""
            mean = f"{statistics.mean(gains):+.2f} ({said})" if said else ""
            accuracy, named = 100 * statistics.mean(accuracies.values()), f"{part}, {counted(int(epochs), 'epoch')}"
            lines.append(f"| {named} | {len(mine)} | {accuracy:.2f} | {mean} | {energy:.5f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
