"""constraints={"nir": True} and "integer": what is left of a space runs there, and what is taken out does not."""

import pytest

import kspike
from kspike.components.mixers.v3_attention import V3Attention
from kspike.components.stems.single_conv import ConvStem
from kspike.export.nir_files import graph_of
from kspike.space import SearchSpace
from kspike.tuners import EvolutionSearchOracle, ZeroCostSearchOracle
from kspike.tuners.engine.constraints import Constraints
from kspike.tuners.engine.runnable import integer_refusals, narrowed, nir_refusals
from tests.export.networks import CONFIGS, NIR, SMALL

pytestmark = pytest.mark.once

BASE = {"input_shape": (8, 8, 1), "timesteps": 2, "num_classes": 4, "embed_dim": 16, "num_heads": 2, "mlp_ratio": 1}


def space(residual="add", base=None, **genes):
    return SearchSpace(kspike.SpikformerConfig(**{**BASE, "residual": residual, **(base or {})}), name="small", **genes)


def choices(found, name):
    return next(gene.choices for gene in found.genes if gene.name == name)


@NIR
def test_nir_takes_out_what_its_writer_refuses():
    whole = space(
        stem=("sps", ConvStem(stride=4)), mixer=("ssa", "token_qk", "dwconv3", "channel_qk"),
        neuron=("lif", "integer", "if"), embed_dim=(16, 32), depth=(1, 2),
    )  # fmt: skip
    left = narrowed(whole, ("nir",))
    assert choices(left, "mixer") == ("token_qk", "dwconv3", "channel_qk") and choices(left, "neuron") == ("lif", "if")
    assert choices(left, "stem") == ("sps", ConvStem(stride=4)) and choices(left, "embed_dim") == (16, 32)
    assert left.name == whole.name and left.size() < whole.size()
    for seed in range(3):
        config = left.sample(seed=seed).to_config()
        assert not nir_refusals(config)
        graph_of(kspike.Spikformer(config))
    potentials = space("membrane", {"stem": "spikingformer"}, mixer=("max_pool", "sdsa1", "token_qk"), depth=(1, 2))
    assert choices(narrowed(potentials, ("nir",)), "mixer") == ("sdsa1", "token_qk")


@NIR
@pytest.mark.parametrize("name", ["sdt", "events", "stages", "levels"])
def test_a_network_is_refused_where_the_writer_refuses_it(name):
    config = CONFIGS[name]()
    try:
        graph_of(kspike.Spikformer(config))
    except ValueError as why:
        assert str(why) in nir_refusals(config).values()
    else:
        assert not nir_refusals(config)


@NIR
@pytest.mark.parametrize(
    "given, match",
    [
        (lambda: space(mixer=("ssa",), depth=(1, 2)), "leaves no choice of mixer.*q k.T v"),
        (lambda: space(depth=(1, 2)), "refuses space 'small': NIR cannot say block_0/attention"),
        (lambda: space(base={"v_reset": None, "mixer": "token_qk"}, depth=(1, 2)), "soft reset"),
    ],
)
def test_a_space_of_which_nothing_is_left_is_refused(given, match):
    with pytest.raises(ValueError, match=match):
        narrowed(given(), ("nir",))


def test_integer_takes_out_what_multiplies_and_what_is_no_power_of_two():
    whole = space(
        "membrane", {"stem": "spikingformer", "head": "neuron"}, embed_dim=(16, 32), num_heads=(2, 4), tau=(1.5, 2, 4),
        mixer=("ssa", V3Attention(expansion=1), "sepconv", "sepconv_spike", "sdsa3"), neuron=("plif", "lif"),
    )  # fmt: skip
    left = narrowed(whole, ("integer",))
    assert choices(left, "mixer") == ("ssa", "sepconv_spike") and choices(left, "neuron") == ("lif",)
    assert choices(left, "tau") == (2.0, 4.0)
    assert not integer_refusals(left.largest().to_config())
    found = integer_refusals(CONFIGS["membrane"]())
    assert "multiplies potentials" in found["decoding"] and "1.5, is no power of two" in found[""]
    with pytest.raises(ValueError, match="linear layer multiplies potentials"):
        narrowed(space("membrane", {"stem": "spikingformer"}, depth=(1, 2)), ("integer",))
    assert narrowed(space(depth=(1, 2)), ("integer",)) == space(depth=(1, 2))


def test_v3_attention_stays_where_its_factor_is_a_power_of_two():
    config = lambda heads: kspike.SpikformerConfig(
        **{**BASE, **SMALL, "num_heads": heads}, residual="membrane", head="neuron", stem="spikingformer", depth=1,
        mixer="v3_attention",
    )  # fmt: skip
    assert not integer_refusals(config(4)) and "1" in integer_refusals(config(2))["block_0/attention"]


@NIR
def test_searches_go_over_what_is_left():
    whole = space(mixer=("ssa", "token_qk"), depth=(1, 2))
    asked = {"nir": True, "integer": False, "parameters": (None, 1e6)}
    evolution = EvolutionSearchOracle(whole, constraints=asked, generations=0, population_size=2)
    ranked = ZeroCostSearchOracle(whole, constraints=asked)
    assert evolution.space == ranked.space == narrowed(whole, ("nir",)) and ranked.ranking.standings.networks == 2
    assert evolution._fingerprint()["constraints"] == {"parameters": [None, 1e6], "nir": True}
    assert str(Constraints.of(asked)) == "parameters from anything to 1,000,000, nir"
    with pytest.raises(ValueError, match="must be True or False"):
        Constraints.of({"nir": (0, 1)})
