"""Spaces over networks of several stages: genes by stage, slots for every stage's largest depth, exact checks."""

import itertools
import json

import numpy as np
import pytest

from kspike import SpikformerConfig, cost
from kspike.space import Genome, SearchSpace
from tests.space.staged import SMALL, SPACES, THREE, TWO, Down, Plain
from tests.space.words import Gate

pytestmark = pytest.mark.once


def test_the_space_that_users_write_counts_its_networks():
    base = SpikformerConfig(embed_dim=(32, 64, 128), depth=(1, 1, 2), downsample="staged_down", num_heads=8)
    mixers = ("token_qk", "ssa", "words_gate", "identity")
    space = SearchSpace(
        base, embed_dim={1: (32, 64), 2: (64, 96, 128)}, depth={2: (1, 2)}, mixer=mixers, mlp_ratio=(1, 2, 4)
    )
    block = 4 * 3
    assert space.size() == 2 * 3 * block * block * (block + block**2)
    assert [gene.name for gene in space.genes] == ["embed_dim.1", "embed_dim.2", "depth.2", "mixer", "mlp_ratio"]
    assert [gene.stage for gene in space.genes] == [1, 2, 2, None, None]
    largest = space.largest().to_config()
    assert (largest.widths, largest.depths, set(largest.mlp_ratio)) == ((32, 64, 128), (1, 1, 2), {4.0})
    assert cost.parameters(largest) >= max(cost.parameters(space.sample(seed=s).to_config()) for s in range(20))
    assert space.smallest().to_config().widths == (32, 32, 64)


def test_slots_have_room_for_each_stages_own_largest_depth():
    space = SPACES["widths_and_depths"]
    assert (space.stages, space.max_depths, space.max_depth, space.starts) == (3, (1, 2, 3), 6, (0, 1, 3))
    assert [space.stage(block) for block in range(6)] == [0, 1, 1, 2, 2, 2]
    genome = space.genome(embed_dim={0: 8, 2: 24}, depth={1: 1, 2: 3}, mlp_ratio=(1, 2, 1, 1, 2, 2))
    assert (genome.depths, genome.depth, genome.blocks) == ((1, 1, 3), 5, (0, 1, 3, 4, 5))
    config = genome.to_config()
    assert (config.widths, config.depths) == ((8, 16, 24), (1, 1, 3))
    assert config.mlp_ratio == (1.0, 2.0, 1.0, 2.0, 2.0)  # block slot 2 is not expressed
    assert [genome.values["mlp_ratio"][slot] for slot in genome.blocks] == list(config.mlp_ratio)
    assert genome.to_dict(expressed=True)["mlp_ratio"] == list(config.mlp_ratio)
    assert Genome.from_dict(genome.to_dict(expressed=True), space) == genome
    one = SearchSpace(SpikformerConfig(num_heads=4), depth=(1, 3)).genome(depth=1)
    assert (one.depths, one.blocks, one.space.max_depths, one.space.starts) == ((1,), (0,), (3,), (0,))


def test_genes_of_a_stage_act_there_alone_and_elsewhere_the_base_holds():
    space = SPACES["by_stage"]
    assert [slot.name for slot in space.slots if slot.gene.field == "mixer"] == ["mixer.1/1", "mixer.1/2"]
    genome = space.genome(
        depth={1: 2}, mixer={1: ("words_gate", "ssa")}, num_heads={0: 4, 1: 1}, mlp_ratio={1: 2},
        v_threshold={"attention": (0.25, 0.5, 0.25)},
    )  # fmt: skip
    config = genome.to_config()
    assert config.mixer == ("ssa", "words_gate", "ssa") and config.mlp_ratio == (4.0, 2.0, 2.0)
    assert config.num_heads == (4, SpikformerConfig().num_heads[0], 1)
    assert config.v_threshold["attention"] == (0.25, 0.5, 0.25)
    assert space.gene("mixer", block=0) is None and space.gene("mixer", block=2).name == "mixer.1"
    assert space.choices("mixer", block=0) == ("ssa",) and space.choices("num_heads", block=0) == (2, 4)
    assert space.slots[space.position("mixer", block=2)].name == "mixer.1/2"


