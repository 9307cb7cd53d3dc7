"""How the time of a step grows with T, tokens and width: `python benchmarks/scaling.py`.

One block of Spikformer alone (the stem's pools would mix the tokens in), batch 8, in the backend that KERAS_BACKEND
names. T from 1 to 16, tokens from 64 to 1,024, width from 96 to 768, each against itself at its smallest.
A fifth of the block's inputs are spikes; inference comes after WARM training steps, by when the stored statistics are
those of the batches: with those of a new block hardly anything in it would fire. Writes a CSV file and a picture.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import time
from pathlib import Path

import keras
import numpy as np

from kspike.layers import SpikformerBlock

BASE = {"T": 4, "tokens": 64, "width": 384}
RANGES = {"T": (1, 2, 4, 8, 16), "tokens": (64, 128, 256, 512, 1024), "width": (96, 192, 384, 768)}
BATCH = 8
WARM = 30


def step_of(T: int, tokens: int, width: int, precision: str):
    """Functions that train and infer one batch on a block of these sizes."""
    inputs = keras.Input((T, tokens, width))
    block = SpikformerBlock(num_heads=width // 32, mlp_ratio=4.0, dtype=precision)
    model = keras.Model(inputs, keras.layers.Lambda(lambda x: keras.ops.mean(x, axis=(1, 2)))(block(inputs)))
    model.compile("sgd", "mse")
    x = (np.random.default_rng(0).random((BATCH, T, tokens, width)) < 0.2).astype("float32")
    y = np.zeros((BATCH, width), "float32")
    return (
        lambda: model.fit(x, y, batch_size=BATCH, verbose=0),
        lambda: model.predict(x, batch_size=BATCH, verbose=0),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--precision", default="mixed_bfloat16")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("docs/results/scaling"))
    options = parser.parse_args()
    rows = []
    for name, values in RANGES.items():
        steps = {value: step_of(**{**BASE, name: value}, precision=options.precision) for value in values}
        seconds = {value: ([], []) for value in values}
        for train, _ in steps.values():
            for _ in range(WARM):
                train()
        for turn in range(options.rounds + 1):
            for value, functions in steps.items():
                for kept, function in zip(seconds[value], functions, strict=True):
                    start = time.perf_counter()
                    function()
                    if turn:  # the first compiles
                        kept.append(time.perf_counter() - start)
        for value, (train, infer) in seconds.items():
            medians = statistics.median(train), statistics.median(infer)
            rows.append({"what": name, "value": value, "train_s": medians[0], "infer_s": medians[1]})
            print(f"{name:>7} {value:5}: training {1e3 * medians[0]:8.1f} ms, inference {1e3 * medians[1]:8.1f} ms")
    with open(options.out.with_suffix(".csv"), "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    plot(rows, options.out.with_suffix(".png"))


def plot(rows: list[dict], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(RANGES), figsize=(11, 3.4), layout="constrained")
    for axis, name in zip(axes, RANGES, strict=True):
        mine = [row for row in rows if row["what"] == name]
        values = np.array([row["value"] for row in mine], "float64")
        for key, label in (("train_s", "training"), ("infer_s", "inference")):
            axis.loglog(values, [1e3 * row[key] for row in mine], "o-", label=label, base=2)
        first = 1e3 * mine[0]["train_s"]
        axis.loglog(values, first * values / values[0], ":", color="grey", label="linear", base=2)
        axis.set(xlabel=name, ylabel="ms a step" if name == "T" else None)
        axis.set_xticks(values, [f"{value:g}" for value in values])
    axes[0].legend()
    figure.suptitle(f"One block, batch {BATCH}, {keras.backend.backend()}")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
