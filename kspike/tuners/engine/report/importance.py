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
    its mean over the expressed blocks, in at most as many groups as the gene has choices; a word as the most frequent
    one; networks that have no use for the gene are one group more. One gene is looked at at a
    time, among candidates that a search has chosen: genes that were chosen together share what either does.

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


def by_choice(candidates: Sequence[Candidate], quantity: Callable[[Candidate], float]) -> dict[tuple[str, str], float]:
    """How a quantity goes with each choice of a word, from -1 to 1: positive where networks with more of it have more.

    The correlation coefficient of the quantity with the share of a network's blocks that have the choice (of a word of
    the whole network: 1 where it has it, else 0); 0 where either is the same in all candidates. One choice is looked at
    at a time, as one gene is in `importance`: shares of one gene add up to 1, so where one choice helps, others harm.

    Args:
        candidates: those that failed are left out.
        quantity: of a candidate, such as `lambda c: c.accuracy`.

    Returns:
        (gene name, label of the choice) -> correlation, gene by gene; genes of numbers or of one choice left out; empty
        with fewer than three candidates.
    """
    completed = [c for c in candidates if c.completed]
    if len(completed) < 3:
        return {}
    y = np.array([quantity(c) for c in completed], dtype=float)
    found: dict[tuple[str, str], float] = {}
    for gene in completed[0].genome.space.genes:
        if gene.word and len(gene.choices) > 1:
            shares = np.array([histogram([c], gene) for c in completed])
            found |= {(gene.name, label): _correlation(shares[:, i], y) for i, label in enumerate(gene.labels)}
    return found


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    if any(
        np.ptp(values) <= 1e-12 * np.abs(values).max() for values in (x, y)
    ):  # what is left of equal numbers is rounding
        return 0.0
    return float(np.clip(np.corrcoef(x, y)[0, 1], -1.0, 1.0))


def _groups(candidates: Sequence[Candidate], gene: Gene) -> np.ndarray:
    found = [expressed(c, gene) for c in candidates]
    if gene.word:  # no order among words: a group a word
        return np.array([_most_common([gene.index(word) for word in words]) for words in found])
    there = np.array([bool(values) for values in found])
    values = np.array([np.mean(some) if some else 0.0 for some in found], dtype=float)
    if gene.scope == "block" and there.any():
        edges = np.unique(np.quantile(values[there], np.linspace(0, 1, len(gene.choices) + 1)[1:-1]))
        values = np.searchsorted(edges, values, side="right").astype(float)
    return np.where(there, values, -1.0)  # networks that have no use for it are a group of their own


def _most_common(words: Sequence[int]) -> int:
    return max(sorted(set(words)), key=words.count)


def _share(y: np.ndarray, total: float, groups: np.ndarray) -> float:
    levels = np.unique(groups)
    n, k = len(y), len(levels)
    if np.ptp(y) <= 1e-12 * np.abs(y).max() or k < 2 or n <= k:  # what is left of equal numbers is rounding
        return 0.0
    between = sum((groups == level).sum() * (y[groups == level].mean() - y.mean()) ** 2 for level in levels)
    return float(np.clip(1 - (n - 1) / (n - k) * (1 - between / total), 0.0, 1.0))


def expressed(candidate: Candidate, gene: Gene) -> tuple[Any, ...]:
    """The values of a gene that a candidate's network has: one, or one a block that has a use for it."""
    return candidate.genome.expressed_values(gene)


def histogram(candidates: Sequence[Candidate], gene: Gene) -> list[float]:
    """Share of each choice of a gene among candidates, block by block where it acts; zeros where it acts nowhere."""
    values = [value for c in candidates for value in expressed(c, gene)]
    return [values.count(choice) / len(values) if values else 0.0 for choice in gene.choices]
