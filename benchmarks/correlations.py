"""Rank correlations with intervals from resampling, and when they say nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats

RESAMPLED = 2000
#: Fewer networks than this decide nothing, whatever their interval: of ten, a rho below 0.63 is chance at 5 %.
LEAST = 10


def kendall(x: np.ndarray, y: np.ndarray) -> float:
    """Kendall's tau-b; 0 where one of both is constant."""
    value = stats.kendalltau(x, y).statistic
    return 0.0 if np.isnan(value) else float(value)


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's rho; 0 where one of both is constant."""
    x, y = stats.rankdata(x), stats.rankdata(y)
    return _pearson(x, y)


def brown(x: np.ndarray, y: np.ndarray) -> float:
    """The largest rho with the mean of x and y that their own, r, allows: sqrt(2 r / (1 + r)) (Spearman and Brown)."""
    r = max(0.0, spearman(x, y))
    return float(np.sqrt(2 * r / (1 + r)))


def partial(x: np.ndarray, y: np.ndarray, given: np.ndarray) -> float:
    """Spearman's partial correlation of x and y given a third; 0 where the third explains either wholly."""
    xy, xz, yz = spearman(x, y), spearman(x, given), spearman(y, given)
    rest = (1 - xz**2) * (1 - yz**2)
    return float((xy - xz * yz) / np.sqrt(rest)) if rest > 1e-12 else 0.0


def _pearson(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.mean(), y - y.mean()
    size = np.sqrt((x**2).sum() * (y**2).sum())
    return float((x * y).sum() / size) if size > 0 else 0.0


def interval(
    statistic: Callable[..., float], columns: Sequence[np.ndarray], seed: int = 0
) -> tuple[float, float, float]:
    """(value, lower, upper): percentile bootstrap, 95 %, networks drawn with replacement.

    A network drawn twice ties with itself and pulls Kendall's tau-b a little; the interval is that of the value for a
    population of such networks. Where a draw leaves a column constant its correlation counts as 0, which widens the
    interval towards "nothing found".

    Args:
        statistic: of the columns.
        columns: numbers `(networks,)` each.
        seed: of the draws.

    Raises:
        ValueError: fewer than three networks, columns of different lengths, or what is no finite number.
    """
    lengths = {len(column) for column in columns}
    if len(lengths) != 1 or min(lengths) < 3:
        raise ValueError(f"A correlation needs columns of at least three networks, all alike; got {sorted(lengths)}.")
    if not all(np.isfinite(column).all() for column in columns):
        raise ValueError("A correlation needs finite numbers; leave out the networks that have none.")
    rng, n = np.random.default_rng(seed), lengths.pop()
    drawn = [statistic(*(c[rows] for c in columns)) for rows in rng.integers(0, n, (RESAMPLED, n))]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return statistic(*columns), float(low), float(high)


def inconclusive(networks: int, low: float, high: float) -> str:
    """Why a correlation says nothing; "" where it may say something."""
    if networks < LEAST:
        return f"inconclusive: {networks} networks, {LEAST} are needed"
    return "inconclusive: the interval holds 0" if low <= 0 <= high else ""
