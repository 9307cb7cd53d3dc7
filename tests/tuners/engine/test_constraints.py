"""Constraints are exact where the architecture decides, and relative distances where measurement does."""

import math

import numpy as np
import pytest

from kspike import cost
from kspike.space import SearchSpace
from kspike.tuners import constraints as own
from kspike.tuners.engine import Constraints, Evolution, Proposal, SearchState
from kspike.tuners.engine.constraints import EXACT, counted
from kspike.tuners.engine.of_network import REGISTRY
from kspike.tuners.engine.ranking import ranking
from kspike.tuners.engine.ranking.cells import CostCells
from kspike.tuners.engine.ranking.ranking import Ranking
from tests.tuners.fakes import SPACE

pytestmark = pytest.mark.once


def widest_hidden(config):
    """A quantity that no registry knows."""
    return max(config.hidden_dims)


def parameters(config):
    """Has a name that is taken."""
    return 1


def without_a_number(config):
    """Forgets to return."""


def two_of_them():
    """Two functions of one name, as bounds."""

    def widest_hidden(config):
        return 1

    return {widest_hidden: (None, 2), globals()["widest_hidden"]: (None, 2)}


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
        ({"parameters": (None, math.nan)}, "numbers or None, got nan"),
        ({"parameters": (None, -1)}, "excludes everything"),
        ({"accuracy": (75, None)}, "excludes everything: it lies from 0 to 1"),
        ({"energy_mj": (None, -0.5)}, "excludes everything"),
        ({"latency_ms": (None, -1)}, "excludes everything"),
        ({"memory_mb": (None, -1)}, "excludes everything"),
        ({"memory": (None, 1)}, "Unknown constraint 'memory'.*did you mean 'memory_mb'.*a function of a config"),
        ({lambda config: 1: (None, 1)}, "goes by its name.*write it with def"),
        ({parameters: (None, 1)}, "'parameters' stands in every result already"),
        (two_of_them(), "two constraints 'widest_hidden'"),
    ],
)
def test_bad_constraints_say_what_is_wrong(spec, message):
    with pytest.raises(ValueError, match=message):
        Constraints.of(spec)


def test_bounds_are_said_in_words():
    bounds = Constraints.of({"parameters": (11_000_000, 12e6), "energy_mj": (None, 0.5)})
    assert str(bounds) == "energy_mj from anything to 0.5, parameters from 11,000,000 to 12,000,000"
    assert str(Constraints()) == "none"


#: Too many costs; and a space whose smallest network, in parameters, is not the smallest in all counts.
LEFT_OUT = ("kspike_mixers", "kspike_gesture")


@pytest.mark.parametrize("name", [n for n in SearchSpace.names() if not n.startswith(LEFT_OUT)])
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


BOUNDS = {widest_hidden: (20, 40), "memory_mb": (None, 0.05), "timesteps": (None, 1)}


def allowed(config):
    return 20 <= max(config.hidden_dims) <= 40 and cost.memory_mb(config) <= 0.05 and config.timesteps == 1


def test_functions_bound_what_an_evolution_proposes_and_are_among_its_metrics():
    bounds = Constraints.of(BOUNDS)
    assert bounds.to_dict() == {"memory_mb": [None, 0.05], "timesteps": [None, 1.0], "widest_hidden": [20.0, 40.0]}
    state = SearchState(Evolution(SPACE, 2, 6, 3, constraints=bounds), "accuracy", "max")
    while isinstance(proposal := state.ask(), Proposal):
        assert allowed(proposal.genome.to_config())
        state.tell(proposal.number, {"accuracy": 0.5})
    assert len(state.archive) > 6
    for c in state.archive:
        assert c.feasible and c.metrics["widest_hidden"] == widest_hidden(c.config)
        assert c.metrics["memory_mb"] == cost.memory_mb(c.config)


def test_functions_bound_a_ranking_which_keeps_its_order(monkeypatch):
    everything = list(Ranking(SPACE).genomes())
    found = list(Ranking(SPACE, constraints=Constraints.of(BOUNDS)).genomes())
    assert found == [g for g in everything if allowed(g.to_config())] and found
    spread = list(Ranking(SPACE, constraints=Constraints.of(BOUNDS), per_cost=1).genomes())
    costs = [(cost.parameters(g), cost.flops(g)) for g in found]
    assert [(cost.parameters(g), cost.flops(g)) for g in spread] == list(dict.fromkeys(costs))
    monkeypatch.setattr(ranking, "LOOKED_AT", 3)
    nowhere = Constraints.of({widest_hidden: (1000, None)})
    with pytest.raises(ValueError, match="No network.*smallest network has 8 widest_hidden"):
        Ranking(SPACE, constraints=nowhere).top(1)


def test_a_function_that_gives_no_number_is_refused_before_work_starts():
    for make in (
        lambda bounds: Ranking(SPACE, constraints=bounds),
        lambda bounds: Evolution(SPACE, constraints=bounds),
    ):
        with pytest.raises(ValueError, match="without_a_number must return a number.*returned None"):
            make(Constraints.of({without_a_number: (None, 1)}))


def test_what_is_not_finite_is_outside_whatever_the_bounds():
    def endless(config):
        return math.inf if config.depth == 1 else 1.0

    bounds = Constraints.of({endless: (None, None)})
    assert [bounds.admits(g) for g in (SPACE.smallest(), SPACE.largest())] == [False, True]


def test_a_registered_function_is_found_by_its_name(monkeypatch):
    monkeypatch.setattr(REGISTRY, "_things", dict(REGISTRY._things))
    assert own.register(widest_hidden) is widest_hidden and "widest_hidden" in own.names()
    by_name, itself = Constraints.of({"widest_hidden": (None, 3)}), Constraints.of({widest_hidden: (None, 3)})
    assert by_name == itself
    with pytest.raises(ValueError, match="'parameters' stands in every result already"):
        own.register(parameters)
    with pytest.raises(ValueError, match="is a function of a SpikformerConfig, got 3"):
        own.register(3)
