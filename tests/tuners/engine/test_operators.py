"""Operators change what they say, at the rate they say, and nothing else."""

import numpy as np
import pytest

from kspike.space import SearchSpace
from kspike.tuners.engine import Crossover, Mutation

pytestmark = pytest.mark.once

SPACE = SearchSpace(
    depth=(1, 2, 3, 4), timesteps=(1, 2, 3, 4), mlp_ratio=(1, 2, 3, 4), v_threshold={"stem": (0.5, 1.0)}
)


def changes(operator, runs=4000):
    """Share of runs in which each slot changed, corrected for the old value being drawn again."""
    parent = SPACE.sample(seed=0)
    rng = np.random.default_rng(0)
    differ = np.mean([np.not_equal(operator(parent, rng).indices, parent.indices) for _ in range(runs)], axis=0)
    return differ / (1 - 1 / SPACE.cardinalities)


def test_mutation_keeps_its_two_rates():
    rates = changes(Mutation(rate=0.2, structural_rate=0.4))
    structural = [slot.gene.structural for slot in SPACE.slots]
    assert rates[structural] == pytest.approx(0.4, abs=0.04)
    assert rates[np.logical_not(structural)] == pytest.approx(0.2, abs=0.03)


def test_mutation_of_unexpressed_blocks_gives_values_to_grow_into():
    parent = SPACE.genome(depth=1, timesteps=1, mlp_ratio=1, v_threshold={"stem": 1.0})
    rng = np.random.default_rng(1)
    children = [Mutation(rate=1.0, structural_rate=0.0)(parent, rng) for _ in range(20)]
    assert len({child.values["mlp_ratio"][3] for child in children}) > 1


def test_children_of_any_depth_are_whole_networks():
    """Auto-Spikformer's code forgets threshold and tau where depth changes: other genes land in their place."""
    space = SearchSpace.load("auto_spikformer")
    rng = np.random.default_rng(0)
    genome, depths = space.sample(seed=0), set()
    for _ in range(200):
        other = space.sample(rng=rng)
        genome = Crossover()(Mutation()(genome, rng), other, rng)
        config = genome.to_config()
        depths.add(config.depth)
        for gene in space.genes:
            if gene.scope == "block":
                values = genome.values[gene.name][: config.depth]
                assert len(values) == config.depth and set(values) <= set(gene.choices)
        assert config.v_threshold["fc1"] == genome.values["v_threshold.fc1"][: config.depth]
        assert config.tau["qkv"] == config.tau["fc2"] == genome.values["tau"][: config.depth]
    assert depths == {2, 3, 4}


def test_mutation_at_rate_zero_is_the_parent_and_changes_no_input():
    parent = SPACE.sample(seed=1)
    before = parent.indices
    assert Mutation(0.0, 0.0)(parent, np.random.default_rng(0)).indices == before
    Mutation(1.0, 1.0)(parent, np.random.default_rng(0))
    assert parent.indices == before


def test_crossover_takes_every_gene_from_one_of_two_parents_of_any_depth():
    a = SPACE.genome(depth=1, timesteps=1, mlp_ratio=1, v_threshold={"stem": 0.5})
    b = SPACE.genome(depth=4, timesteps=4, mlp_ratio=4, v_threshold={"stem": 1.0})
    children = [Crossover()(a, b, np.random.default_rng(seed)) for seed in range(50)]
    for child in children:
        assert all(i in pair for i, pair in zip(child.indices, zip(a.indices, b.indices, strict=True), strict=True))
    assert {child.depth for child in children} == {1, 4}
    assert len(set(children)) > 20


@pytest.mark.parametrize("rate", [-0.1, 1.1, "much", True, float("nan")])
def test_a_rate_must_be_a_probability(rate):
    with pytest.raises(ValueError, match="probability"):
        Mutation(rate=rate)
