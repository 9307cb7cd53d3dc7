"""An outside referee of the searches: `python benchmarks/referee.py PATH/spikenas_bench_c10.csv`.

The file has 15,625 convolutional spiking cells of SpikeNAS-Bench (IEEE TAI 6(6), 2025; tju-sun-lab/SpikeNAS-Bench,
read out of its logs): six edges `d0` to `d5` with one of five operations each, all trained on CIFAR-10 by others, once.
It has no licence, and is not part of this project.

A genome of six places with five choices each stands for a cell: kspike.tuners' own evolution, random search and NSGA-II
run on it at their defaults (20 generations of 50 after the first, ten parents). They see validation accuracy at the end
of training (`val_last`), pick by it, and are judged by the test accuracy of what they picked, which they never see.
NSGA-II runs with accuracy alone for an objective, where it should do as evolution does, and beside it with the mean
firing rate for a second, which stands for energy. Regularised evolution (Real et al. 2019), which kspike does not have,
runs as a control: others have published what it reaches on these cells.

Writes a CSV, a plot beside it, and prints the figures of docs/results/referee.md. 200 seeds: a few minutes of one core.
"""

from __future__ import annotations

import argparse
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from replayed import RANDOM, curves, evolution, holm, rows_of, save, walk
from rows import read, write

from kspike import SpikformerConfig
from kspike.space import SearchSpace
from kspike.tuners.engine import NSGA2, ByScore

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results"
EDGES = tuple(f"d{i}" for i in range(6))
OPERATIONS = 5
ALONE = "NSGA-II, accuracy alone"
REGULARISED = "regularised evolution (control)"
METHODS = {
    RANDOM: None,
    "evolution": ByScore(),
    ALONE: NSGA2((("accuracy", "max"),)),
    "NSGA-II, accuracy and firing rate": NSGA2((("accuracy", "max"), ("firing", "min"))),
}
QUANTITIES = ("validation accuracy, %", "test accuracy, %")
#: Test accuracy after so many evaluations, as published for 200 repetitions of the same task.
OUTSIDE = {
    "random": {100: 88.61, 250: 88.72, 500: 88.75, 1050: 88.81},
    "regularised evolution": {100: 88.73, 250: 88.92, 500: 89.02, 1050: 89.12},
}
#: Of regularised evolution: cells alive, and how many of them a parent is the best of.
ALIVE, SAMPLE = 50, 10


def space_of_cells() -> SearchSpace:
    """The cells as a space: six blocks, whose one gene has five choices. What is built of them is never looked at."""
    base = SpikformerConfig(input_shape=(8, 8, 1), embed_dim=8, depth=len(EDGES), num_heads=1)
    return SearchSpace(base, name="cells", mlp_ratio=tuple(range(1, OPERATIONS + 1)))


def cells_of(path: Path) -> dict[tuple[int, ...], dict[str, float]]:
    """Operations of the six edges -> accuracy (validation), test (both in percent) and mean firing rate.

    Raises:
        ValueError: the file is not there, lacks a column or a cell, has one twice, or what is no number.
    """
    rows = read(path)
    names = {"accuracy": "val_last", "test": "test", "firing": "mean_firing"}
    missing = [name for name in (*EDGES, *names.values()) if not rows or name not in rows[0]]
    if missing:
        raise ValueError(f"{path} must be SpikeNAS-Bench's cells as CSV; it has no column {', '.join(missing)}.")
    found = {
        tuple(int(row[edge]) for edge in EDGES): {name: float(row[column]) for name, column in names.items()}
        for row in rows
    }
    every = set(np.ndindex(*(OPERATIONS,) * len(EDGES)))
    if set(found) != every or len(rows) != len(every):
        raise ValueError(
            f"{path} must have each of {len(every):,} cells once; it has {len(rows):,} rows of {len(found):,} cells."
        )
    return found


def picked(seen: Iterator[dict[str, float]], steps: range) -> np.ndarray:
    """Validation and test accuracy `(2, steps)` of the best cell by validation, after so many evaluations."""
    best, found = {"accuracy": -np.inf, "test": np.nan}, []
    for count, metrics in enumerate(seen, start=1):
        best = max(best, metrics, key=lambda m: m["accuracy"])
        if count in steps:
            found.append([best["accuracy"], best["test"]])
    return np.array(found).T


