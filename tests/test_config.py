"""One architecture as data: what it accepts, what it makes of it, what it refuses and how it says so."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from kspike import components
from kspike.config import BLOCK_KINDS, KINDS, SpikformerConfig
from kspike.surrogate import ATan

pytestmark = pytest.mark.once


def test_defaults_are_the_published_spikformer():
    config = SpikformerConfig()
    assert config.num_heads == (12, 12, 12, 12)
    assert config.hidden_dims == (1536,) * 4
    assert config.stage_channels == (48, 96, 192, 384)
    assert config.stage_sizes == ((32, 32), (32, 32), (32, 32), (16, 16))
    assert (config.grid, config.tokens, config.has_time) == ((8, 8), 64, False)
    assert config.neuron_args("stem") == {"tau": 2.0, "v_threshold": 1.0}
    for kind in ("qkv", "proj", "fc1", "fc2"):
        assert config.neuron_args(kind, 3) == {"tau": 2.0, "v_threshold": 1.0}
    assert config.neuron_args("attention", 0) == {"tau": 2.0, "v_threshold": 0.5}


def test_frames_and_odd_sizes():
    config = SpikformerConfig(
        input_shape=(16, 33, 47, 2), timesteps=16, embed_dim=64, num_heads=4, stem_pool=(True, True, True, True)
    )
    assert config.has_time
    assert config.image_shape == (33, 47, 2)
    assert config.stage_sizes == ((33, 47), (17, 24), (9, 12), (5, 6))
    assert config.tokens == 3 * 3


def test_given_once_and_given_by_block_are_the_same_network():
    once = SpikformerConfig(num_heads=6, mlp_ratio=4, tau=2, v_threshold=1)
    spread = SpikformerConfig(
        num_heads=[6] * 4,
        mlp_ratio=(4.0,) * 4,
        stem_channels=[48, 96, 192],
        tau=(2.0,) * 4,
        v_threshold={"stem": 1.0, "qkv": (1,) * 4, "attention": [0.5] * 4},
        surrogate={"name": "sigmoid", "alpha": 4.0},
    )
    assert once == spread
    assert hash(once) == hash(spread)
    assert len({once, spread}) == 1
    assert once != SpikformerConfig()


def test_plain_neuron_values_spare_the_stem_and_attention():
    config = SpikformerConfig(tau=(2.0, 2.0, 1.25, 10.0), v_threshold=(0.6, 0.8, 1.0, 1.2))
    assert config.tau.stem == 2.0
    assert config.tau.attention == config.tau.fc2 == (2.0, 2.0, 1.25, 10.0)
    assert config.v_threshold.stem == 1.0
    assert config.v_threshold.attention == (0.5,) * 4
    assert config.v_threshold.fc1 == (0.6, 0.8, 1.0, 1.2)
    assert config.neuron_args("fc1", 3) == {"tau": 10.0, "v_threshold": 1.2}


def test_neuron_values_by_kind():
    config = SpikformerConfig(
        tau={"stem": 3, "fc1": (1.5, 2, 3, 4)}, v_threshold={"stem": 0.9, "attention": 0.4, "fc1": (1.0, 1.0, 0.8, 1.2)}
    )
    assert config.tau.stem == 3.0
    assert config.tau.fc1 == (1.5, 2.0, 3.0, 4.0)
    assert config.tau.qkv == (2.0,) * 4
    assert config.v_threshold.stem == 0.9
    assert config.v_threshold.attention == (0.4,) * 4
    assert config.v_threshold.fc2 == (1.0,) * 4
    assert set(config.tau) == set(KINDS)
    assert dict(config.tau)["stem"] == 3.0


def test_values_of_neurons_that_the_shortcut_lacks_make_no_difference():
    assert SpikformerConfig(tau={"input": 5.0}) == SpikformerConfig()
    membrane = SpikformerConfig(residual="membrane", v_threshold={"proj": 0.7, "fc2": 0.7})
    assert membrane == SpikformerConfig(residual="membrane")
    assert SpikformerConfig(residual="membrane", tau={"input": 5.0}) != SpikformerConfig(residual="membrane")


VARIANTS = {
    "default": {},
    "events": {
        "input_shape": (10, 128, 128, 2),
        "timesteps": 10,
        "embed_dim": 256,
        "depth": 2,
        "num_heads": 16,
        "stem_pool": (True,) * 4,
        "qkv_bias": False,
        "scale": 0.25,
    },
    "by_block": {"num_heads": (12, 12, 6, 6), "mlp_ratio": (4, 4, 3.5, 3), "stem_channels": (8, 16, 24)},
    "membrane": {"residual": "membrane", "neuron": "plif", "tau": 3, "v_threshold": (0.6, 0.7, 0.8, 0.9)},
    "neurons": {
        "tau": {"stem": 1.5, "qkv": (2, 3, 4, 5)},
        "v_threshold": {"attention": 0.3},
        "v_reset": None,
        "decay_input": False,
        "detach_reset": False,
        "surrogate": ATan(alpha=3.0),
    },
}


@pytest.mark.parametrize("name", VARIANTS)
def test_round_trip_through_json(name):
    config = SpikformerConfig(**VARIANTS[name])
    text = json.dumps(config.to_dict())
    back = SpikformerConfig.from_dict(json.loads(text))
    assert back == config
    assert json.dumps(back.to_dict()) == text


#: SHA-256 of configs as JSON, written down before stems, mixers and MLPs were fields: ids, fingerprints and the
#: settings of runs are made of this text.
WRITTEN_DOWN = {
    "e71803f654a31c56671d5adeaa5fdd89a5e23267f968a01690fe11eabcdad415": {},
    "98269fca9b55888d60cc67ebe3a332d6dc9f590b9b2980178254f10be8926347": {
        "neuron": "plif", "residual": "membrane", "depth": 2, "num_heads": (2, 4), "embed_dim": 64,
    },
    "c9c4dcb47963c3971682a6c73a5a00258cbac109d704cb8fffaffccbe9ccf821": {
        "input_shape": (8, 8, 1), "timesteps": 2, "embed_dim": 16, "depth": 1, "num_heads": 2, "residual": "membrane",
        "neuron": "plif", "tau": 3.0, "v_threshold": {"qkv": 0.5}, "v_reset": None,
    },
}  # fmt: skip
ZOO = sorted((Path(__file__).resolve().parents[1] / "zoo").glob("*/config.json"))


@pytest.mark.once
@pytest.mark.parametrize("digest", WRITTEN_DOWN)
@pytest.mark.parametrize("said", [False, True], ids=["as before", "by name"])
def test_a_config_is_written_as_it_was(digest, said):
    fields = WRITTEN_DOWN[digest]
    words = {"stem": "sps", "mixer": components.get("mixer", "ssa"), "mlp": "spiking"} if said else {}
    config = SpikformerConfig(**fields, **words)
    text = json.dumps(config.to_dict())
    assert hashlib.sha256(text.encode()).hexdigest() == digest
    assert len(json.loads(text)) == 22
    assert SpikformerConfig.from_dict(json.loads(text)) == config == SpikformerConfig(**fields)


@pytest.mark.once
@pytest.mark.parametrize("path", ZOO, ids=lambda path: path.parent.name)
def test_a_published_config_reads_and_writes_as_it_lies_there(path):
    text = path.read_text()
    assert json.dumps(SpikformerConfig.from_dict(json.loads(text)).to_dict()) == json.dumps(json.loads(text))


@pytest.mark.once
def test_components_are_words_where_their_settings_are_defaults():
    config = SpikformerConfig(mixer=components.get("mixer", "ssa"), neuron=components.get("neuron", "lif"), stem="sps")
    assert (config.mixer, config.neuron, config.stem) == (("ssa",) * 4, "lif", "sps")
    other = SpikformerConfig(mixer=("ssa", "token_qk"), depth=2, neuron="if", stem={"name": "single_conv", "stride": 4})
    data = other.to_dict()
    assert list(data)[22:] == ["stem", "mixer"]  # what is not as ever, after the 22
    assert data["neuron"] == "if" and data["mixer"] == ["ssa", "token_qk"]
    assert data["stem"] == {"name": "single_conv", "stride": 4}


def test_numpy_numbers_are_numbers():
    config = SpikformerConfig(embed_dim=np.int64(64), num_heads=np.int32(4), tau=np.float32(2.0), timesteps=np.int8(2))
    assert config == SpikformerConfig(embed_dim=64, num_heads=4, timesteps=2)
    json.dumps(config.to_dict())


def test_replace():
    config = SpikformerConfig()
    assert config.replace(timesteps=6).timesteps == 6
    assert config.replace(residual="membrane").replace(residual="add") == config
    assert config.timesteps == 4
    with pytest.raises(ValueError, match="did you mean 'timesteps'"):
        config.replace(timestep=6)


@pytest.mark.parametrize("depth", [1, 2, 6])
def test_another_depth_takes_what_is_the_same_in_every_block_along(depth):
    for fields in (
        {},
        {"embed_dim": 256, "num_heads": 8, "mlp_ratio": 2.0},
        {"tau": 3.0, "v_threshold": 0.7},
        {"tau": {"stem": 1.5, "fc1": 4.0}, "v_threshold": {"stem": 2.0, "attention": 0.25}},
        {"residual": "membrane", "tau": {"input": 3.0}, "num_heads": (12,) * 4},
    ):
        config = SpikformerConfig(**fields)
        fewer = fields | ({"num_heads": 12} if isinstance(fields.get("num_heads"), tuple) else {})
        assert config.replace(depth=depth) == SpikformerConfig(**{**fewer, "depth": depth})
        assert config.replace(depth=depth).replace(depth=4).to_dict() == config.to_dict()


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"num_heads": (12, 12, 12, 6)}, "num_heads is not the same.*12, 12, 12, 6.*depth=2: give num_heads beside"),
        ({"mlp_ratio": (4, 4, 2, 4)}, "mlp_ratio is not the same.*give mlp_ratio beside"),
        ({"tau": {"fc1": (2.0, 2.0, 1.25, 10.0)}}, "tau of fc1 is not the same.*give tau beside"),
        ({"v_threshold": (1.0, 1.0, 1.0, 2.0)}, "v_threshold of qkv is not the same.*give v_threshold beside"),
    ],
)
def test_another_depth_is_refused_where_blocks_differ_unless_their_values_are_given(fields, named):
    config = SpikformerConfig(**fields)
    with pytest.raises(ValueError, match=named):
        config.replace(depth=2)
    (name,) = fields
    whole = {"num_heads": 12, "mlp_ratio": 4.0, "tau": 2.0, "v_threshold": 1.0}[name]
    assert config.replace(depth=2, **{name: whole}) == SpikformerConfig(depth=2)
    assert config.replace(depth=4, timesteps=2) == SpikformerConfig(**fields, timesteps=2)


@pytest.mark.parametrize("value", [None, "2", {"0": 2}, float("inf"), 10**30, np.array([1, 2]), (1, "2")])
@pytest.mark.parametrize("field", ["embed_dim", "depth"])
def test_widths_and_depths_that_are_none_are_refused_by_name(field, value):
    config = SpikformerConfig(embed_dim=(16, 32), depth=(1, 2), num_heads=4, stem="peds")
    with pytest.raises(ValueError, match=f"{field} must be a whole number from 1"):
        config.replace(**{field: value})
    with pytest.raises(ValueError, match=f"{field} must be a whole number from 1"):
        SpikformerConfig.from_dict({**config.to_dict(), field: value})


def test_from_dict_names_what_it_does_not_know():
    with pytest.raises(ValueError, match=r"'embed_dims'.*did you mean 'embed_dim'.*known: input_shape"):
        SpikformerConfig.from_dict({"embed_dims": 64})
    with pytest.raises(ValueError, match="mapping"):
        SpikformerConfig.from_dict([1, 2])


REFUSED = {
    "heads_do_not_divide": ({"num_heads": (12, 12, 7, 12)}, r"block 2 has 7 heads for embed_dim 384.*12"),
    "heads_of_another_width": ({"embed_dim": 256}, r"12 heads for embed_dim 256"),
    "too_few_heads": ({"num_heads": (12, 12)}, r"num_heads.*expected 4 values.*got 2"),
    "too_many_ratios": ({"mlp_ratio": (4,) * 5}, r"mlp_ratio.*expected 4 values.*got 5"),
    "taus_of_another_depth": ({"tau": (2.0, 2.0)}, r"tau.*expected 4 values.*got 2"),
    "thresholds_of_another_depth": ({"v_threshold": {"fc1": (1.0, 2.0)}}, r"v_threshold of fc1.*expected 4.*got 2"),
    "stem_by_block": ({"tau": {"stem": (2.0, 2.0, 2.0, 2.0)}}, r"tau of the stem"),
    "unknown_kind": ({"tau": {"fc3": 2.0}}, r"unknown neuron kind 'fc3'.*did you mean 'fc\d'.*known here: stem"),
    "tau_of_1": ({"tau": 1}, r"tau.*above 1.*got 1"),
    "tau_nan": ({"tau": float("nan")}, r"tau.*finite"),
    "tau_text": ({"tau": "2"}, r"tau.*'2'"),
    "threshold_0": ({"v_threshold": 0.0}, r"v_threshold.*above 0"),
    "reset_above_threshold": ({"v_reset": 0.6, "v_threshold": 0.6}, r"v_reset.*below v_threshold"),
    "reset_above_attention": ({"v_reset": 0.5}, r"v_reset.*below v_threshold \(0.5\)"),
    "residual": ({"residual": "membran"}, r"residual.*did you mean 'membrane'"),
    "neuron": ({"neuron": "alif"}, r"Unknown neuron"),
    "surrogate": ({"surrogate": "sigmod"}, r"Unknown surrogate 'sigmod'.*did you mean 'sigmoid'.*atan"),
    "input_shape": ({"input_shape": (32, 32)}, r"input_shape must be \(height, width, channels\)"),
    "input_size": ({"input_shape": (32, 0, 3)}, r"input_shape"),
    "frames_and_steps": ({"input_shape": (10, 64, 64, 2), "timesteps": 4}, r"10 frames, but timesteps is 4"),
    "width_of_the_stem": ({"embed_dim": 36}, r"multiple of 8.*stem_channels"),
    "stem_channels": ({"stem_channels": (48, 96)}, r"three numbers"),
    "stem_pool": ({"stem_pool": (True, True)}, r"four truth values"),
    "stem_pool_values": ({"stem_pool": ("yes", "no", "no", "no")}, r"True or False, got 'yes'"),
    "depth": ({"depth": 0}, r"depth must be a whole number from 1"),
    "depth_float": ({"depth": 2.0}, r"depth must be a whole number"),
    "timesteps_bool": ({"timesteps": True}, r"timesteps must be a whole number"),
    "no_hidden_channel": ({"mlp_ratio": 0.001}, r"at least one channel"),
    "no_hidden_channel_in_a_stage": (
        {"embed_dim": (32, 8), "depth": 1, "num_heads": 4, "mlp_ratio": 0.05},
        r"mlp_ratio.*got 0.05 in block 1 of stage 1, of embed_dim 8",
    ),
    "no_ratio_in_a_stage": (
        {"embed_dim": (16, 32), "depth": (1, 2), "num_heads": 4, "mlp_ratio": (1, 0)},
        r"mlp_ratio.*got 0 in block 1 of stage 1",
    ),
    "heads_of_a_stage": (
        {"embed_dim": (16, 32), "depth": (1, 2), "num_heads": (4, 5)},
        r"num_heads.*block 1 has 5 heads for embed_dim 32 of stage 1",
    ),
    "scale": ({"scale": -1}, r"scale must be a finite number above 0"),
    "bias": ({"qkv_bias": "no"}, r"qkv_bias must be True or False"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    arguments, message = REFUSED[name]
    with pytest.raises(ValueError, match=f"(?s){message}"):
        SpikformerConfig(**arguments)


STAGES = {"embed_dim": (16, 32), "depth": 1, "num_heads": 4}


@pytest.mark.once
@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            {"mixer": {"0": "ssa"}},
            r"A mixer given as a mapping .*no 'name' among the keys \['0'\]; of several.*a tuple",
        ),
        ({"mixer": {}}, r"A mixer given as a mapping .*no 'name' among the keys \[\]"),
        ({"stem": {"stride": 2}}, r"A stem given as a mapping .*no 'name' among the keys \['stride'\]\.$"),
        ({"mixer": {"name": "ssa", "fires_last": True}}, "fires_last of the mixer 'ssa' is for residual 'membrane'"),
        ({"mixer": {"name": "ssa", "fires_last": 1}}, "fires_last of the mixer 'ssa' must be True or False, got 1"),
        ({"stem": {"name": "peds", "large": True, "events": True}}, "stem 'peds': events and large are forms"),
        # what the user named, not the downsampling that it brings
        ({"stem": "peds", "residual": "membrane"}, "stem 'peds' is made for residual 'add', got 'membrane'"),
        ({"stem": "embed_max"}, "stem 'embed_max' is made for residual 'membrane', got 'add'"),
        ({"downsample": "embed_max"}, r"downsample 'embed_max' is made for residual 'membrane', got 'add'\.$"),
    ],
)
def test_a_component_that_cannot_stand_there_is_refused_by_what_was_given(given, says):
    with pytest.raises(ValueError, match=says):
        SpikformerConfig(**STAGES, **given)


@pytest.mark.once
def test_another_stem_refuses_the_settings_of_sps_that_were_chosen():
    chosen = SpikformerConfig(**STAGES, stem_channels=(4, 6, 8))
    with pytest.raises(ValueError, match=r"stem_channels is a setting of the stem 'sps'.*got \(4, 6, 8\).*=None"):
        chosen.replace(stem="peds")
    with pytest.raises(ValueError, match="stem_pool is a setting of the stem 'sps'"):
        SpikformerConfig(**STAGES, stem_pool=(True,) * 4).replace(stem="peds")
    plain = SpikformerConfig(**STAGES)
    assert chosen.replace(stem="peds", stem_channels=None) == plain.replace(stem="peds")
    other = SpikformerConfig(**STAGES, stem="peds").replace(embed_dim=(24, 32), num_heads=2)
    assert other.stem_channels == (3, 6, 12)


def test_a_config_cannot_be_changed():
    with pytest.raises(AttributeError):
        SpikformerConfig().embed_dim = 64


def test_every_kind_has_its_neuron_arguments():
    config = SpikformerConfig(residual="membrane")
    for kind in BLOCK_KINDS:
        assert set(config.neuron_args(kind, 0)) == {"tau", "v_threshold"}
