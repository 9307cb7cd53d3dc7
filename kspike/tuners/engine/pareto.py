"""Pareto geometry: domination, fronts, crowding and hypervolume of points whose every coordinate is to be small."""

from __future__ import annotations

import numpy as np


def dominates(points: np.ndarray) -> np.ndarray:
    """For points (n, d): an (n, n) matrix, true where i is nowhere worse than j and somewhere better."""
    a, b = points[:, None], points[None]
    return np.logical_and(np.all(a <= b, axis=-1), np.any(a < b, axis=-1))


def fronts(points: np.ndarray) -> list[np.ndarray]:
    """Sorts points (n, d) into fronts (NSGA-II): the first is dominated by nobody, the next only by the first, ..."""
    over = dominates(points)
    left = np.arange(len(points))
    out = []
    while len(left):
        first = ~over[np.ix_(left, left)].any(0)
        out.append(left[first])
        left = left[~first]
    return out


def crowding(points: np.ndarray) -> np.ndarray:
    """Crowding distance of the points (n, d) of one front: the gap around each, summed; infinite at the edges."""
    n, dims = points.shape
    worst = np.where(np.isfinite(points), points, -np.inf).max(0, initial=0.0)
    points = np.where(np.isfinite(points), points, worst + 1.0)  # what was not measured lies just behind the worst
    distance = np.zeros(n)
    for k in range(dims):
        order = np.argsort(points[:, k], kind="stable")
        values = points[order, k]
        spread = values[-1] - values[0]
        distance[order[[0, -1]]] = np.inf
        if spread > 0 and n > 2:
            distance[order[1:-1]] += (values[2:] - values[:-2]) / spread
    return distance


def hypervolume(points: np.ndarray, reference: np.ndarray) -> float:
    """Volume between the points (n, d) and a reference point that is worse in every coordinate (by slicing, exact).

    Points that are not better than the reference in every coordinate add nothing.
    """
    points = np.asarray(points, dtype=float).reshape(-1, len(reference))
    points = points[(points < reference).all(1)]
    if not len(points):
        return 0.0
    if points.shape[1] == 1:
        return float(reference[0] - points.min())
    points = points[np.argsort(points[:, -1], kind="stable")]
    ends = np.append(points[1:, -1], reference[-1])
    return float(
        sum(
            (end - point[-1]) * hypervolume(points[: i + 1, :-1], reference[:-1])
            for i, (point, end) in enumerate(zip(points, ends, strict=True))
            if end > point[-1]
        )
    )
