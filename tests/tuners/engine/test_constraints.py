"""Constraints are exact where the architecture decides, and relative distances where measurement does."""

import math

import numpy as np
import pytest

from kspike import cost
from kspike.space import SearchSpace
from kspike.tuners.engine import Constraints
from kspike.tuners.engine.constraints import EXACT, counted
from kspike.tuners.engine.ranking.cells import CostCells

pytestmark = pytest.mark.once


def test_what_is_kept_before_evaluation_is_exactly_inside():
    space = SearchSpace.load("digits")
    genomes = [space.sample(seed=seed) for seed in range(60)]
    configs = [genome.to_config() for genome in genomes]
    bounds = {"parameters": (60_000, 200_000), "timesteps": (2, 4), "flops": (None, 2e7), "energy_mj": (None, 0.0)}
    kept = Constraints.of(bounds).keep(space, np.array([genome.indices for genome in genomes]))
    by_hand = [
        60_000 <= cost.parameters(c) <= 200_000 and 2 <= c.timesteps <= 4 and cost.flops(c) <= 2e7 for c in configs
    ]
    assert kept.tolist() == by_hand
    assert 0 < sum(by_hand) < 60
    assert counted(configs[0]) == {
        "parameters": cost.parameters(configs[0]),
        "flops": cost.flops(configs[0]),
        "timesteps": configs[0].timesteps,
    }


def test_the_bounds_themselves_are_inside():
    space = SearchSpace.load("digits")
    genome = space.sample(seed=0)
    exactly = cost.parameters(genome.to_config())
    for bounds, inside in (((exactly, exactly), True), ((None, exactly - 1), False), ((exactly + 1, None), False)):
        assert Constraints.of({"parameters": bounds}).keep(space, np.array([genome.indices]))[0] == inside


def test_violation_is_relative_and_summed():
    constraints = Constraints.of({"energy_mj": (None, 2.0), "accuracy": (0.5, None)})
    assert constraints.violation({"energy_mj": 2.0, "accuracy": 0.5}) == 0
    assert constraints.violation({"energy_mj": 3.0, "accuracy": 0.4}) == pytest.approx(0.5 + 0.2)
    assert constraints.violation({"energy_mj": math.nan, "accuracy": 0.9}) == math.inf


@pytest.mark.parametrize(
    "spec, message",
    [
        ({"params": (None, 1)}, "Unknown constraint 'params'.*parameters"),
        ({"parameters": 200_000}, "lower, upper"),
        ({"parameters": (None, "many")}, "numbers or None"),
        ({"parameters": (5, 4)}, "excludes everything"),
        ({"parameters": (None, math.nan)}, "NaN"),
        ({"parameters": (None, -1)}, "excludes everything"),
        ({"accuracy": (75, None)}, "excludes everything: it lies from 0 to 1"),
        ({"energy_mj": (None, -0.5)}, "excludes everything"),
    ],
)
def test_bad_constraints_say_what_is_wrong(spec, message):
    with pytest.raises(ValueError, match=message):
        Constraints.of(spec)


def test_bounds_are_said_in_words():
    bounds = Constraints.of({"parameters": (11_000_000, 12e6), "energy_mj": (None, 0.5)})
    assert str(bounds) == "energy_mj from anything to 0.5, parameters from 11,000,000 to 12,000,000"
    assert str(Constraints()) == "none"


@pytest.mark.parametrize("name", [n for n in SearchSpace.names() if not n.startswith("kspike_mixers")])  # too many
def test_networks_inside_are_counted_and_none_is_refused(name):
    space = SearchSpace.load(name)
    cells = CostCells(space, tuple(EXACT))
    assert Constraints().networks(space) == space.size()
    for quantity, values in cells.values.items():
        ends = counted(space.smallest().to_config())[quantity], counted(space.largest().to_config())[quantity]
        assert ends == (values.min(), values.max())  # what a space with too many costs is checked against
        within = Constraints.of({quantity: (None, ends[0])}).networks(space)
        assert within == sum(n for n, value in zip(cells.counts, values, strict=True) if value == ends[0])
        for nothing in ((None, ends[0] - 1), (ends[1] + 1, None), (ends[0] + 0.25, ends[0] + 0.75)):
            with pytest.raises(ValueError, match=f"No network of space '{name}'.*smallest network has"):
                Constraints.of({quantity: nothing}).networks(space)


def test_counts_are_held_to_their_bounds_and_to_no_others():
    bounds = Constraints.of({"parameters": (2, 3), "flops": (None, 10), "energy_mj": (None, 0.5)})
    counts = {"parameters": np.array([1, 2, 3, 3]), "flops": np.array([5, 10, 10, 11])}
    assert bounds.inside(counts).tolist() == [False, True, True, False]
    assert bounds.inside({"timesteps": np.array([1, 2])}).tolist() == [True, True]
