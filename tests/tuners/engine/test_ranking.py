"""The ranking against sorting every network, against AutoST's known optima, and sampled where costs are too many."""

import numpy as np
import pytest

from kspike import cost
from kspike.space import SearchSpace
from kspike.tuners.engine import Archive, Constraints
from kspike.tuners.engine.ranking import cells
from kspike.tuners.engine.ranking.quantities import QUANTITIES
from kspike.tuners.engine.ranking.ranked_trials import RankedTrials
from kspike.tuners.engine.ranking.ranking import COUNTED, TIE_BREAKS, Ranking
from kspike.tuners.engine.ranking.sample import DRAWN, Sample
from tests.tuners.engine.spaces import SPACES

pytestmark = pytest.mark.once
LARGE = ("autost", "uneven_ratios", "neurons")


def brute(space, score, tie_break, constraints):
    """(key, genome) of every network inside the constraints, best key first."""
    genomes = list(space.genomes())
    indices = np.array([g.indices for g in genomes], np.int32)
    sizes = cost.Sizes.of_space(space, indices)
    keys = [-np.asarray(QUANTITIES[COUNTED[score]].count(sizes))]
    if tie_break:
        keys.append(np.asarray(QUANTITIES[TIE_BREAKS[tie_break]].count(sizes)))
    inside = constraints.keep(space, indices)
    rows = [(tuple(int(k[i]) for k in keys), g) for i, g in enumerate(genomes) if inside[i]]
    return sorted(rows, key=lambda row: row[0])


#: Of the spaces of a thousand networks one order is enough, beside `make proof`.
ORDERS = [
    pytest.param(name, *order, marks=[pytest.mark.proof] if name in LARGE and order != first else [])
    for name in SPACES
    for first in [("flops", "attention")]
    for order in (first, ("flops", "params"), ("params", None))
]


