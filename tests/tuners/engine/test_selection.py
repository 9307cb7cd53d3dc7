"""Ranking: feasible first, failed never, ties by number; the front in three dimensions."""

import math

import pytest

from kspike.space import SearchSpace
from kspike.tuners.engine import NSGA2, Archive, ByScore, Candidate, Proposal
from kspike.tuners.engine.archive import hypervolume

pytestmark = pytest.mark.once

SPACE = SearchSpace(depth=(1, 2, 3, 4), mlp_ratio=(1, 2, 3, 4))


def candidate(number, accuracy=0.5, energy=1.0, parameters=100, violation=0.0, failed=False):
    metrics = {"accuracy": accuracy, "energy_mj": energy, "parameters": parameters}
    proposal = Proposal(number, number // 4, SPACE.sample(seed=number))
    if failed:
        return Candidate(proposal, {"parameters": parameters}, message="broken")
    return Candidate(proposal, metrics, accuracy, accuracy, violation)


def numbers(candidates):
    return [c.number for c in candidates]


@pytest.mark.parametrize("selection", [ByScore(), NSGA2()])
def test_feasible_first_then_the_least_violation_and_failed_not_at_all(selection):
    ranked = selection(
        [
            candidate(0, 0.99, violation=0.5),
            candidate(1, 0.99, violation=0.1),
            candidate(2, failed=True),
            candidate(3, 0.2),
        ]
    )
    assert numbers(ranked) == [3, 1, 0]


def test_by_score_prefers_the_earlier_trial_among_equals():
    assert numbers(ByScore()([candidate(5, 0.7), candidate(2, 0.7), candidate(9, 0.8)])) == [9, 2, 5]


def test_nsga2_ranks_by_front_then_by_crowding():
    inner = candidate(0, 0.6, 2.9)
    found = NSGA2(objectives=(("accuracy", "max"), ("energy_mj", "min")))(
        [inner, candidate(1, 0.9, 4.0), candidate(2, 0.1, 1.0), candidate(3, 0.5, 2.8), candidate(4, 0.4, 3.9)]
    )
    assert set(numbers(found)[:2]) == {1, 2}
    assert set(numbers(found)[2:4]) == {0, 3}
    assert numbers(found)[4] == 4
    with pytest.raises(ValueError, match="pairs"):
        NSGA2(objectives=(("accuracy", "up"),))


def test_the_front_weighs_accuracy_energy_and_parameters_and_leaves_the_infeasible_out():
    archive = Archive(
        [
            candidate(0, 0.9, 2.0, 100),
            candidate(1, 0.8, 1.0, 100),
            candidate(2, 0.8, 2.0, 50),
            candidate(3, 0.8, 2.0, 100),
            candidate(4, 0.99, 0.1, 1, violation=1.0),
            candidate(5, failed=True),
        ]
    )
    assert numbers(archive.front()) == [0, 1, 2]
    assert numbers(archive.front(generation=0)) == [0, 1, 2]


def test_a_candidate_without_a_metric_counts_as_worst_in_it():
    lacking = Candidate(Proposal(0, 0, SPACE.sample(seed=0)), {"accuracy": 0.5, "parameters": 100}, 0.5, 0.5)
    assert numbers(NSGA2()([lacking, candidate(1, 0.5, 1.0, 100)])) == [1, 0]


def test_hypervolume_grows_with_the_front_and_is_measured_against_the_largest():
    few, more = [candidate(0, 0.5, 1.0, 50)], [candidate(0, 0.5, 1.0, 50), candidate(1, 0.9, 1.5, 90)]
    assert hypervolume(few, energy_mj=2.0, parameters=100) == pytest.approx(0.5 * 0.5 * 0.5)
    assert hypervolume(more, 2.0, 100) == pytest.approx(0.125 + 0.9 * 0.25 * 0.1 - 0.5 * 0.25 * 0.1)
    assert hypervolume([], 2.0, 100) == 0.0


def test_the_archive_orders_by_number_and_keeps_the_first_result():
    archive = Archive()
    for c in (candidate(2, 0.2), candidate(0, 0.1), candidate(2, 0.9)):
        archive.add(c)
    assert numbers(archive) == [0, 2] and archive[2].accuracy == 0.2
    assert math.isnan(candidate(3, failed=True).accuracy)
