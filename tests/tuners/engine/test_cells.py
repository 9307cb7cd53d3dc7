"""Cost cells against visiting every network, and against the published sizes of AutoST's spaces."""

from collections import defaultdict

import pytest

from kspike import cost
from kspike.space import SearchSpace
from kspike.tuners.engine.constraints import counted
from kspike.tuners.engine.ranking import block_sums
from kspike.tuners.engine.ranking import cells as module
from kspike.tuners.engine.ranking.block_sums import TooManyCosts
from kspike.tuners.engine.ranking.cells import CostCells
from kspike.tuners.engine.ranking.quantities import QUANTITIES
from tests.tuners.engine.spaces import SPACES

pytestmark = pytest.mark.once

ALL = tuple(QUANTITIES)


def attention(config):
    """Operations of attention as K^T V, then Q (K^T V), counted head by head."""
    per_head = lambda h: 2 * config.tokens * (config.embed_dim // h) ** 2
    return config.timesteps * sum(h * per_head(h) for h in config.num_heads)


#: Of the spaces of a thousand networks all quantities are enough, beside `make proof`.
LARGE = ("autost", "uneven_ratios", "neurons")
EACH = [
    pytest.param(name, names, id=f"{kind}-{name}", marks=pytest.mark.proof if kind == "two" and name in LARGE else ())
    for kind, names in (("two", ("parameters", "flops")), ("all", ALL))
    for name in SPACES
]


@pytest.mark.slow
@pytest.mark.parametrize("name, names", EACH)
def test_cells_hold_every_network_once_under_its_own_cost(name, names):
    space = SPACES[name]
    expected = defaultdict(set)
    for genome in space.genomes():
        config = genome.to_config()
        known = {**counted(config), "attention": attention(config)}
        expected[tuple(known[n] for n in names)].add(genome)
    cells = CostCells(space, names)
    assert cells.distinct() == len(expected) and sum(cells.counts) == space.size()
    found = defaultdict(list)
    for i in range(len(cells)):
        genomes = list(cells.genomes(i))
        assert len(genomes) == cells.counts[i]
        found[tuple(int(cells.values[n][i]) for n in names)] += genomes
    assert {key: set(genomes) for key, genomes in found.items()} == expected
    assert sum(map(len, found.values())) == space.size()


@pytest.mark.parametrize("name, cells", [("autost_tiny", 480), ("autost_small", 825), ("autost_base", 2478)])
def test_autosts_spaces_have_as_few_cells_as_the_source_says(name, cells):
    found = CostCells(SearchSpace.load(name), ("parameters", "flops"))
    assert len(found) == found.distinct() == cells
    assert sum(found.counts) == SearchSpace.load(name).size()


@pytest.mark.parametrize("name", [n for n in SearchSpace.names() if not n.startswith("kspike_mixers")])  # too many
def test_every_published_space_is_enumerated_whole(name):
    space = SearchSpace.load(name)
    cells = CostCells(space, ALL)
    assert sum(cells.counts) == space.size()
    for i in (0, len(cells) // 2, len(cells) - 1):
        genome = next(cells.genomes(i))
        assert cost.parameters(genome) == cells.values["parameters"][i]
        assert cost.flops(genome) == cells.values["flops"][i]
        config = genome.to_config()
        if config.stages == 1 and set(config.mixer) == {"ssa"}:
            assert attention(config) == cells.values["attention"][i]


def test_networks_of_a_cell_come_with_usual_neurons_first():
    cells = CostCells(SPACES["neurons"], ("parameters", "flops"))
    first = next(cells.genomes(0)).values
    assert first["tau.stem"] == 2.0 and first["v_threshold.stem"] == 1.0
    assert first["tau.fc1"][0] == 2.0 and first["v_threshold.attention"][0] == 0.5


@pytest.mark.parametrize("limit, says", [("MOST_CELLS", "different costs"), ("MOST_SUMS", "different sums"),
                                         ("MOST_COUNTED", "one by one")])  # fmt: skip
def test_a_space_too_rich_is_said_to_be(monkeypatch, limit, says):
    monkeypatch.setattr(block_sums if limit == "MOST_SUMS" else module, limit, 3)
    with pytest.raises(TooManyCosts, match=says):
        CostCells(SPACES["autost"])


def test_an_unknown_quantity_is_named():
    with pytest.raises(ValueError, match="did you mean 'parameters'"):
        CostCells(SPACES["autost"], ("parameter",))
