"""What a supernet saves: `KERAS_BACKEND=jax python benchmarks/search_speed.py`, no data needed.

On `kspike_c10_16` (or --space), random images: candidates a minute (activate, calibrate on 1,024 images, predict 2,500,
measure energy) by one supernet, against building and compiling each network anew; the peak of memory of each; and the
time of a step of the supernet against that of the plain largest network: where masked it computes as much, and
where sliced, as much as the network drawn, which a mean over many steps shows. The first candidate, which compiles,
and the first step are before time counts; a network built anew compiles each time, which is what it costs. Adds a row
to docs/results/search_speed.csv.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import time
from pathlib import Path

import keras
import numpy as np
from rows import append
from table import said_versions

import kspike
from kspike import cost
from kspike.space import SearchSpace
from kspike.tuners.evolution import supernet as evolution_supernet
from kspike.tuners.evolution.evaluator import Evaluator

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results"


def batches(n: int, shape: tuple[int, ...], classes: int, size: int) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    images = rng.normal(0, 1, (n, *shape)).astype("float32")
    labels = (np.arange(n) % classes).astype("int32")
    return [(images[i : i + size], labels[i : i + size]) for i in range(0, n - size + 1, size)]


class Batches(keras.utils.PyDataset):
    """Batches in a list, as `evaluate` takes them."""

    def __init__(self, items: list) -> None:
        super().__init__()
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, i: int) -> tuple:
        return self.items[i]


def rebuilt(genome, calibrating: Batches, scoring: Batches) -> None:
    """The same judgement without a supernet: a model made, compiled, its statistics taken, evaluated, measured."""
    model = kspike.Spikformer(genome.to_config())
    evolution_supernet.compile_for(model, keras.optimizers.SGD(0.0))
    model.fit(calibrating, epochs=1, verbose=0)  # a learning rate of 0: statistics alone move
    model.evaluate(scoring, verbose=0)
    cost.measure(model, scoring, batches=1, progress=False)


def step_seconds(drawn: keras.Model, plain: keras.Model, batch: tuple, steps: int) -> tuple[float, float]:
    """Mean seconds of a step of both, by turns: four of the supernet's, each another network, to one of the plain."""
    times: tuple[list[float], list[float]] = [], []
    for model in (drawn, plain):
        evolution_supernet.compile_for(model, keras.optimizers.AdamW(1e-3))
        model.train_on_batch(*batch)
    for at in range(5 * max(5, steps // 4)):
        model, seconds = (plain, times[1]) if at % 5 == 0 else (drawn, times[0])
        start = time.perf_counter()
        model.train_on_batch(*batch)
        seconds.append(time.perf_counter() - start)
    return statistics.fmean(times[0]), statistics.fmean(times[1])


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--space", default="kspike_c10_16")
    parser.add_argument("--candidates", type=int, default=12)
    parser.add_argument("--rebuilt", type=int, default=4)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--images", type=int, default=2500, help="that score")
    parser.add_argument("--out", type=Path, default=RESULTS / "search_speed.csv")
    options = parser.parse_args()
    space = SearchSpace.load(options.space)
    shape, classes = space.base.input_shape, space.base.num_classes
    calibrating = Batches(batches(1024, shape, classes, options.batch))
    scoring = Batches(batches(options.images, shape, classes, min(500, options.images)))
    supernet = evolution_supernet.create(space, 0)
    evolution_supernet.compile_for(supernet)
    evaluate = Evaluator(supernet, calibrating, scoring, energy_batches=1)
    evaluate(space.sample(seed=1000))
    start = time.perf_counter()
    for seed in range(options.candidates):
        evaluate(space.sample(seed=seed))
    by_supernet = (time.perf_counter() - start) / options.candidates
    memory = peak_mb()
    start = time.perf_counter()
    for seed in range(options.rebuilt):
        rebuilt(space.sample(seed=seed), calibrating, scoring)
    anew = (time.perf_counter() - start) / options.rebuilt
    both = peak_mb()
    batch = calibrating[0]
    largest = kspike.Spikformer(space.max_config())
    drawn, plain = step_seconds(evolution_supernet.create(space, 0), largest, batch, options.steps)
    row = {
        "backend": keras.backend.backend(),
        "space": space.name,
        "threads": os.environ.get("OMP_NUM_THREADS") or os.cpu_count(),
        "supernet_candidates_a_minute": round(60 / by_supernet, 2),
        "built_anew_candidates_a_minute": round(60 / anew, 2),
        "times_as_fast": round(anew / by_supernet, 2),
        "peak_mb_supernet": round(memory),
        "peak_mb_with_built_anew": round(both),
        "step_ms_supernet": round(1e3 * drawn, 1),
        "step_ms_plain_largest": round(1e3 * plain, 1),
        "step_ratio": round(drawn / plain, 3),
        "batch": options.batch,
        "versions": said_versions(),
    }
    append(options.out, row)
    print("\n".join(f"{name}: {value}" for name, value in row.items()))


if __name__ == "__main__":
    main()
