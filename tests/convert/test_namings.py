"""Converted networks compute what the originals compute, for every naming."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from kspike.convert import from_spikformer
from kspike.convert.architecture import recognise
from tests.convert import reference
from tests.helpers import to_numpy

DATA = Path(__file__).parent / "data"
GOLDEN = Path(__file__).parents[1] / "golden"
ALL = (True, True, True, True)


def predict(model, images):
    return model.predict(np.asarray(images, "float32"), verbose=0)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("names", "net", "arguments", "expected"),
    [
        ({}, {}, {"input_shape": (16, 16, 3)}, {}),
        (
            {"kind": "conv", "axes": 1, "mlp_axes": 1},
            {"qkv_bias": False, "channels": 2},
            {"input_shape": (3, 48, 48, 2)},
            {"scale": 0.25, "pools": (0, 1, 2, 3), "timesteps": 3},
        ),
        (
            {"kind": "conv", "axes": 1, "mlp_axes": 2},
            {"qkv_bias": False},
            {"input_shape": (48, 48, 3)},
            {"pools": (0, 1, 2, 3)},
        ),
        (
            {"kind": "conv", "axes": 1, "mlp_axes": 2, "first_release": True},
            {"qkv_bias": False},
            {"input_shape": (16, 16, 3)},
            {},
        ),
        ({"dead": False}, {"bias": False}, {"input_shape": (16, 16, 3), "timesteps": 2}, {"timesteps": 2}),
        (
            {},
            {},
            {"input_shape": (16, 16, 3), "scale": 0.25, "stem_pool": (False, True, False, True)},
            {"scale": 0.25, "pools": (1, 3)},
        ),
    ],
    ids=["cifar", "cifar10dvs", "imagenet", "first release", "no biases", "overrides"],
)
def test_official_namings_compute_the_same_logits(names, net, arguments, expected):
    net = reference.network(0, **net)
    images, logits = reference.clear_cases(net, arguments["input_shape"], heads=2, **expected)
    model = from_spikformer(reference.official(net, **names), num_heads=2, **arguments)
    np.testing.assert_allclose(predict(model, images), logits, atol=1e-4)


@pytest.mark.parametrize("name", ["spikformer_small", "spikformer_one_step", "spikformer_events"])
def test_golden_networks_under_official_names(name):
    with np.load(GOLDEN / f"{name}.npz") as data:
        golden = dict(data)
    given = json.loads(str(golden["config"]))
    frames = given.get("frames", False)
    tensors = {}
    for key, value in golden.items():
        if not key.startswith("w/"):
            continue
        key = key[2:].replace(".bn.", ".")
        key = re.sub(
            r"^conv_bn\.(\d)", r"patch_embed.proj_bn\1", re.sub(r"^conv\.(\d)", r"patch_embed.proj_conv\1", key)
        )
        key = re.sub(r"^rpe\.", "patch_embed.rpe_conv.", re.sub(r"^rpe_bn", "patch_embed.rpe_bn", key))
        key = key.replace("proj_conv0", "proj_conv").replace("proj_bn0", "proj_bn")
        block = re.match(r"blocks\.(\d+)\.(\w+?)(_bn)?\.(\w+)$", key)
        if block:
            number, layer, norm, tensor = block.groups()
            part = layer + (norm or ("_conv" if frames else "_linear"))
            key = f"block.{number}.{'mlp' if layer.startswith('fc') else 'attn'}.{part}.{tensor}"
            if frames and value.ndim == 2:
                value = value[..., None]
        tensors[key] = value
    model = from_spikformer(
        tensors, num_heads=given["heads"], timesteps=given["T"], input_shape=golden["images"].shape[1:]
    )
    np.testing.assert_allclose(predict(model, golden["images"]), golden["logits_inference"], atol=1e-4)


@pytest.mark.parametrize("name", ["spikingjelly_images", "spikingjelly_learned_tau"])
def test_spikingjelly_models_compute_the_same_logits(name):
    with np.load(DATA / f"{name}.npz") as data:
        fixture = dict(data)
    tensors = {key[2:]: value for key, value in fixture.items() if key.startswith("w/")}
    arguments = json.loads(str(fixture["config"]))
    model = from_spikformer(tensors, input_shape=fixture["images"].shape[1:], **arguments)
    np.testing.assert_allclose(predict(model, fixture["images"]), fixture["logits"], atol=1e-4)
    assert model.config.neuron == ("plif" if "tau" in name else "lif")


@pytest.mark.shared
def test_spikingjelly_pools_before_the_neuron_and_the_official_code_after_it():
    with np.load(DATA / "spikingjelly_images.npz") as data:
        fixture = dict(data)
    tensors = {key[2:]: value for key, value in fixture.items() if key.startswith("w/")}
    model = from_spikformer(tensors, input_shape=(32, 32, 3), num_heads=4, pool_after="neuron")
    assert np.abs(predict(model, fixture["images"]) - fixture["logits"]).max() > 0.1


@pytest.mark.shared
@pytest.mark.parametrize(
    ("shape", "sides"), [((32, 32, 3), (False, False, True, True)), ((224, 224, 3), ALL), ((4, 128, 128, 3), ALL)]
)
def test_spikingjelly_pools_follow_the_image_size(shape, sides):
    with np.load(DATA / "spikingjelly_images.npz") as data:
        tensors = {key[2:]: value for key, value in data.items() if key.startswith("w/")}
    assert from_spikformer(tensors, input_shape=shape, num_heads=4).config.stem_pool == sides


@pytest.mark.shared
def test_spikingjelly_asks_for_what_its_tensors_do_not_say():
    with np.load(DATA / "spikingjelly_images.npz") as data:
        tensors = {key[2:]: value for key, value in data.items() if key.startswith("w/")}
    with pytest.raises(ValueError, match="input_shape is needed"):
        from_spikformer(tensors, num_heads=4)
    with pytest.raises(ValueError, match="stem_pool is needed.*patch_size"):
        from_spikformer(tensors, num_heads=4, input_shape=(64, 64, 3))


@pytest.mark.shared
def test_learned_time_constants_of_official_names_reach_q_k_and_v():
    net = reference.network(1, depth=1)
    tensors = reference.official(net)
    neurons = ["patch_embed.proj_lif", *(f"patch_embed.proj_lif{i}" for i in (1, 2, 3)), "patch_embed.rpe_lif"]
    neurons += [f"block.0.attn.{name}_lif" for name in ("q", "k", "v", "attn", "proj")]
    neurons += ["block.0.mlp.fc1_lif", "block.0.mlp.fc2_lif"]
    tensors |= {f"{name}.w": np.float32(i / 10) for i, name in enumerate(neurons)}
    model = from_spikformer(tensors, num_heads=4, input_shape=(16, 16, 3))
    block, stem = model.get_layer("block_0"), model.get_layer("stem")
    as_numpy = lambda neuron: np.ravel(to_numpy(neuron.w))
    np.testing.assert_allclose([as_numpy(n)[0] for n in stem.neuron_layers], [0, 0.1, 0.2, 0.3], rtol=1e-6)
    np.testing.assert_allclose(as_numpy(stem.rpe_neuron), 0.4, rtol=1e-6)
    np.testing.assert_allclose(as_numpy(block.attention.qkv_neuron), [0.5, 0.6, 0.7], rtol=1e-6)
    np.testing.assert_allclose(as_numpy(block.attention.attention_neuron), 0.8, rtol=1e-6)
    np.testing.assert_allclose(as_numpy(block.mlp.fc2_neuron), 1.1, rtol=1e-6)
    assert model.config.v_threshold.attention == (0.5,)


@pytest.mark.parametrize(
    ("names", "net", "read"),
    [
        ({}, {"dim": 384, "depth": 4, "hidden": 1536, "classes": 100}, ("official CIFAR", 4, (48, 96, 192, 384), 100)),
        (
            {"kind": "conv", "axes": 1, "mlp_axes": 1},
            {"dim": 256, "depth": 2, "hidden": 1024, "classes": 10, "channels": 2, "qkv_bias": False},
            ("official CIFAR10-DVS", 2, (32, 64, 128, 256), 10),
        ),
    ],
)
def test_architecture_is_read_off_the_shapes(names, net, read):
    found = recognise(reference.official(reference.network(0, **net), **names))
    assert (found.naming.name, found.depth, found.stem, found.num_classes) == read
    assert found.hidden == (net["hidden"],) * net["depth"]
    assert found.bias == {"qkv": net.get("qkv_bias", True), "proj": True, "mlp": True}


def test_hidden_widths_that_no_plain_quotient_gives():
    """int(49 * (29 / 49)) is 28: the ratio must still give 29 hidden channels."""
    net = reference.network(0, dim=48, depth=2, hidden=29)
    for block in net["blocks"][1:]:  # blocks may differ, as a searched network's do
        other = reference.network(1, dim=48, depth=1, hidden=57)["blocks"][0]
        block["fc1"], block["fc2"] = other["fc1"], other["fc2"]
    model = from_spikformer(reference.official(net), num_heads=4, input_shape=(8, 8, 3))
    assert model.config.hidden_dims == (29, 57)


def test_defaults_of_each_naming_without_arguments():
    cifar = from_spikformer(reference.official(reference.network(0, depth=1)), num_heads=2).config
    assert (cifar.input_shape, cifar.timesteps, cifar.scale) == ((32, 32, 3), 4, 0.125)
    net = reference.network(0, depth=1, channels=2, qkv_bias=False)
    events = from_spikformer(reference.official(net, "conv", 1, 1), num_heads=2).config
    assert (events.input_shape, events.timesteps, events.scale) == ((16, 128, 128, 2), 16, 0.25)
    assert events.stem_pool == ALL and not events.qkv_bias and events.proj_bias