def searched(
    space: SearchSpace,
    known: dict[tuple[int, ...], dict[str, float]],
    method: str,
    seed: int,
    budget: tuple[int, int, int],
) -> Iterator[dict[str, float]]:
    """What a search of ours evaluates, in order; test accuracy is withheld from it."""
    look = lambda genome: {name: known[genome.indices][name] for name in ("accuracy", "firing")}
    for _, candidate in walk(evolution(space, METHODS[method], seed, *budget), "accuracy", look):
        yield known[candidate.genome.indices]


def regularised(known: dict[tuple[int, ...], dict[str, float]], seed: int, total: int) -> Iterator[dict[str, float]]:
    """What regularised evolution evaluates (Real et al. 2019): the best of a sample of the living has a child that
    differs in one edge, and the oldest dies. A cell may come again, and counts again."""
    rng = np.random.default_rng(seed)
    alive: deque[tuple[int, ...]] = deque(maxlen=ALIVE)
    for count in range(total):
        if count < ALIVE:
            cell = tuple(int(i) for i in rng.integers(0, OPERATIONS, len(EDGES)))
        else:
            parent = max((alive[i] for i in rng.integers(0, ALIVE, SAMPLE)), key=lambda c: known[c]["accuracy"])
            edge, other = rng.integers(len(EDGES)), 1 + rng.integers(OPERATIONS - 1)
            cell = (*parent[:edge], int((parent[edge] + other) % OPERATIONS), *parent[edge + 1 :])
        alive.append(cell)
        yield known[cell]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cells", type=Path, help="spikenas_bench_c10.csv")
    parser.add_argument("--out", type=Path, default=RESULTS / "referee.csv", help="CSV to write; the plot beside it")
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--generations", type=int, default=20, help="after the first")
    parser.add_argument("--population", type=int, default=50)
    parser.add_argument("--parents", type=int, default=10)
    options = parser.parse_args(arguments)
    known, space = cells_of(options.cells), space_of_cells()
    budget = (options.generations, options.population, options.parents)
    total = options.population * (options.generations + 1)
    steps = range(options.population, total + 1, options.population)
    runs = {}
    for method in METHODS:
        each = [picked(searched(space, known, method, seed, budget), steps) for seed in range(options.seeds)]
        runs[method] = np.array(each)
        print(f"{method}: {options.seeds} seeds", flush=True)
    runs[REGULARISED] = np.array([picked(regularised(known, seed, total), steps) for seed in range(options.seeds)])
    rows = []
    for what, name in enumerate(QUANTITIES):
        rows += rows_of(name, {method: found[:, what] for method, found in runs.items()}, steps)
    told = [row for row in rows if row["evaluations"] in (*OUTSIDE["random"], total)]
    holm([row for row in told if row["method"] != RANDOM])  # what the page has; the way there is without correction
    for row in told:
        against = ""
        if row["method"] != RANDOM:
            against = f"; {row['difference']:+.3f} to random ({row['low']:+.3f} to {row['high']:+.3f}), "
            against += f"better in {100 * row['beats_random']:.0f} % of pairs, p {row['p']:.2g}"
        where = f"{row['quantity']}, {row['method']}, {row['evaluations']}"
        print(f"{where}: {row['mean']:.3f} ± {row['half_width']:.3f}{against}")
    best = max(known.values(), key=lambda metrics: metrics["accuracy"])
    print(f"best of {len(known):,} by validation: {best['accuracy']:.2f} %, {best['test']:.2f} % of the test images")
    exact = ("p", "beats_random")
    write(
        options.out,
        [{k: v if k in exact or not isinstance(v, float) else round(v, 4) for k, v in row.items()} for row in rows],
    )
    draw(rows, best, options.out.with_suffix(".png"))


def draw(rows: list[dict[str, Any]], best: dict[str, float], path: Path) -> None:
    """Both accuracies against evaluations, the published figures beside those of the test images."""
    label = "best of all by validation"
    lines = {QUANTITIES[0]: {label: best["accuracy"]}, QUANTITIES[1]: {label: best["test"]}}
    figure, panels = curves(rows, lines)
    validation, test = panels.values()
    for (name, points), marker in zip(OUTSIDE.items(), "x+", strict=True):
        test.plot(*zip(*points.items(), strict=True), f"k{marker}", label=f"published: {name}")
    for axes in (validation, test):
        axes.lines[list(METHODS).index(ALONE)].set_linestyle((0, (3, 3)))  # it lies on evolution
        axes.set_ylim(bottom=88.2)
    test.legend(fontsize="x-small", loc="lower right")
    validation.get_legend().remove()
    save(figure, path)


if __name__ == "__main__":
    main()