@pytest.mark.slow
@pytest.mark.parametrize("name, score, tie_break", ORDERS)
def test_the_order_is_that_of_sorting_every_network(name, score, tie_break):
    space = SPACES[name]
    sizes = sorted(cost.parameters(g) for g in space.genomes())
    window = {"parameters": (sizes[len(sizes) // 4], sizes[-1 - len(sizes) // 4]), "timesteps": (None, 4)}
    for constraints in (Constraints(), Constraints.of(window)):
        expected = brute(space, score, tie_break, constraints)
        ranking = Ranking(space, score, tie_break, constraints)
        found = list(ranking.genomes())
        assert len(found) == len(set(found)) == len(expected)
        key = {genome: key for key, genome in expected}
        assert [key[genome] for genome in found] == [key for key, _ in expected]
        standings, best = ranking.standings, expected[0][0]
        assert standings.exact and standings.networks == len(expected)
        assert standings.tied == sum(k[0] == best[0] for k, _ in expected)
        assert standings.tied_after == sum(k == best for k, _ in expected)


OPTIMA = [  # space, window of parameters, width, depth, sum of ratios: exact, from the facts of AutoST's code
    ("autost_small", (11e6, 12e6), 512, 3, 9),
    ("autost_small", (9e6, 10e6), 512, 2, 7),
    ("autost_tiny", (5e6, 6e6), 384, 2, 8),
    ("autost_base", (29e6, 30e6), 704, 4, 14),
    ("autost_base", (33e6, 35e6), 768, 4, 14),
]


@pytest.mark.parametrize("name, window, width, depth, ratios", OPTIMA)
def test_the_known_optima_of_autosts_spaces(name, window, width, depth, ratios):
    ranking = Ranking(SearchSpace.load(name), constraints=Constraints.of({"parameters": window}))
    for genome in ranking.top(8):
        config = genome.to_config()
        assert (config.embed_dim, config.depth, sum(config.mlp_ratio)) == (width, depth, ratios)
        assert window[0] <= cost.parameters(config) <= window[1]


def test_the_best_small_network_has_the_known_size():
    best = Ranking(SearchSpace.load("autost_small"), constraints=Constraints.of({"parameters": (11e6, 12e6)})).top(1)[0]
    assert best.to_config().mlp_ratio == (3, 3, 3) and cost.parameters(best) == 11_864_764
    assert cost.flops(best) == 5_360_502_784
    assert best.to_config().num_heads == (8, 8, 8)  # of the eight ways to have heads, that of the second score


def test_a_space_too_rich_is_sampled_and_says_so(monkeypatch):
    monkeypatch.setattr(cells, "MOST_CELLS", 10)
    space = SPACES["autost"]
    ranking = Ranking(space, constraints=Constraints.of({"parameters": (None, 20_000)}))
    standings = ranking.standings
    assert not standings.exact and "different costs" in standings.reason and 0 < standings.networks <= DRAWN
    found = ranking.top(20)
    flops = [cost.flops(g) for g in found]
    assert len(set(found)) == 20 and flops == sorted(flops, reverse=True)
    assert all(cost.parameters(g) <= 20_000 for g in found)
    assert found == Ranking(space, constraints=ranking.constraints).top(20)  # by its seed


@pytest.mark.slow
def test_a_cost_may_be_held_to_a_few_networks():
    space = SPACES["neurons"]
    whole = list(Ranking(space).genomes())
    cost_of = lambda g: (cost.parameters(g), cost.flops(g))
    expected, given = [], {}
    for genome in whole:
        given[cost_of(genome)] = given.get(cost_of(genome), 0) + 1
        if given[cost_of(genome)] <= 2:
            expected.append(genome)
    assert list(Ranking(space, per_cost=2).genomes()) == expected and len(expected) < len(whole)


def test_a_sample_holds_each_network_once_whatever_its_unexpressed_blocks():
    space = SPACES["autost"]
    sample = Sample(space, ("parameters", "flops"), seed=0)
    genomes = [next(sample.genomes(i)) for i in range(len(sample.counts))]
    assert len(genomes) == len(set(genomes)) <= space.size()
    for i in (0, len(genomes) // 2, len(genomes) - 1):
        assert cost.flops(genomes[i]) == sample.values["flops"][i]


def test_a_sample_without_a_network_inside_says_that_it_was_one(monkeypatch):
    monkeypatch.setattr(cells, "MOST_CELLS", 10)
    space = SPACES["autost"]
    # each can be kept, both together cannot, which only networks themselves say
    few, many = cost.parameters(space.smallest()), cost.flops(space.largest())
    ranking = Ranking(space, constraints=Constraints.of({"parameters": (None, few), "flops": (many, None)}))
    with pytest.raises(ValueError, match="random sample of .* was looked at: it has more than 10 different costs"):
        ranking.top(1)
    for bounds in ({"parameters": (None, few - 1)}, {"flops": (many + 1, None)}):
        with pytest.raises(ValueError, match="No network of space"):
            Ranking(space, constraints=Constraints.of(bounds))


@pytest.mark.parametrize("size", [10**9])
def test_more_trials_than_can_be_are_refused(size):
    with pytest.raises(ValueError, match="max_trials must be at most 100,000, got 1,000,000,000"):
        RankedTrials(Ranking(SPACES["autost"]), size)


def test_costs_inside_are_all_or_evenly_spaced():
    ranking = Ranking(SearchSpace.load("autost_small"), constraints=Constraints.of({"parameters": (11e6, 12e6)}))
    every = ranking.costs(1000)
    assert len(every) == ranking.standings.cells and all(11e6 <= p <= 12e6 for p, _ in every)
    few = ranking.costs(5)
    assert len(few) == 5 and few[0] == every[0] and few[-1] == every[-1] and set(few) <= set(every)


def test_trials_are_the_best_in_order():
    trials = RankedTrials(Ranking(SPACES["autost"]), max_trials=5)
    proposals = trials.propose(0, Archive(), 0)
    assert [p.number for p in proposals] == [0, 1, 2, 3, 4] and {p.operator for p in proposals} == {"ranking"}
    assert [p.genome for p in proposals] == trials.ranking.top(5)
    assert len(RankedTrials(Ranking(SPACES["one_network"]), max_trials=5).propose(0, Archive(), 0)) == 1
    with pytest.raises(ValueError, match="max_trials must be a whole number"):
        RankedTrials(Ranking(SPACES["autost"]), max_trials=0)


@pytest.mark.parametrize(
    "options, says",
    [
        ({"score": "flop"}, "did you mean 'flops'"),
        ({"tie_break": "heads"}, "tie_break must be one of"),
        ({"tie_break": "flops"}, "cannot break its ties"),
        ({"per_cost": 0}, "per_cost must be a whole number"),
        ({"seed": -1}, "seed must be a whole number"),
    ],
)
def test_mistakes_are_named(options, says):
    with pytest.raises(ValueError, match=says):
        Ranking(SPACES["autost"], **options)


def test_constraints_nothing_keeps_are_said_plainly():
    with pytest.raises(ValueError, match="No network of space.*smallest network has"):
        Ranking(SPACES["autost"], constraints=Constraints.of({"parameters": (None, 10)})).top(1)