def test_values_of_blocks_are_given_for_blocks_slots_or_stages():
    space = SPACES["widths_and_depths"]
    made = lambda r: space.genome(embed_dim={0: 8, 2: 16}, depth={1: 1, 2: 3}, mlp_ratio=r).to_config().mlp_ratio
    assert made((1, 2, 1)) == made((1, 2, 1, 1, 1)) == made((1, 2, 2, 1, 1, 1)) == (1.0, 2.0, 1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="one value, 3 \\(one a stage\\), 5 values \\(depth\\) or 6 .*got 4"):
        made((1, 2, 1, 1))


def test_what_stands_around_blocks_is_a_gene():
    space = SPACES["around"]
    quiet = {"stem": "staged_plain", "downsample": {1: Down(fires=False)}, "depth": {0: 1}}
    genome = space.genome(**quiet, head="neuron", neuron="words_if", v_threshold={"head": 0.5})
    config = genome.to_config()
    assert (config.head, config.downsample, config.stem) == ("neuron", (Down(fires=False),), "staged_plain")
    assert config.v_threshold.head == 0.5 and config.tau.head == 2.0
    assert "v_threshold.stem" not in str(genome)  # no neuron of that kind is left
    quiet["downsample"] = {1: "staged_down"}
    loud = space.genome(**quiet, head="mean", neuron="lif", v_threshold={"stem": 0.6})
    assert loud.to_config().v_threshold.stem == 0.6


def test_one_stage_named_is_the_network():
    base = SpikformerConfig(num_heads=4)
    named = SearchSpace(base, embed_dim={0: (32, 64)}, depth={"0": (1, 2)}, mixer={0: ("ssa", "identity")})
    assert named == SearchSpace(base, embed_dim=(32, 64), depth=(1, 2), mixer=("ssa", "identity"))
    assert named.genome(embed_dim={0: 32}, depth=1, mixer="ssa").to_config().widths == (32,)


def test_the_base_gives_each_stage_its_own_values():
    base = TWO.replace(mlp_ratio=(1.0, 2.0, 3.0), depth=(1, 2))
    assert SearchSpace(base, depth={1: (1, 2)}).genome(depth={1: 1}).to_config().mlp_ratio == (1.0, 2.0)
    deeper = SearchSpace(base, depth={0: (1, 2)})  # one value in stage 0: spread over its blocks
    assert deeper.genome(depth={0: 2}).to_config().mlp_ratio == (1.0, 1.0, 2.0, 3.0)
    with pytest.raises(ValueError, match="2 different values of mlp_ratio in stage 1, but the space reaches depth 3"):
        SearchSpace(base, depth={1: (1, 3)})


def test_the_largest_has_at_every_stage_the_word_with_most_parameters_there():
    """A depth-wise 7x7 convolution has more weights than self-attention in narrow stages, fewer in wide ones."""
    base = SpikformerConfig(**SMALL, embed_dim=(8, 64), depth=(1, 1))
    space = SearchSpace(base, mixer=("ssa", "dwconv7"), depth={1: (1, 2)})
    assert space.largest().to_config().mixer == ("dwconv7", "ssa", "ssa")
    assert space.smallest().to_config().mixer == ("ssa", "dwconv7")
    counts = [cost.parameters(genome.to_config()) for genome in space.genomes()]
    assert [cost.parameters(end().to_config()) for end in (space.smallest, space.largest)] == [min(counts), max(counts)]


def test_spaces_with_stages_are_told_apart_and_read_back(tmp_path):
    space = SearchSpace(TWO, name="two", embed_dim={1: (16, 32)}, downsample=("staged_down", Down(fires=False)))
    again = SearchSpace.load(space.save(tmp_path / "two.json"))
    assert again == space and again.to_dict()["genes"]["embed_dim"] == {"1": [16, 32]}
    assert again.to_dict()["genes"]["downsample"] == {"1": ["staged_down", {"name": "staged_down", "fires": False}]}
    assert space.fingerprint() != SearchSpace(TWO, embed_dim={0: (16, 32)}).fingerprint()
    genome = space.sample(seed=0)
    assert Genome.from_dict(json.loads(json.dumps(genome.to_dict())), again) == genome


