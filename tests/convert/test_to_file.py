"""Weights written for the official code and for SpikingJelly: the tensors that those saved, and the same function."""

import json
from pathlib import Path

import numpy as np
import pytest

import kspike
from kspike.convert import from_spikformer, to_safetensors
from kspike.convert.safetensors import read_safetensors
from tests.convert import reference

DATA = Path(__file__).parent / "data"
KEPT = ("num_batches_tracked", "norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias")


def written(model, tmp_path, **options):
    settings = to_safetensors(model, tmp_path / "net.safetensors", **options)
    return settings, read_safetensors(tmp_path / "net.safetensors")


def same(found, expected):
    expected = {name: value for name, value in expected.items() if not name.endswith(KEPT)}
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert found[name].shape == value.shape and np.array_equal(found[name], value.astype("float32")), name


@pytest.mark.parametrize("name", ["spikingjelly_images", "spikingjelly_learned_tau"])
def test_what_spikingjelly_saved_is_written_again_bit_for_bit(name, tmp_path):
    """Its tests of reading hold its own logits: the same tensors in SpikingJelly are the same logits there."""
    with np.load(DATA / f"{name}.npz") as data:
        fixture = dict(data)
    tensors = {key[2:]: value for key, value in fixture.items() if key.startswith("w/")}
    model = from_spikformer(tensors, input_shape=fixture["images"].shape[1:], **json.loads(str(fixture["config"])))
    settings, found = written(model, tmp_path)
    same(found, tensors)
    assert from_spikformer(tmp_path / "net.safetensors", **settings).config == model.config


@pytest.mark.once
@pytest.mark.parametrize(
    ("naming", "names", "net", "shape"),
    [
        ("official", {}, {}, (16, 16, 3)),
        ("official", {"kind": "conv", "axes": 1, "mlp_axes": 1}, {"qkv_bias": False, "channels": 2}, (3, 48, 48, 2)),
        ("official", {"kind": "conv", "axes": 1, "mlp_axes": 2}, {"qkv_bias": False}, (128, 128, 3)),
        (
            "official_cifar_first",
            {"kind": "conv", "axes": 1, "mlp_axes": 2, "first_release": True},
            {"qkv_bias": False},
            (16, 16, 3),
        ),
    ],
)
def test_what_the_official_code_saved_is_written_again_bit_for_bit(naming, names, net, shape, tmp_path):
    tensors = reference.official(reference.network(0, **net), **names)
    model = from_spikformer(tensors, num_heads=2, input_shape=shape)
    settings, found = written(model, tmp_path, naming=naming)
    same(found, tensors)
    assert from_spikformer(tmp_path / "net.safetensors", **settings).config == model.config


@pytest.mark.shared
def test_a_published_network_is_the_same_function_where_the_code_has_no_bias(tmp_path):
    """SpikingJelly's products have none: they are in the means. What no tensor says is returned."""
    model = kspike.zoo.load("auto_spikformer_digits")
    settings, found = written(model, tmp_path, naming="spikingjelly")
    assert not any(".0.bias" in name for name in found)
    assert settings["pool_after"] == "neuron" and settings["stem_pool"] == (False, False, False, True)
    assert settings["v_threshold"]["qkv"] == [0.6] and settings["timesteps"] == 2 and "tau" not in settings
    images = kspike.data.load("digits", batch_size=60, seed=0).validation[0][0]
    again = from_spikformer(tmp_path / "net.safetensors", **settings)
    np.testing.assert_allclose(again.predict(images, verbose=0), model.predict(images, verbose=0), atol=1e-4)


def made(**fields):
    small = {"input_shape": (8, 8, 1), "embed_dim": 16, "depth": 2, "num_heads": 2, "timesteps": 1}
    return kspike.Spikformer(kspike.SpikformerConfig(**{**small, **fields}))


@pytest.mark.once
@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"mixer": ("ssa", "token_qk")}, "block_1/attention: the mixer token_qk, where there it is ssa"),
        ({"stem": "single_conv"}, "stem: the stem single_conv, where there it is sps"),
        ({"neuron": "if"}, "neurons: the neuron if, where there it is lif or plif"),
        ({"embed_dim": (16, 32), "depth": (1, 1), "input_shape": (16, 16, 1)}, "it has 2 stages"),
        ({"residual": "membrane"}, "residual='membrane'"),
    ],
)
def test_layers_that_the_code_does_not_have_are_named(fields, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        to_safetensors(made(**fields), tmp_path / "net.safetensors")
    assert not list(tmp_path.iterdir())


@pytest.mark.once
def test_other_bad_input(tmp_path):
    model = made()
    with pytest.raises(ValueError, match="ends in .safetensors"):
        to_safetensors(model, tmp_path / "net.pth")
    with pytest.raises(ValueError, match=r"Unknown naming 'spikingjely' \(did you mean 'spikingjelly'\?\)"):
        to_safetensors(model, tmp_path / "net.safetensors", "spikingjely")
    with pytest.raises(ValueError, match="with its head; received one without"):
        headless = kspike.Spikformer(model.config, include_top=False)
        to_safetensors(headless, tmp_path / "net.safetensors")
    with pytest.raises(ValueError, match="finite weights"):
        to_safetensors(model, tmp_path / "net.safetensors")  # as made here: NaN
    (tmp_path / "net.safetensors").write_text("mine")
    with pytest.raises(ValueError, match="overwrite=False"):
        to_safetensors(model, tmp_path / "net.safetensors", overwrite=False)
    assert (tmp_path / "net.safetensors").read_text() == "mine"


@pytest.mark.once
def test_time_constants_that_differ_have_no_place_in_one_neuron(tmp_path):
    model = made(neuron="plif")
    for variable in model.weights:
        value = np.full(variable.shape, 0.5, "float32")
        if variable.name == "w" and len(value) == 3:
            value[1] = 0.25
        variable.assign(value)
    with pytest.raises(ValueError, match="block_0/attention/qkv learned 3 time constants"):
        to_safetensors(model, tmp_path / "net.safetensors")
    to_safetensors(model, tmp_path / "net.safetensors", "official")
    assert read_safetensors(tmp_path / "net.safetensors")["block.0.attn.k_lif.w"] == 0.25
