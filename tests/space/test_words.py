"""Components as genes: what a network's words have no use for tells no genomes apart, and counts are exact."""

import functools
import itertools
import json

import pytest

from kspike import SpikformerConfig
from kspike.space import Genome, SearchSpace
from tests.space import staged
from tests.space.words import BASE, IF, SMALL, SPACES, Gate, Patch

pytestmark = pytest.mark.once

ALL = SPACES | {f"stages_{name}": space for name, space in staged.SPACES.items()}
NAMES = sorted(ALL)
#: Those of thousands of networks are walked in `make proof`; the others have every kind of gene that they have.
LARGE = ("stages_around", "stages_local", "stages_widths_and_depths")
WALKED = [pytest.param(name, marks=pytest.mark.proof if name in LARGE else ()) for name in NAMES]


@functools.lru_cache
def built(name):
    """(genome, config) of all genomes of a space, expressed or not; of every so manieth of a large one."""
    space = ALL[name]
    every = itertools.product(*(range(n) for n in space.cardinalities))
    taken = itertools.islice(every, 0, None, max(1, space.cardinalities.prod() // 300))
    return [(genome, genome.to_config()) for genome in map(space.decode, taken)]


@pytest.mark.parametrize("name", NAMES)
def test_two_genomes_are_one_exactly_where_they_build_one_network(name):
    genomes, configs = {}, {}
    for genome, config in built(name):
        assert genomes.setdefault(genome, config) == config
        assert configs.setdefault(config, genome) == genome
        assert configs[config].id == genome.id and hash(configs[config]) == hash(genome)


@pytest.mark.parametrize("name", WALKED)
def test_size_and_walk_hold_every_network_once(name):
    space = ALL[name]
    walked = [genome.to_config() for genome in space.genomes()]
    assert space.size() == len(walked) == len(set(walked))
    if space.cardinalities.prod() < 600:
        assert set(walked) == {config for _, config in built(name)}


def test_a_large_space_is_counted_by_hand():
    """4 heads or none, 3 ratios: a block has 4 * 3 + 2 * 3 forms, so 20 blocks have 18 ** 20."""
    mixers = ("ssa", "words_gate", "words_none")
    space = SearchSpace(BASE, depth=20, num_heads=(1, 2, 4, 8), mlp_ratio=(1, 2, 3), mixer=mixers)
    assert space.size() == 18**20


@pytest.mark.parametrize("name", NAMES)
def test_genomes_and_spaces_travel_as_json(name):
    space = ALL[name]
    again = SearchSpace.from_dict(json.loads(json.dumps(space.to_dict())))
    assert again == space and again.fingerprint() == space.fingerprint()
    for seed in range(5):
        genome = space.sample(seed=seed)
        assert Genome.from_dict(json.loads(json.dumps(genome.to_dict())), space).indices == genome.indices


def test_choices_keep_their_order_and_are_words():
    space = SPACES["mixers"]
    gene = next(gene for gene in space.genes if gene.name == "mixer")
    assert gene.choices == ("ssa", "words_none", "words_gate", Gate(bias=False))
    assert gene.plain[-1] == {"name": "words_gate", "bias": False}
    assert gene.labels[-1] == "words_gate(bias=False)"
    assert [gene.index(value) for value in ("words_gate", Gate(), {"name": "words_gate"})] == [2, 2, 2]
    assert [gene.index(value) for value in (gene.plain[-1], Gate(bias=False))] == [3, 3]
    with pytest.raises(ValueError, match="mixer must be one of .*words_gate\\(bias=False\\).*, got 'token'"):
        gene.index("token")


def test_a_word_or_an_object_alone_is_one_choice():
    assert SearchSpace(BASE, mixer="words_gate").size() == 1
    assert SearchSpace(BASE, mixer=Gate(bias=False)).sample(seed=0).to_config().mixer == (Gate(bias=False),) * 4
    assert SearchSpace(BASE, mixer={"name": "words_gate", "bias": False}) == SearchSpace(BASE, mixer=[Gate(bias=False)])


def test_the_network_has_the_words_of_its_blocks_and_defaults_where_they_have_no_use():
    space = SPACES["mixers"]
    genome = space.genome(depth=2, embed_dim=32, num_heads=(4, 2), mlp_ratio=(1, 2), mixer=(Gate(bias=False), "ssa"))
    config = genome.to_config()
    assert config.mixer == (Gate(bias=False), "ssa") and config.num_heads == (SpikformerConfig().num_heads[0], 2)
    shown = "embed_dim=32 depth=2 mixer=words_gate(bias=False),ssa num_heads=-,2 mlp_ratio=1,2"
    assert str(genome) == shown
    alone = space.genome(depth=2, embed_dim=32, mlp_ratio=1, mixer="words_none")  # heads need not be said
    assert "num_heads" not in str(alone)
    with pytest.raises(ValueError, match="lacks num_heads"):
        space.genome(depth=2, embed_dim=32, mlp_ratio=1, mixer=("words_none", "ssa"))
    with pytest.raises(ValueError, match="lacks mixer"):
        space.genome(depth=2, embed_dim=32, mlp_ratio=1, num_heads=2)


def test_neurons_that_do_not_read_tau_leave_it_as_in_the_base():
    space = SearchSpace(BASE, depth=1, neuron=("lif", "plif", "words_if"), tau=(1.5, 3.0))
    taus = {g.to_config().neuron: set() for g in space.genomes()}
    for genome in space.genomes():
        taus[genome.to_config().neuron].add(genome.to_config().tau["qkv"])
    assert taus == {"lif": {(1.5,), (3.0,)}, "plif": {(2.0,)}, "words_if": {(2.0,)}}


def test_another_stem_has_none_of_the_settings_of_the_first():
    base = SpikformerConfig(**SMALL, stem_pool=(True, False, False, True), pool_after="norm")
    space = SearchSpace(base, depth=1, stem=("sps", "words_patch"), embed_dim=(16, 32))
    by_stem = {genome.to_config().stem: genome.to_config() for genome in space.genomes()}
    assert by_stem["sps"].stem_pool == base.stem_pool and by_stem["sps"].pool_after == "norm"
    assert by_stem["words_patch"].stem_pool == SpikformerConfig().stem_pool
    assert by_stem["words_patch"].grid == by_stem["sps"].grid == (4, 4)


def test_the_largest_has_the_word_with_most_parameters_the_first_of_equals():
    space = SearchSpace(
        BASE,
        depth=2,
        mixer=("words_none", "words_gate", "ssa", {"name": "ssa", "scale": 0.5}),
        mlp=("words_flat", "spiking"),
        neuron=("words_if", "lif", "plif"),
        stem=("words_patch", "sps"),
    )
    large, small = space.largest().values, space.smallest().values
    assert (large["mixer"][0], large["mlp"][0], large["neuron"], large["stem"]) == ("ssa", "spiking", "plif", "sps")
    assert (small["mixer"][0], small["mlp"][0], small["neuron"], small["stem"]) == (
        "words_none", "words_flat", "words_if", "words_patch",
    )  # fmt: skip


@pytest.mark.parametrize(
    "genes, message",
    [
        ({"mixer": ("ssa", "words_gat")}, "words_gat.*did you mean 'words_gate'"),
        ({"mixer": ("words_gate", Gate())}, "mixer lists a choice twice: words_gate"),
        ({"mixer": ("ssa", {"name": "ssa", "scale": 0.125})}, "ssa and ssa\\(scale=0.125\\) build the same network"),
        ({"mixer": ("ssa", {"name": "words_gate", "biased": True})}, "biased.*did you mean 'bias'"),
        ({"mixer": ("ssa", IF())}, "mixer expects a mixer, got the neuron words_if"),
        ({"mixer": ()}, "mixer has no choices"),
        ({"mixer": 3}, "mixer must be the name of a mixer"),
        ({"stem": ("sps", Patch(stride=2))}, "sps gives 4x4, words_patch\\(stride=2\\) gives 8x8"),
        ({"mixer": ("words_gate", "words_none"), "num_heads": (2, 4)}, "num_heads could not act, no mixer has heads"),
        ({"mlp": "words_flat", "mlp_ratio": (2, 4)}, "mlp_ratio could not act"),
        ({"mixer": ("words_gate", "words_none"), "tau": {"qkv": (2.0, 3.0)}}, "no choice has a neuron of kind 'qkv'"),
        ({"mlp": "words_flat", "mixer": "words_none", "v_threshold": {"attention": (0.5, 1.0)}}, "'attention'"),
        ({"stem": "words_patch", "stem_channels": ((2, 4), (4,), (8,))}, "stem_channels.0 could not act"),
        ({"neuron": ("plif", "words_if"), "tau": (1.5, 2.0)}, "tau cannot be a gene with neuron='plif' and"),
        ({"mixer": ("ssa", "words_gate"), "tau": {"attention": (1.0, 2.0)}}, "tau of attention.*above 1"),
        ({"mixer": ("ssa", "words_gate"), "num_heads": (2, 3)}, "3 heads do not divide width 16"),
    ],
)
def test_what_could_not_be_built_or_could_not_act_is_refused(genes, message):
    with pytest.raises(ValueError, match=message):
        SearchSpace(BASE, depth=2, **genes)


def test_a_mixer_that_is_not_made_for_the_shortcut_is_refused():
    with pytest.raises(ValueError, match="mixer 'words_gate'|mixer .*is made for residual 'add'"):
        SearchSpace(SpikformerConfig(**SMALL, residual="membrane"), mixer=("ssa", Gate(bias=False)))


def test_a_neuron_that_cannot_have_the_bases_values_is_refused():
    with pytest.raises(ValueError, match="words_if does not read tau"):
        SearchSpace(SpikformerConfig(**SMALL, tau=3.0), neuron=("lif", "words_if"))


def test_heads_divide_widths_only_where_something_has_heads():
    base = SpikformerConfig(input_shape=(16, 16, 1), num_heads=2, embed_dim=16, mixer="words_gate")
    assert SearchSpace(base, embed_dim=(16, 40), depth=1).size() == 2
    with pytest.raises(ValueError, match="12 heads do not divide width 16"):
        SearchSpace(base, embed_dim=(16, 40), depth=1, mixer=("words_gate", "ssa"))


@pytest.fixture(scope="module")
def validator():
    return pytest.importorskip("jsonschema").Draft202012Validator(SearchSpace.schema())


@pytest.mark.parametrize("name", NAMES)
def test_spaces_of_words_follow_the_schema(name, validator):
    assert not list(validator.iter_errors(json.loads(json.dumps(ALL[name].to_dict()))))


@pytest.mark.parametrize("wrong", ["nosuch", {"name": "nosuch"}, {"bias": True}, {"name": "words_gate", "biased": 1}])
def test_words_that_loading_refuses_the_schema_refuses(wrong, validator):
    for choices in ([wrong], {"0": [wrong]}):
        assert list(validator.iter_errors({"genes": {"mixer": choices}}))
        with pytest.raises(ValueError):
            SearchSpace.from_dict({"genes": {"mixer": choices}})
