"""Pareto geometry against hand-worked points and against counting."""

import numpy as np
import pytest

from kspike.tuners.engine.evolution import pareto

pytestmark = pytest.mark.once


def test_fronts_peel_off_one_after_the_other():
    points = np.array([[1, 5], [2, 2], [5, 1], [3, 3], [6, 6], [2, 2]])
    assert [sorted(f.tolist()) for f in pareto.fronts(points)] == [[0, 1, 2, 5], [3], [4]]
    assert pareto.fronts(np.empty((0, 3))) == []


def test_equal_points_do_not_dominate_each_other():
    assert [f.tolist() for f in pareto.fronts(np.array([[1.0, 2.0], [1.0, 2.0]]))] == [[0, 1]]


@pytest.mark.parametrize("missing", [False, True])
def test_fronts_are_those_of_domination_pair_by_pair(missing):
    """Also where a coordinate was not measured, which counts as worst and not as incomparable."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        points = rng.integers(0, 6, size=(30, 3)).astype(float)
        if missing:
            points[rng.random(points.shape) < 0.1] = np.inf
        better = (points[:, None] <= points[None]).all(-1) & (points[:, None] < points[None]).any(-1)
        left = set(range(len(points)))
        for front in pareto.fronts(points):
            assert set(front.tolist()) == {i for i in left if not any(better[j, i] for j in left)}
            left -= set(front.tolist())
        assert not left


def test_crowding_is_the_gap_around_a_point():
    points = np.array([[0.0, 4.0], [1.0, 3.0], [3.0, 1.0], [4.0, 0.0]])
    assert pareto.crowding(points) == pytest.approx([np.inf, 3 / 4 + 3 / 4, 3 / 4 + 3 / 4, np.inf])
    assert pareto.crowding(np.ones((3, 2))).tolist() == [np.inf, 0.0, np.inf]


def test_hypervolume_by_hand():
    assert pareto.hypervolume(np.array([[0.0, 0.0]]), np.ones(2)) == 1.0
    assert pareto.hypervolume(np.array([[0.0, 0.5], [0.5, 0.0]]), np.ones(2)) == pytest.approx(0.75)
    assert pareto.hypervolume(np.array([[1.0, 0.0], [2.0, 2.0]]), np.ones(2)) == 0.0
    assert pareto.hypervolume(np.empty((0, 3)), np.ones(3)) == 0.0


def test_hypervolume_in_three_dimensions_equals_counting_cells():
    points = np.random.default_rng(0).integers(0, 8, size=(12, 3)).astype(float)
    cells = np.stack(np.meshgrid(*[np.arange(8)] * 3, indexing="ij"), -1).reshape(-1, 3)
    counted = (points[:, None] <= cells[None]).all(-1).any(0).sum()
    assert pareto.hypervolume(points, np.full(3, 8.0)) == pytest.approx(counted)
