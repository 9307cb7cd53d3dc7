"""Gene importance: how much of the variance between candidates each gene explains, and which values were chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kspike.space.gene import Gene
from kspike.tuners.engine.candidate import Candidate


def importance(candidates: Sequence[Candidate], quantity: Callable[[Candidate], float]) -> dict[str, float]:
    """Share of a quantity's variance over candidates that goes with each gene by itself, from 0 to 1.

    epsilon^2 = 1 - (n - 1) / (n - k) * (1 - SS_between / SS_total), 0 where negative: the correlation ratio of the
    gene's k values, corrected for what as many groups would explain by chance (Kelley, 1935). A block gene counts as
    its mean over the expressed blocks, in at most as many groups as the gene has choices. Genes are
    looked at one by one, among candidates chosen by a search: genes that are correlated there share their effect.

    Args:
        candidates: those that failed are left out.
        quantity: of a candidate, such as `lambda c: c.accuracy`.

    Returns:
        Gene name -> share, the largest first; genes of one choice left out; empty with fewer than three candidates.
    """
    completed = [c for c in candidates if c.completed]
    if len(completed) < 3:
        return {}
    y = np.array([quantity(c) for c in completed], dtype=float)
    total = float(((y - y.mean()) ** 2).sum())
    found = {}
    for gene in completed[0].genome.space.genes:
        if len(gene.choices) > 1:
            found[gene.name] = _share(y, total, _groups(completed, gene))
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _groups(candidates: Sequence[Candidate], gene: Gene) -> np.ndarray:
    values = np.array([np.mean(expressed(c, gene)) for c in candidates], dtype=float)
    if gene.scope == "network":
        return values
    edges = np.unique(np.quantile(values, np.linspace(0, 1, len(gene.choices) + 1)[1:-1]))
    return np.searchsorted(edges, values, side="right")


def _share(y: np.ndarray, total: float, groups: np.ndarray) -> float:
    levels = np.unique(groups)
    n, k = len(y), len(levels)
    if np.ptp(y) <= 1e-12 * np.abs(y).max() or k < 2 or n <= k:  # what is left of equal numbers is rounding
        return 0.0
    between = sum((groups == level).sum() * (y[groups == level].mean() - y.mean()) ** 2 for level in levels)
    return float(np.clip(1 - (n - 1) / (n - k) * (1 - between / total), 0.0, 1.0))


def expressed(candidate: Candidate, gene: Gene) -> tuple[Any, ...]:
    """The values of a gene that a candidate's network has: one, or one a block of its depth."""
    value = candidate.genome.values[gene.name]
    return value[: candidate.genome.depth] if isinstance(value, tuple) else (value,)


def histogram(candidates: Sequence[Candidate], gene: Gene) -> list[float]:
    """Share of each choice of a gene among candidates, blocks counted one by one; zeros where there are none."""
    values = [value for c in candidates for value in expressed(c, gene)]
    return [values.count(choice) / len(values) if values else 0.0 for choice in gene.choices]
