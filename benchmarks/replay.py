"""Replays searches on tables of networks that have been evaluated: evolution by score, NSGA-II and random search.

    python benchmarks/replay.py            # the small space that was evaluated whole, with inherited weights
    python benchmarks/replay.py mixers     # the networks over the mixers that were trained, out of a large space

The first reads the rows "walked" of docs/results/inherited_c10_16.csv, and must have all of them; the second reads
docs/results/table_mixers_c10_16.csv, as many rows as there are. benchmarks/table.py grows both. Of a large space
searches can have the networks of the table alone: what an operator makes is replaced by the nearest one that the search
has not evaluated (benchmarks/listed.py says how near). Every network is judged by its first seed, as a search would.

100 seeds each, at equal evaluations. Prints, and writes as CSV, the mean of the best AEB and of the front's
hypervolume, the difference to random search with its 95 % interval (bootstrap over seeds), the probability that a
search beats a random one, and the p of a two-sided Wilcoxon signed-rank test, seeds paired, corrected for the number of
comparisons (Holm). Draws both against evaluations. A minute of one core; no network runs.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from listed import Listed
from proxies_table import read_table
from replayed import RANDOM, curves, evolution, holm, rows_of, save, walk
from rows import read, write
from table import MIXERS, SPACE, embedded, key_of, subspace

from kspike.space import Genome, SearchSpace
from kspike.tuners.engine import NSGA2, ByScore
from kspike.tuners.engine.archive import hypervolume
from kspike.tuners.engine.constraints import counted

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results"
BETA = 0.02
METHODS = {RANDOM: None, "evolution": ByScore(), "NSGA-II": NSGA2((("accuracy", "max"), ("energy_mj", "min")))}
#: Table -> its file, what is written, and generations after the first: of 640 networks 100 evaluations, of 150 50.
TABLES = {"walked": ("inherited_c10_16", "replay_c10_16", 9), "mixers": ("table_mixers_c10_16", "replay_mixers", 4)}
Known = dict[Genome, dict[str, float]]


def walked(path: Path) -> tuple[SearchSpace, Known]:
    """The space that was evaluated whole, and its networks, all of which the table must hold."""
    whole = SearchSpace.load(SPACE)
    space = subspace(whole)
    rows = {row["genome"]: row for row in read(path) if row["part"] == "walked"}
    found: Known = {}
    for genome in space.genomes():
        row = rows.get(key_of(embedded(genome, whole)))
        if row is not None:
            found[genome] = {name: float(row[name]) for name in ("accuracy", "energy_mj", "parameters")}
    if len(found) < space.size():
        have = f"{path} holds {len(found)} of {space.size()} networks"
        raise SystemExit(f"error: {have}; let benchmarks/table.py inherited finish.")
    return space, found


def mixers(path: Path) -> tuple[SearchSpace, Known]:
    """The networks over the mixers that the table holds, and the space cut down to them."""
    whole = SearchSpace.load(MIXERS)
    if not path.exists():
        raise SystemExit(f"error: there is no {path}; benchmarks/table.py mixers grows it.")
    found: Known = {}
    for key, entry in read_table(path).items():
        genome = Genome.from_dict(json.loads(key), whole)
        metrics = {"accuracy": next(iter(entry["accuracy"].values())), "energy_mj": entry["energy_mj"][0]}
        found[genome] = metrics | {"parameters": counted(genome.to_config())["parameters"]}
    space = Listed.of(whole, list(found))
    return space, dict(zip(space.listed, found.values(), strict=True))


def aeb(metrics: Mapping[str, float], reference: float) -> float:
    """Accuracy x (energy / reference)^(-beta)."""
    return metrics["accuracy"] * (metrics["energy_mj"] / reference) ** -BETA


def run(
    method: str, seed: int, space: SearchSpace, look: Callable[[Genome], Mapping[str, float]],
    generations: int, population: int, parents: int, largest: Mapping[str, float],
) -> tuple[list[float], list[float]]:  # fmt: skip
    """Best AEB, and hypervolume, after each evaluation-equal generation of one search."""
    if isinstance(space, Listed):
        space.taken.clear()
    best, volume, top = [], [], -np.inf
    search = evolution(space, METHODS[method], seed, generations, population, parents)
    for state, candidate in walk(search, "aeb", look):
        if isinstance(space, Listed):
            space.taken.add(space.listed.index(candidate.genome))
        top = max(top, aeb(look(candidate.genome), largest["energy_mj"]))
        if len(state.archive) % population == 0:
            best.append(top)
            volume.append(hypervolume(list(state.archive), largest["energy_mj"], largest["parameters"]))
    return best, volume


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=tuple(TABLES), nargs="?", default="walked")
    parser.add_argument("--table", type=Path, help="CSV file of networks")
    parser.add_argument("--out", type=Path, help="CSV file to write; the plot beside it")
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--generations", type=int, help="after the first: 9 of the walked space, 4 of the mixers")
    parser.add_argument("--population", type=int, default=10)
    parser.add_argument("--parents", type=int, default=5)
    options = parser.parse_args(arguments)
    table, out, generations = TABLES[options.what]
    table, out = options.table or RESULTS / f"{table}.csv", options.out or RESULTS / f"{out}.csv"
    budget = (options.generations or generations, options.population, options.parents)
    space, known = {"walked": walked, "mixers": mixers}[options.what](table)
    total = budget[1] * (budget[0] + 1)
    if total > len(known):
        raise SystemExit(f"error: {table} holds {len(known)} networks; {total} evaluations need as many or more.")
    largest = {name: max(metrics[name] for metrics in known.values()) for name in ("energy_mj", "parameters")}
    if options.what == "walked":
        largest = known[space.largest()]
    known = {genome: {**metrics, "aeb": aeb(metrics, largest["energy_mj"])} for genome, metrics in known.items()}
    results: dict[str, list[np.ndarray]] = {}
    for method in METHODS:
        runs = [run(method, seed, space, known.__getitem__, *budget, largest) for seed in range(options.seeds)]
        results[method] = [np.array([r[i] for r in runs]) for i in range(2)]
    best = max(metrics["aeb"] for metrics in known.values())
    print(f"{len(known):,} networks; best AEB {best:.4f}; {options.seeds} seeds, settings {json.dumps(budget)}")
    steps, rows = range(budget[1], total + 1, budget[1]), []
    for what, name in enumerate(("best AEB", "hypervolume")):
        rows += rows_of(name, {method: found[what] for method, found in results.items()}, steps)
    last = [row for row in rows if row["evaluations"] == total and row["method"] != RANDOM]
    holm(last)  # the ends of the runs are what is tested; the way there is shown without correction
    for row in last:
        print(
            f"{row['quantity']}, {row['method']}: {row['mean']:.4f}, {row['difference']:+.4f} to random "
            f"({row['low']:+.4f} to {row['high']:+.4f}), beats it in {100 * row['beats_random']:.0f} % of pairs, "
            f"p {row['p']:.2g}"
        )
    write(out, rows)
    figure, _ = curves(rows, {"best AEB": {f"best of the {'space' if options.what == 'walked' else 'table'}": best}})
    save(figure, out.with_suffix(".png"))


if __name__ == "__main__":
    main()
