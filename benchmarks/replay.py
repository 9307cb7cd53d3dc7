"""Replays searches on the table, where a small space has been evaluated whole: `python benchmarks/replay.py`.

Reads the rows "walked" of docs/results/inherited_c10_16.csv (benchmarks/table.py grows them; it must have all of them)
and runs evolution by score, NSGA-II and random search on them, 100 seeds each, at equal evaluations. Prints, and writes
as CSV, the mean of the best AEB and of the front's hypervolume, the difference to random search with its 95 % interval
(bootstrap over seeds), the probability that a search beats a random one, and the p of a two-sided Wilcoxon signed-rank
test, seeds paired, corrected for the number of comparisons (Holm). Draws both against evaluations. Half a minute of one
core; no network runs.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rows import read, write
from scipy import stats
from table import SPACE, embedded, key_of, subspace

from kspike.space import Genome, SearchSpace
from kspike.tuners.engine import NSGA2, ByScore, Evolution, Proposal, SearchState
from kspike.tuners.engine.archive import hypervolume

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results"
BETA = 0.02
METHODS = ("random", "evolution", "NSGA-II")


def table_of(path: Path, space: SearchSpace, whole: SearchSpace) -> dict[Genome, dict[str, float]]:
    """Genome -> accuracy and energy of every network of the space, all of which it must hold."""
    rows = {row["genome"]: row for row in read(path) if row["part"] == "walked"}
    found = {}
    for genome in space.genomes():
        row = rows.get(key_of(embedded(genome, whole)))
        if row is not None:
            found[genome] = {name: float(row[name]) for name in ("accuracy", "energy_mj", "parameters")}
    if len(found) < space.size():
        have = f"{path} holds {len(found)} of {space.size()} networks"
        raise SystemExit(f"error: {have}; let benchmarks/table.py inherited finish.")
    return found


def aeb(metrics: Mapping[str, float], reference: float) -> float:
    """Accuracy x (energy / reference)^(-beta)."""
    return metrics["accuracy"] * (metrics["energy_mj"] / reference) ** -BETA


def run(
    method: str, seed: int, space: SearchSpace, look: Callable[[Genome], Mapping[str, float]],
    generations: int, population: int, parents: int, largest: Mapping[str, float],
) -> tuple[list[float], list[float]]:  # fmt: skip
    """Best AEB, and hypervolume, after each evaluation-equal generation of one search."""
    total = population * (generations + 1)
    settings: dict[str, Any] = {"space": space, "parents": parents, "seed": seed}
    if method == "random":
        settings |= {"generations": 0, "population_size": total}
    else:
        selection = NSGA2((("accuracy", "max"), ("energy_mj", "min"))) if method == "NSGA-II" else ByScore()
        settings |= {"generations": generations, "population_size": population, "selection": selection}
    state = SearchState(Evolution(**settings), "aeb", "max")
    best, volume, top = [], [], -np.inf
    while isinstance(proposal := state.ask(), Proposal):
        metrics = look(proposal.genome)
        score = aeb(metrics, largest["energy_mj"])
        state.tell(proposal.number, {**metrics, "aeb": score})
        top = max(top, score)
        if len(state.archive) % population == 0:
            best.append(top)
            volume.append(hypervolume(list(state.archive), largest["energy_mj"], largest["parameters"]))
    return best, volume


def compare(found: np.ndarray, random: np.ndarray) -> dict[str, float]:
    """How a search does against random search, seeds paired."""
    difference = found - random
    rng = np.random.default_rng(0)
    means = rng.choice(difference, (10_000, len(difference))).mean(1)
    p = 1.0 if not difference.any() else float(stats.wilcoxon(difference, zero_method="zsplit").pvalue)
    better = (found[:, None] > random).mean() + 0.5 * (found[:, None] == random).mean()
    low, high = np.quantile(means, (0.025, 0.975))
    return {"difference": difference.mean(), "low": low, "high": high, "beats_random": better, "p": p}


def holm(rows: list[dict[str, Any]]) -> None:
    """Replaces p by the value that Holm's step-down correction gives."""
    running = 0.0
    order = sorted(rows, key=lambda row: row["p"])
    for i, row in enumerate(order):
        running = max(running, min(1.0, (len(order) - i) * row["p"]))
        row["p"] = running


def plot(rows: list[dict[str, Any]], best: float, path: Path) -> None:
    """Means over seeds with their 95 % intervals, against evaluations."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.8), layout="constrained")
    panels = zip(figure.subplots(1, 2), ("best AEB", "hypervolume"), strict=True)
    for axes, name in panels:
        for method in METHODS:
            inside = [row for row in rows if row["quantity"] == name and row["method"] == method]
            x = [row["evaluations"] for row in inside]
            mean, wide = (np.array([row[key] for row in inside]) for key in ("mean", "half_width"))
            axes.plot(x, mean, label=method)
            axes.fill_between(x, mean - wide, mean + wide, alpha=0.2)
        axes.set(xlabel="evaluations", ylabel=name)
        if name == "best AEB":
            axes.axhline(best, color="0.6", linewidth=1, linestyle="--", label="best of the space")
            axes.legend(fontsize="small", loc="lower right")
    figure.savefig(path, dpi=120, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", type=Path, default=RESULTS / "inherited_c10_16.csv")
    parser.add_argument("--out", type=Path, default=RESULTS / "replay_c10_16.csv")
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--generations", type=int, default=9)
    parser.add_argument("--population", type=int, default=10)
    parser.add_argument("--parents", type=int, default=5)
    options = parser.parse_args()
    whole = SearchSpace.load(SPACE)
    space = subspace(whole)
    known = table_of(options.table, space, whole)
    largest = known[space.largest()]
    budget = (options.generations, options.population, options.parents)
    results: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for method in METHODS:
        runs = [run(method, seed, space, known.__getitem__, *budget, largest) for seed in range(options.seeds)]
        results[method] = tuple(np.array([r[i] for r in runs]) for i in range(2))  # type: ignore[assignment]
    best = max(aeb(m, largest["energy_mj"]) for m in known.values())
    print(f"{len(known):,} networks; best AEB {best:.4f}; {options.seeds} seeds, settings {json.dumps(budget)}")
    rows = []
    for what, name in enumerate(("best AEB", "hypervolume")):
        random = results["random"][what]
        for method in METHODS:
            for step in range(random.shape[1]):
                found = results[method][what][:, step]
                row = {"quantity": name, "method": method, "evaluations": (step + 1) * options.population,
                       "mean": found.mean(), "sd": found.std(ddof=1)}  # fmt: skip
                row["half_width"] = 1.96 * row["sd"] / len(found) ** 0.5
                rows.append(row | (compare(found, random[:, step]) if method != "random" else {}))
    last = [row for row in rows if row["evaluations"] == rows[-1]["evaluations"] and row["method"] != "random"]
    holm(last)  # the ends of the runs are what is tested; the way there is shown without correction
    for row in last:
        print(
            f"{row['quantity']}, {row['method']}: {row['mean']:.4f}, {row['difference']:+.4f} to random "
            f"({row['low']:+.4f} to {row['high']:+.4f}), beats it in {100 * row['beats_random']:.0f} % of pairs, "
            f"p {row['p']:.2g}"
        )
    columns = dict.fromkeys([*rows[0], "difference", "low", "high", "beats_random", "p"], "")
    write(options.out, [columns | row for row in rows])
    plot(rows, best, options.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