@pytest.mark.parametrize(
    "genes, message",
    [
        ({"embed_dim": (16, 32)}, "embed_dim must name the stage.*3 stages.*embed_dim={2: \\(16, 32\\)}"),
        ({"depth": 2}, "depth must name the stage"),
        ({"depth": {3: (1, 2)}}, "depth by stage: expected one of \\[0, 1, 2\\], got 3"),
        ({"mixer": {-1: ("ssa",)}}, "mixer by stage.*got -1"),
        ({"mixer": {True: ("ssa",)}}, "mixer by stage.*got True"),
        ({"downsample": {0: ("staged_down",)}}, "downsample by stage \\(the one that begins\\).*\\[1, 2\\], got 0"),
        ({"depth": {1: (1, 2), "1": (1, 3)}}, "depth names stage 1 twice"),
        ({"depth": {}}, "depth names no stage"),
        ({"embed_dim": {1: ()}}, "embed_dim.1 has no choices"),
        ({"depth": {1: (1, 1.5)}}, "depth.1 must list whole numbers"),
        ({"depth": {1: (0, 1)}}, "depth.1 must list whole numbers of at least 1, got 0"),
        ({"mixer": {2: ("ssa", "sa")}}, "mixer.2: .*'sa'.*did you mean 'ssa'"),
        ({"local": {1: ("ssa", {"name": "ssa", "scale": 0.125})}}, "local.1: ssa and .* build the same network"),
        ({"embed_dim": {1: (16, 21)}}, "2 heads do not divide width 21 of stage 1"),
        ({"num_heads": {2: (2, 3)}}, "3 heads do not divide width 16 of stage 2"),
        ({"mlp_ratio": {0: (2.0, 2.01)}}, "mlp_ratio.0 .*same hidden width at embed_dim 8 of stage 0"),
        ({"mixer": {1: "words_gate"}, "num_heads": {1: (2, 4)}}, "num_heads.1 could not act, no mixer has heads"),
        ({"downsample": {2: ("staged_down", Down(stride=1))}}, "downsample.2: .*gives 1x1.*stride=1\\) gives 2x2"),
        ({"stem": ("sps", Plain(stride=2))}, "stem: .*sps gives 4x4, staged_plain\\(stride=2\\) gives 8x8"),
        ({"v_threshold": {"head": (0.5, 1.0)}}, "no choice has a neuron of kind 'head'"),
        ({"embed_dim": {0: (8, 12)}}, "embed_dim must be a multiple of 8"),
        ({"tau": {1: (1.5, 2.0)}}, "tau: unknown neuron kind 1"),
    ],
)
def test_what_could_not_be_built_or_could_not_act_is_refused(genes, message):
    with pytest.raises(ValueError, match=message):
        SearchSpace(THREE, **genes)


def test_a_downsampling_is_no_gene_of_one_stage():
    with pytest.raises(ValueError, match="downsample cannot be a gene: the base has one stage"):
        SearchSpace(SpikformerConfig(), downsample=("strided",))
    with pytest.raises(ValueError, match="mixer by stage: expected one of \\[0\\], got 1"):
        SearchSpace(SpikformerConfig(), mixer={1: "ssa"})


def test_heads_of_a_stage_whose_base_has_none_are_asked_for():
    base = TWO.replace(mixer=("words_gate", "ssa"), embed_dim=(16, 32))
    with pytest.raises(ValueError, match="12 heads do not divide width 16 of stage 0.*give num_heads"):
        SearchSpace(base, mixer=("words_gate", "ssa"))
    assert SearchSpace(base, mixer=("words_gate", "ssa"), num_heads=2).size() == 2**3


