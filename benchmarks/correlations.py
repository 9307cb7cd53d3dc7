"""Rank correlations with intervals from resampling."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import stats

RESAMPLED = 2000


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


def interval(statistic: Callable[..., float], columns: list[np.ndarray], seed: int = 0) -> tuple[float, float, float]:
    """(value, lower, upper): percentile bootstrap, networks drawn with replacement.

    A network drawn twice ties with itself and pulls Kendall's tau-b a little; the interval is that of the value for a
    population of such networks.
    """
    rng, n = np.random.default_rng(seed), len(columns[0])
    drawn = [statistic(*(c[rows] for c in columns)) for rows in rng.integers(0, n, (RESAMPLED, n))]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return statistic(*columns), float(low), float(high)
