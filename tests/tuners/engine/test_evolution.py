"""Generations are new, inside the constraints, and follow from seed and results alone."""

import numpy as np
import pytest

from kspike import cost
from kspike.space import SearchSpace
from kspike.tuners.engine import NSGA2, Archive, Candidate, Constraints, Evolution, Proposal, SearchState

pytestmark = pytest.mark.once

DIGITS = SearchSpace.load("digits")


def evaluated(proposals):
    """Candidates of a fake evaluator: the wider and longer, the better."""
    made = []
    for p in proposals:
        config = p.genome.to_config()
        accuracy = config.embed_dim / 200 + config.timesteps / 10 + 0.001 * sum(config.mlp_ratio)
        metrics = {"accuracy": accuracy, "energy_mj": config.embed_dim * config.timesteps, "parameters": 1}
        made.append(Candidate(p, metrics, accuracy, accuracy))
    return made


def run(evolution, generations):
    archive = Archive()
    made = []
    for g in range(generations):
        proposals = evolution.propose(g, archive, len(made))
        made += proposals
        for c in evaluated(proposals):
            archive.add(c)
    return made


def test_no_network_is_proposed_twice_and_all_keep_the_constraints():
    evolution = Evolution(DIGITS, population_size=20, constraints=Constraints.of({"parameters": (None, 120_000)}))
    made = run(evolution, 4)
    assert [p.number for p in made] == list(range(80))
    assert len({p.genome.to_config() for p in made}) == 80
    assert all(cost.parameters(p.genome.to_config()) <= 120_000 for p in made)
    assert evolution.trials == 20 * 21


def test_a_generation_is_made_of_mutants_and_crossovers_of_the_best():
    made = run(Evolution(DIGITS, population_size=20, parents=5), 2)
    first, second = evaluated(made[:20]), made[20:]
    elite = {c.number for c in sorted(first, key=lambda c: -c.fitness)[:5]}
    kinds = [p.operator for p in second]
    assert kinds.count("mutation") == 10 and kinds.count("crossover") + kinds.count("random") == 10
    assert kinds.count("crossover") >= 5
    for p in second:
        assert set(p.parents) <= elite
        assert len(p.parents) == {"mutation": 1, "crossover": 2, "random": 0}[p.operator]


@pytest.mark.parametrize("selection", [None, NSGA2()])
def test_a_seed_repeats_a_search_and_another_does_not(selection):
    options = {"population_size": 8} | ({"selection": selection} if selection else {})
    first, again, other = (run(Evolution(DIGITS, seed=seed, **options), 3) for seed in (0, 0, 1))
    assert [p.to_dict() for p in first] == [p.to_dict() for p in again]
    assert [p.genome for p in first] != [p.genome for p in other]


def test_a_generation_does_not_depend_on_the_order_of_results():
    evolution = Evolution(DIGITS, population_size=10)
    results = evaluated(evolution.propose(0, Archive(), 0))
    orders = (results, results[::-1], list(np.random.default_rng(0).permutation(results)))
    made = [[p.genome for p in evolution.propose(1, Archive(order), 10)] for order in orders]
    assert made[0] == made[1] == made[2]


def test_evolution_improves_on_its_start():
    made = evaluated(run(Evolution(DIGITS, population_size=20), 6))
    assert max(c.fitness for c in made[20:]) > max(c.fitness for c in made[:20])


@pytest.mark.slow
def test_a_small_space_is_exhausted_to_the_last_network():
    space = SearchSpace(depth=(1, 2), mlp_ratio=(1, 2, 3))
    evolution = Evolution(space, population_size=8)
    made = run(evolution, 3)
    assert len(made) == len({p.genome for p in made}) == space.size() == 12
    assert evolution.propose(3, Archive(evaluated(made)), 12) == []


def test_constraints_that_exclude_everything_are_said_before_work_starts():
    with pytest.raises(ValueError, match="No network of space 'digits'.*1,000.*smallest network has 4.,... parameters"):
        Evolution(SearchSpace.load("digits"), constraints=Constraints.of({"parameters": (None, 1000)}))


@pytest.mark.parametrize(
    "size, message", [(10**9, "at most 100,000, got 1,000,000,000"), (60_000, "has 55,944 networks:")]
)
def test_a_population_that_cannot_be_is_refused(size, message):
    space = SearchSpace.load("auto_spikformer_more_layer_1")
    with pytest.raises(ValueError, match=f"population_size .*{message}"):
        Evolution(space, population_size=size)
    low = space.smallest().to_config()
    few = Constraints.of({"parameters": (None, cost.parameters(low))})
    with pytest.raises(ValueError, match=r"networks that keep the constraints \(parameters from .*give at most"):
        Evolution(space, population_size=50_000, constraints=few)


@pytest.mark.parametrize("field, value", [("population_size", 0), ("generations", -1), ("parents", 2.5), ("seed", -1)])
def test_bad_settings_are_refused(field, value):
    with pytest.raises(ValueError, match=field):
        Evolution(DIGITS, **{field: value})


def test_the_last_generation_is_ranked_too():
    """The public code of Auto-Spikformer evaluates its last generation and never ranks it."""
    state = SearchState(Evolution(DIGITS, generations=2, population_size=4), "accuracy", "max")
    while isinstance(proposal := state.ask(), Proposal):
        state.tell(proposal.number, {"accuracy": proposal.number / 100})
    assert state.best().number == 11 and state.best().generation == 2


def test_as_many_parents_as_candidates_are_still_each_one():
    """The public code of Auto-Spikformer keeps its best by their number, and two lists of one number are one list."""
    evolution = Evolution(DIGITS, generations=1, population_size=6, parents=6, mutation_share=0.0)
    first = evaluated(evolution.propose(0, Archive(), 0))
    assert [c.number for c in evolution.selection(first)] == sorted(
        range(6), key=lambda number: (-first[number].fitness, number)
    )
    crossed = [p for p in evolution.propose(1, Archive(first), 6) if p.operator == "crossover"]
    assert crossed and all(len(set(p.parents)) == 2 for p in crossed)