def test_every_sample_is_a_network_of_the_space():
    for space in SPACES.values():
        for genome in (space.sample(seed=seed) for seed in range(10)):
            config = genome.to_config()
            assert config.depths == genome.depths and len(genome.blocks) == config.num_blocks
            for block, slot in enumerate(genome.blocks):
                assert config.stage(block) == space.stage(slot)
                assert config.mixer[block] in space.choices("mixer", block=slot)


def test_a_large_space_of_stages_is_counted_by_hand():
    base = SpikformerConfig(**SMALL, embed_dim=(16, 32, 64), depth=(1, 1, 1))
    space = SearchSpace(
        base, depth={0: (1, 4), 1: (2, 10), 2: (1, 20)}, mixer=("ssa", "words_gate", Gate(bias=False)), num_heads=(1, 2)
    )
    ways = lambda depths: sum(4**depth for depth in depths)
    assert space.size() == ways((1, 4)) * ways((2, 10)) * ways((1, 20))
    assert all(g.to_config() for g in itertools.islice(space.genomes(), 5))


def drawn(rng):
    """A random space of one to three stages, small enough to be walked through."""
    stages = int(rng.integers(1, 4))
    base = SpikformerConfig(
        **{**SMALL, "downsample": "staged_down" if stages > 1 else None},
        embed_dim=tuple(int(w) for w in rng.choice((8, 16), stages)), depth=tuple([1] * stages),
        mixer=str(rng.choice(("ssa", "words_gate"))), head=str(rng.choice(("mean", "neuron"))),
    )  # fmt: skip
    some = lambda of: tuple(of[i] for i in sorted(rng.permutation(len(of))[: rng.integers(1, len(of) + 1)]))
    offered = {
        "stem": ("sps", "staged_plain"), "downsample": ("staged_down", Down(fires=False)), "head": ("mean", "neuron"),
        "neuron": ("lif", "words_if"), "local": ("identity", "words_gate"),
        "mixer": ("words_none", "ssa", "words_gate"), "mlp": ("spiking", "words_flat"),
        "embed_dim": (8, 16), "depth": (1, 2), "num_heads": (1, 2, 4),
        "mlp_ratio": (1, 2),
    }  # fmt: skip
    genes = {}
    for field in rng.permutation(list(offered))[:5]:
        staged = range(1 if field == "downsample" else 0, stages)
        if field in ("stem", "head", "neuron") or (field not in ("embed_dim", "depth") and rng.random() < 0.5):
            genes[field] = some(offered[field])
        elif staged:
            genes[field] = {
                s: some(offered[field]) for s in rng.permutation(staged)[: rng.integers(1, len(staged) + 1)]
            }
    genes |= {"num_heads": (1, 2)} if "num_heads" not in genes or "mixer" in genes else {}
    return base, genes, {"v_threshold": {str(rng.choice(("stem", "head", "qkv", "attention", "fc2"))): (0.25, 0.6)}}


@pytest.mark.parametrize("seeds", [range(10), pytest.param(range(100), marks=pytest.mark.proof)])
def test_random_spaces_hold_what_they_count(seeds):
    made = 0
    for seed in seeds:
        base, genes, neurons = drawn(np.random.default_rng(seed))
        try:
            space = SearchSpace(base, **genes, **neurons)
        except ValueError:  # a gene that could not act in this one
            continue
        if space.size() > 200:
            continue
        made += 1
        configs = {genome.to_config(): genome for genome in space.genomes()}
        assert space.size() == len(configs)
        for genome in (space.sample(seed=i) for i in range(20)):
            assert configs[genome.to_config()] == genome
            assert Genome.from_dict(json.loads(json.dumps(genome.to_dict())), space).indices == genome.indices
        counted = list(configs)[:50]
        sizes = cost.Sizes.of_space(space, np.array([configs[config].indices for config in counted]))
        for count in (cost.parameters, cost.flops):
            np.testing.assert_array_equal(count(sizes), count(counted))
    assert made >= len(seeds) / 5
