"""Time to rank AutoST's small space, exactly, beside evaluating built networks as its code does.

    KERAS_BACKEND=torch python benchmarks/ranking.py --networks 1050

One run on one machine, both in one process. The ranking: all 1.3e10 networks inside 11 to 12 million parameters, from
the published file to the ten best, median of several. The other way: AutoST's search evaluates about 1,050 networks (50
at first, 20 generations of 50), each built, hooked, and run forward on one batch of 32 images of ones, as the syops
counter counts. Here the networks are drawn at random inside the same bounds, and counted by hooks on products,
normalisation, neurons and pools; each count must equal the closed form. Rows are appended: run again, it goes on with
what is missing. Fewer networks give an estimate, and it is printed as one.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import time
from pathlib import Path

import keras
import numpy as np

import kspike
from kspike import cost, layers
from kspike.layers import sps
from kspike.ops import jit
from kspike.tuners import Constraints, SearchSpace
from kspike.tuners.engine.ranking import Ranking

WINDOW = {"parameters": (11_000_000, 12_000_000)}
IMAGES = 32


def rank(name: str) -> tuple[float, object]:
    """Seconds from the published file to the ten best, and the best."""
    start = time.perf_counter()
    best = Ranking(SearchSpace.load(name), constraints=Constraints.of(WINDOW)).top(10)
    return time.perf_counter() - start, best[0]


def drawn(space: SearchSpace, n: int, seed: int) -> list:
    """Random networks inside the window."""
    rng, constraints, found = np.random.default_rng(seed), Constraints.of(WINDOW), []
    while len(found) < n:
        indices = rng.integers(0, space.cardinalities, (1024, len(space.slots)), dtype=np.int32)
        found += [space.decode(row) for row in indices[constraints.keep(space, indices)]]
    return found[:n]


def evaluate(genome: object) -> tuple[float, float, int]:
    """(seconds to build, seconds to count, operations) of one network, counted by hooks in one forward pass."""
    start = time.perf_counter()
    model = kspike.Spikformer(genome.to_config())
    built = time.perf_counter() - start
    count = [0]
    size = lambda x: int(np.prod(x.shape))

    def counting(layer, call):
        def counted(x, *args, **kwargs):
            y = call(x, *args, **kwargs)
            if isinstance(layer, keras.layers.Conv2D):
                count[0] += size(y) * 9 * x.shape[-1]
            elif isinstance(layer, keras.layers.Dense):
                count[0] += size(x) * layer.units
            elif isinstance(layer, layers.BatchNorm):
                count[0] += 2 * size(y)
            else:
                count[0] += size(y)
            return y

        return counted

    kinds = (keras.layers.Conv2D, keras.layers.Dense, layers.BatchNorm, layers.LIF, layers.PLIF)
    pool = sps.max_pool

    def pooling(x):
        count[0] += size(x)
        return pool(x)

    start = time.perf_counter()
    sps.max_pool = pooling
    try:
        for layer in model._flatten_layers(include_self=False):
            if isinstance(layer, kinds):
                vars(layer)["call"] = counting(layer, layer.call)
        images = np.ones((IMAGES, *model.config.input_shape), "float32")
        keras.ops.convert_to_numpy(jit(lambda x: model(x, training=False), model.variables)(images))
    finally:
        sps.max_pool = pool
    return built, time.perf_counter() - start, count[0] // IMAGES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--space", default="autost_small")
    parser.add_argument("--networks", type=int, default=1050)
    parser.add_argument("--rounds", type=int, default=20, help="of the ranking")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("docs/results/ranking.csv"))
    options = parser.parse_args()
    space = SearchSpace.load(options.space)
    rounds = [rank(options.space) for _ in range(options.rounds)]
    ranking = statistics.median(seconds for seconds, _ in rounds)
    print(f"ranking {space.size():,} networks of {space.name}: {1e3 * ranking:.1f} ms, median of {options.rounds}")
    print(f"best: {rounds[0][1]}")
    done = []
    if options.out.exists():
        with open(options.out, newline="") as file:
            done = [row for row in csv.DictReader(file) if row["space"] == space.name]
    genomes = drawn(space, options.networks, options.seed)
    for number, genome in enumerate(genomes):
        if number < len(done):
            continue
        built, counted, operations = evaluate(genome)
        if operations != cost.flops(genome):
            raise SystemExit(f"{genome}: hooks count {operations}, the closed form {cost.flops(genome)}.")
        row = {"space": space.name, "network": number, "build_s": round(built, 4), "count_s": round(counted, 4),
               "flops": operations, "backend": keras.backend.backend(), "ranking_s": round(ranking, 5)}  # fmt: skip
        new = not options.out.exists()
        options.out.parent.mkdir(parents=True, exist_ok=True)
        with open(options.out, "a", newline="") as file:
            writer = csv.DictWriter(file, row)
            writer.writeheader() if new else None
            writer.writerow(row)
        done.append({k: str(v) for k, v in row.items()})
        print(f"{number + 1}/{options.networks}: built in {built:.2f} s, counted in {counted:.2f} s", flush=True)
    each = [float(row["build_s"]) + float(row["count_s"]) for row in done]
    total = sum(each) * 1050 / len(each)
    how = "measured" if len(each) >= 1050 else f"estimated from {len(each)}"
    summary = {"ranking_s": ranking, "networks_s": total, "networks": len(each), "times": total / ranking}
    print(f"1,050 built networks: {total:.0f} s ({how}); the ranking is {total / ranking:,.0f} times faster")
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
