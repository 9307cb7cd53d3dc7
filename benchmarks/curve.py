"""Plots a training run's curve: `python benchmarks/curve.py docs/results/spikformer_4_384_c10.csv`.

Writes a PNG beside the CSV, which has a row an epoch, as `kspike train` keeps it: epoch, loss, accuracy, seconds, and
val_accuracy where it was looked at.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("history", type=Path)
    path = parser.parse_args().history
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    epochs = [int(row["epoch"]) for row in rows]
    figure, axes = plt.subplots(figsize=(6.4, 3.6))
    axes.plot(epochs, [100 * float(row["accuracy"]) for row in rows], label="training images, augmented")
    looked = [row for row in rows if row.get("val_accuracy")]
    axes.plot([int(row["epoch"]) for row in looked], [100 * float(row["val_accuracy"]) for row in looked], "o",
              label="validation images")  # fmt: skip
    axes.set(xlabel="epoch", ylabel="accuracy, %", title=path.stem)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(path.with_suffix(".png"), dpi=120)


if __name__ == "__main__":
    main()
