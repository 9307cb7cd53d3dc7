"""Cost cells of spaces with words as genes, against visiting every network."""

import functools
from collections import defaultdict

import numpy as np
import pytest

from kspike import SpikformerConfig, cost
from kspike.space import SearchSpace
from kspike.tuners.engine.constraints import Constraints, counted
from kspike.tuners.engine.ranking.block_sums import BlockSums, TooManyCosts
from kspike.tuners.engine.ranking.cells import CostCells
from kspike.tuners.engine.ranking.ranking import Ranking
from kspike.tuners.engine.ranking.sample import Sample
from tests.space import staged
from tests.space.words import BASE, SMALL, SPACES, Gate

pytestmark = pytest.mark.once

ALL = SPACES | {f"stages_{name}": space for name, space in staged.SPACES.items()}
ENUMERATED = sorted(set(ALL) - {"fixed_by_block"})


@functools.cache
def networks(name):
    """Every network of a space, and what each costs, counted from their configs."""
    genomes = list(ALL[name].genomes())
    configs = [genome.to_config() for genome in genomes]
    known = {"parameters": cost.parameters(configs).tolist(), "flops": cost.flops(configs).tolist()}
    known |= {"timesteps": [c.timesteps for c in configs], "attention": [attention(c) for c in configs]}
    return genomes, known


#: Of the spaces of thousands of networks all quantities are enough, beside `make proof`.
LARGE = ("stages_around", "stages_local", "stages_widths_and_depths")
EACH = [
    pytest.param(name, names, id=f"{name}-{len(names)}", marks=pytest.mark.proof if few and name in LARGE else ())
    for few, names in ((True, ("parameters", "flops")), (False, ("parameters", "flops", "timesteps", "attention")))
    for name in ENUMERATED
]


@pytest.mark.slow
@pytest.mark.parametrize("name, names", EACH)
def test_cells_hold_every_network_once_under_its_own_cost(name, names):
    space = ALL[name]
    genomes, known = networks(name)
    expected = defaultdict(set)
    for genome, key in zip(genomes, zip(*(known[n] for n in names), strict=True), strict=True):
        expected[key].add(genome)
    cells = CostCells(space, names)
    assert sum(cells.counts) == space.size() and cells.distinct() == len(expected)
    found = defaultdict(list)
    for i in range(len(cells)):
        genomes = list(cells.genomes(i))
        assert len(genomes) == cells.counts[i]
        found[tuple(int(cells.values[n][i]) for n in names)] += genomes
    assert {key: set(genomes) for key, genomes in found.items()} == expected
    assert sum(map(len, found.values())) == space.size()


def attention(config):
    """Operations of attention as K^T V, then Q (K^T V), where a mixer has heads."""
    found = 0
    for block, branches in enumerate(config.blocks):
        height, width = config.grids[config.stage(block)]
        for mixer in (branches["local"], branches["mixer"]):
            if mixer.uses("heads", config.network):
                found += 2 * height * width * config.width(block) ** 2 // config.num_heads[block]
    return config.timesteps * found


def test_blocks_that_differ_in_the_base_are_sampled_and_it_says_why():
    space = SPACES["fixed_by_block"]
    with pytest.raises(TooManyCosts, match="different values of mixer in different blocks"):
        CostCells(space)
    ranking = Ranking(space)
    assert not ranking.standings.exact and "mixer" in ranking.standings.reason
    assert len({genome.to_config() for genome in ranking.genomes()}) == space.size()


@pytest.mark.slow
def test_a_sample_holds_each_network_once():
    for space in (*SPACES.values(), staged.SPACES["local"]):
        sample = Sample(space, ("parameters",), seed=0)
        assert len(sample.counts) == space.size()
        assert len({next(sample.genomes(i)) for i in range(len(sample.counts))}) == space.size()


@pytest.mark.parametrize("name", ["mixers_and_mlps", "stages_mixers", "stages_widths_and_depths"])
def test_the_ranking_is_that_of_sorting_every_network(name):
    genomes, known = networks(name)
    flops = dict(zip(genomes, known["flops"], strict=True))
    ranking = Ranking(ALL[name])
    assert ranking.standings.exact and [flops[g] for g in ranking.genomes()] == sorted(known["flops"], reverse=True)


def test_ratios_that_differ_from_block_to_block_are_refused_where_words_depend_on_them():
    base = SpikformerConfig(**SMALL, depth=2, mlp_ratio=(1, 2))
    space = SearchSpace(base, mlp=("spiking", "words_flat"))
    with pytest.raises(TooManyCosts, match="different values of mlp_ratio in different blocks"):
        CostCells(space)
    plain = SearchSpace(base, num_heads=(2, 4), depth=(1, 2))  # no word: what the base says adds to every network
    assert sum(CostCells(plain).counts) == plain.size()


def test_networks_within_constraints_are_counted_exactly():
    space = SPACES["mixers"]
    known = [counted(genome.to_config())["parameters"] for genome in space.genomes()]
    middle = int(np.median(known))
    assert Constraints.of({"parameters": (None, middle)}).networks(space) == sum(p <= middle for p in known)


def test_sums_count_the_blocks_that_a_kind_stands_for():
    assert BlockSums([(3,), (4,)], depth=2, ways=[1, 5]).of(2) == {(6,): 1, (7,): 10, (8,): 25}


def test_a_large_space_of_words_is_ranked_whole():
    space = SearchSpace(
        BASE, depth=(2, 6, 10), embed_dim=(16, 32, 64), num_heads=(1, 2, 4), mlp_ratio=(1, 2, 3, 4),
        mixer=("ssa", "words_none", "words_gate", Gate(bias=False)), tau=(1.5, 2.0, 3.0),
    )  # fmt: skip
    cells = CostCells(space)
    assert sum(cells.counts) == space.size()
    place = len(cells) // 2
    genome = next(cells.genomes(place))
    assert counted(genome.to_config())["parameters"] == cells.values["parameters"][place]
