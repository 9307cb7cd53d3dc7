"""Searches on networks that are known already: runs them, compares them with random search, draws them.

The operators are those of `kspike.tuners`: its `Evolution`, with the selection of `selection="score"` or "nsga2", asked
and told by its `SearchState` as a tuner does. Evaluating is looking up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from kspike.space import Genome, SearchSpace
from kspike.tuners.engine import NSGA2, ByScore, Candidate, Evolution, Proposal, SearchState
from kspike.tuners.engine.constraints import EXACT

RANDOM = "random"
#: What each column of a comparison with random search holds.
COMPARED = ("difference", "low", "high", "beats_random", "p")


def evolution(
    space: SearchSpace, selection: ByScore | NSGA2 | None, seed: int, generations: int, population: int, parents: int
) -> Evolution:
    """A search as a tuner makes it; without a selection random search, a generation 0 as large as all together."""
    if selection is None:
        total = population * (generations + 1)
        return Evolution(space, generations=0, population_size=total, parents=parents, seed=seed)
    return Evolution(
        space, generations=generations, population_size=population, parents=parents, selection=selection, seed=seed
    )


class Looked(SearchState):
    """A search whose evaluations are looked up, the sizes of networks too: counting them takes milliseconds each."""

    def __init__(self, search: Evolution, objective: str, look: Callable[[Genome], Mapping[str, float]]) -> None:
        super().__init__(search, objective, "max")
        self.look = look

    def sizes(self, genome: Genome) -> dict[str, int]:
        """Sizes as the table has them."""
        return {name: int(value) for name, value in self.look(genome).items() if name in EXACT}


def walk(
    search: Evolution, objective: str, look: Callable[[Genome], Mapping[str, float]]
) -> Iterator[tuple[SearchState, Candidate]]:
    """The state of a search and what it evaluated last, after every evaluation.

    Args:
        search: what makes the generations.
        objective: the metric that is the score; more is better.
        look: the metrics of a genome, the objective among them.
    """
    state = Looked(search, objective, look)
    while isinstance(proposal := state.ask(), Proposal):
        yield state, state.tell(proposal.number, look(proposal.genome))


def compare(found: np.ndarray, random: np.ndarray) -> dict[str, float]:
    """How a search does against random search, seeds paired."""
    difference = found - random
    rng = np.random.default_rng(0)
    means = rng.choice(difference, (10_000, len(difference))).mean(1)
    p = 1.0 if not difference.any() else float(stats.wilcoxon(difference, zero_method="zsplit").pvalue)
    better = (found[:, None] > random).mean() + 0.5 * (found[:, None] == random).mean()
    low, high = np.quantile(means, (0.025, 0.975))
    return dict(zip(COMPARED, (difference.mean(), low, high, better, p), strict=True))


def holm(rows: list[dict[str, Any]]) -> None:
    """Replaces p by the value that Holm's step-down correction gives."""
    running = 0.0
    order = sorted(rows, key=lambda row: row["p"])
    for i, row in enumerate(order):
        running = max(running, min(1.0, (len(order) - i) * row["p"]))
        row["p"] = running


def rows_of(quantity: str, runs: Mapping[str, np.ndarray], evaluations: Sequence[int]) -> list[dict[str, Any]]:
    """One row a search and number of evaluations: mean over seeds, spread, and all but random search against that.

    Args:
        quantity: what the numbers are.
        runs: search -> `(seeds, len(evaluations))`; "random" among them.
        evaluations: after how many they are.
    """
    rows = []
    for method, values in runs.items():
        for step, count in enumerate(evaluations):
            found = values[:, step]
            row = {"quantity": quantity, "method": method, "evaluations": count, "mean": found.mean()}
            row["sd"] = found.std(ddof=1)
            row["half_width"] = 1.96 * row["sd"] / len(found) ** 0.5
            against = compare(found, runs[RANDOM][:, step]) if method != RANDOM else dict.fromkeys(COMPARED, "")
            rows.append(row | against)
    return rows


def curves(rows: list[dict[str, Any]], lines: Mapping[str, Mapping[str, float]]) -> tuple[Any, dict[str, Any]]:
    """A figure of means over seeds with their 95 % intervals, against evaluations; and its axes, one a quantity.

    Args:
        rows: as `rows_of` gives them.
        lines: quantity -> label -> height of a dashed line.
    """
    from matplotlib.figure import Figure

    quantities, methods = (list(dict.fromkeys(row[key] for row in rows)) for key in ("quantity", "method"))
    figure = Figure(figsize=(4.5 * len(quantities), 3.8), layout="constrained")
    panels = dict(zip(quantities, np.atleast_1d(figure.subplots(1, len(quantities))), strict=True))
    for name, axes in panels.items():
        for method in methods:
            inside = [row for row in rows if row["quantity"] == name and row["method"] == method]
            x = [row["evaluations"] for row in inside]
            mean, wide = (np.array([row[key] for row in inside]) for key in ("mean", "half_width"))
            axes.plot(x, mean, label=method)
            axes.fill_between(x, mean - wide, mean + wide, alpha=0.2)
        axes.set(xlabel="evaluations", ylabel=name)
        for label, height in lines.get(name, {}).items():
            axes.axhline(height, color="0.6", linewidth=1, linestyle="--", label=label)
    next(iter(panels.values())).legend(fontsize="small", loc="lower right")
    return figure, panels


def save(figure: Any, path: Path) -> None:
    """Writes a figure that is the same file for the same numbers."""
    figure.savefig(path, dpi=120, metadata={"Software": None})
