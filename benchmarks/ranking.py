"""Time to rank AutoST's small space, exactly, beside evaluating built networks as its code does.

    KERAS_BACKEND=torch OMP_NUM_THREADS=1 python benchmarks/ranking.py --networks 1050

One machine, one thread. The ranking: all 1.3e10 networks, those of 11 to 12 million parameters, from the
published file to the ten best; the median of several. The other way: AutoST's search evaluates about 1,050 networks (50
at first, 20 generations of 50), each built, hooked, and run forward on one batch of 32 images of ones, as the syops
counter counts. Here the networks are drawn at random inside the same bounds, and counted by hooks on products,
normalisation, neurons and pools; each count must equal the closed form.

Seconds are the processor's, so that other processes on the machine count for neither side; elapsed ones stand beside
them. A row a network is written as it ends: killed and run again, it goes on with what is missing. Fewer networks give
an estimate, and it is called one. Writes OUT.csv (the networks) and OUT.md (what follows from them).
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from rows import append, read
from table import said_versions

import kspike
from kspike import cost, layers
from kspike._files import write_text
from kspike.cost.measured.recorder import replaced
from kspike.layers import sps
from kspike.ops import jit
from kspike.space import Genome
from kspike.tuners import Constraints, SearchSpace
from kspike.tuners.engine.ranking.ranking import Ranking
from kspike.zoo.machine import hardware

WINDOW = {"parameters": (11_000_000, 12_000_000)}
#: What AutoST's search evaluates, and on how many images.
EVALUATED, IMAGES = 1050, 32
HOOKED = (keras.layers.Conv2D, keras.layers.Dense, layers.BatchNorm, layers.LIF, layers.PLIF)


def timed(call: Callable, *args: Any) -> tuple[Any, float, float]:
    """(what it gives, processor seconds, elapsed seconds)."""
    start, begun = time.perf_counter(), time.process_time()
    result = call(*args)
    return result, time.process_time() - begun, time.perf_counter() - start


def rank(name: str) -> list[Genome]:
    """The ten best, from the published file."""
    return Ranking(SearchSpace.load(name), constraints=Constraints.of(WINDOW)).top(10)


def drawn(space: SearchSpace, n: int, seed: int) -> list[Genome]:
    """Random networks inside the window."""
    rng, constraints, found = np.random.default_rng(seed), Constraints.of(WINDOW), []
    while len(found) < n:
        indices = rng.integers(0, space.cardinalities, (1024, len(space.slots)), dtype=np.int32)
        found += [space.decode(row) for row in indices[constraints.keep(space, indices)]]
    return found[:n]


def counted(model: kspike.Spikformer) -> int:
    """Operations of one image, by hooks in one forward pass over a batch."""
    count = [0]
    size = lambda x: int(np.prod(x.shape))

    def hooked(layer: Any, call: Callable) -> Callable:
        def hook(x: Any, *args: Any, **kwargs: Any) -> Any:
            y = call(x, *args, **kwargs)
            if isinstance(layer, keras.layers.Conv2D):
                count[0] += size(y) * 9 * x.shape[-1]
            elif isinstance(layer, keras.layers.Dense):
                count[0] += size(x) * layer.units
            else:
                count[0] += size(y) * (2 if isinstance(layer, layers.BatchNorm) else 1)
            return y

        return hook

    def pooled(x: Any) -> Any:
        count[0] += size(x)
        return pool(x)

    found = [layer for layer in model._flatten_layers(include_self=False) if isinstance(layer, HOOKED)]
    pool = sps.max_pool
    hooks = [(layer, "call", hooked(layer, layer.call)) for layer in found]
    with replaced([*hooks, (sps, "max_pool", pooled)]):
        images = np.ones((IMAGES, *model.config.input_shape), "float32")
        keras.ops.convert_to_numpy(jit(lambda x: model(x, training=False), model.variables)(images))
    return count[0] // IMAGES


def page(space: SearchSpace, ranking: tuple[float, float], rounds: int, rows: list[dict[str, str]]) -> str:
    """What was measured, in Markdown."""
    each = [float(row["build_s"]) + float(row["count_s"]) for row in rows]
    total = statistics.fmean(each) * EVALUATED
    how = "measured" if len(each) >= EVALUATED else f"estimated from {len(each)} of them"
    spread = f"{statistics.fmean(each):.2f} s each, standard deviation {statistics.pstdev(each):.2f} s"
    return f"""# Ranking a space beside evaluating built networks

`{space.name}`, {space.size():,} networks, 11 to 12 million parameters. Processor seconds of one thread on one machine.

| what | seconds | |
|---|---|---|
| exact ranking, from the file to the ten best | {ranking[0]:.4f} | median of {rounds} ({ranking[1]:.4f} s elapsed) |
| {EVALUATED:,} networks built and counted by hooks on {IMAGES} images | {total:,.0f} | {how}: {spread} |
| ratio | {total / ranking[0]:,.0f} | |

Every count by hooks equals the closed form. {rows[-1]["versions"]}; {rows[-1]["processor"]}.
`KERAS_BACKEND=torch OMP_NUM_THREADS=1 python benchmarks/ranking.py --networks {EVALUATED}`; data: `ranking.csv`.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="autost_small")
    parser.add_argument("--networks", type=int, default=EVALUATED)
    parser.add_argument("--rounds", type=int, default=20, help="of the ranking")
    parser.add_argument("--seed", type=int, default=0, help="of the networks that are built")
    parser.add_argument("--out", type=Path, default=Path("docs/results/ranking"))
    options = parser.parse_args()
    space, table = SearchSpace.load(options.space), options.out.with_suffix(".csv")
    if any((row["space"], row["seed"]) != (space.name, str(options.seed)) for row in read(table)):
        raise SystemExit(f"error: {table} holds another space's networks, or another seed's; give another --out.")
    rounds = [timed(rank, options.space) for _ in range(options.rounds)]
    ranking = statistics.median(r[1] for r in rounds), statistics.median(r[2] for r in rounds)
    print(f"ranking {space.size():,} networks of {space.name}: {1e3 * ranking[0]:.1f} ms of the processor")
    print(f"best: {rounds[0][0][0]}")
    for number, genome in enumerate(drawn(space, options.networks, options.seed)):
        if number < len(read(table)):
            continue
        model, built, waited = timed(kspike.Spikformer, genome.to_config())
        operations, ran, also = timed(counted, model)
        if operations != cost.flops(genome):
            raise SystemExit(f"{genome}: hooks count {operations}, the closed form {cost.flops(genome)}.")
        row = {
            "space": space.name, "seed": options.seed, "network": number, "build_s": round(built, 4),
            "count_s": round(ran, 4), "elapsed_s": round(waited + also, 4), "flops": operations,
            "threads": os.environ.get("OMP_NUM_THREADS", ""), "processor": hardware()["processor"],
            "versions": said_versions(),
        }  # fmt: skip
        append(table, row)
        print(f"{number + 1}/{options.networks}: built in {built:.2f} s, counted in {ran:.2f} s", flush=True)
    rows = read(table)
    if not rows:
        return
    text = page(space, ranking, options.rounds, rows)
    write_text(options.out.with_suffix(".md"), text)
    print(text)


if __name__ == "__main__":
    main()
