"""Pareto geometry of points to be minimised in every coordinate: fronts, hypervolume (by moocore), crowding."""

from __future__ import annotations

import moocore
import numpy as np


def fronts(points: np.ndarray) -> list[np.ndarray]:
    """Sorts points (n, d) into fronts (NSGA-II): the first is dominated by nobody, the next only by the first, ..."""
    ranks = moocore.pareto_rank(_finite(points))
    return [np.flatnonzero(ranks == rank) for rank in range(ranks.max(initial=-1) + 1)]


def crowding(points: np.ndarray) -> np.ndarray:
    """Crowding distance of the points (n, d) of one front: the gap around each, summed; infinite at the edges."""
    n, dims = points.shape
    points = _finite(points)
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
    """Volume between the points (n, d) and a reference point that is worse in every coordinate.

    Points that are not better than the reference in every coordinate add nothing.
    """
    points = np.asarray(points, dtype=float).reshape(-1, len(reference))
    return float(moocore.hypervolume(points, ref=np.asarray(reference, dtype=float)))


def _finite(points: np.ndarray) -> np.ndarray:
    """Replaces what is not finite by a value above the worst: the order stays, and moocore needs finite points."""
    worst = np.where(np.isfinite(points), points, -np.inf).max(0, initial=0.0)
    return np.where(np.isfinite(points), points, worst + 1.0)
