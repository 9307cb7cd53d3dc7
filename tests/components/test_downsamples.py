"""Downsamplings and stems that have no golden values of their own: as the stage, or the network, that they are from."""

import json

import keras
import numpy as np
import pytest

from kspike import components, layers
from tests.golden import networks, parts
from tests.helpers import to_numpy, traced


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


def awake(layer):
    """Its normalisations are random, so that its neurons fire."""
    rng = np.random.default_rng(0)
    for variable in layer.variables:
        low, high = {"gamma": (0.5, 1.5), "beta": (0.3, 1.2), "moving_variance": (0.5, 1.5)}.get(variable.name, (0, 0))
        if high:
            variable.assign(rng.uniform(low, high, variable.shape).astype("float32"))
    return layer


def stage(name, product, norm, x, residual="membrane", **settings):
    """The downsampling with the weights of a stage of a stem, on (batch, time, height, width, channels)."""
    made = layers.Component(
        {"name": name, **settings}, role="downsample", embed_dim=product.filters, grid=x.shape[2:4], residual=residual
    )
    tokens = x.reshape(*x.shape[:2], -1, x.shape[-1])
    made.build(tokens.shape)
    for mine, theirs in ((made.part("conv"), product), (made.part("norm"), norm)):
        mine.set_weights(theirs.get_weights())
    return to_numpy(made(keras.ops.convert_to_tensor(tokens)))


def as_tokens(maps, x):
    """(batch * time or batch, time, height, width, channels) -> (batch, time, tokens, channels)."""
    return maps.reshape(*x.shape[:2], -1, maps.shape[-1])


def test_spikingformers_is_the_last_stage_of_its_stem():
    name = "part_sf_tokenizer"
    stem, images = parts.layer_of(name), parts.inputs(name)
    y, seen = traced(stem, {"neuron": stem.part("neuron_4")}, images)
    found = stage("spikingformer", stem.part("conv_4"), stem.part("norm_4"), seen["neuron"][0])
    np.testing.assert_allclose(found, parts.tokens(networks.load(name)["y_inference"]), rtol=0, atol=1e-5)
    assert y.std() > 0.1


def test_sdts_is_the_last_stage_of_its_stem():
    name = "part_sdt_sps"
    stem, images = parts.layer_of(name), parts.inputs(name)
    _, seen = traced(stem, {"conv": stem.part("conv_3"), "neuron": stem.part("neuron_3")}, images)
    spikes = seen["conv"][0].reshape(*images.shape[:2], *seen["conv"][0].shape[1:])
    assert 0.05 < spikes.mean() < 0.9
    # potentials of 2 fire at once, and those of 0 do not: a neuron of tau 2 gives the spikes back
    found = stage("sdt", stem.part("conv_3"), stem.part("norm_3"), 2.0 * spikes)
    np.testing.assert_allclose(found, as_tokens(seen["neuron"][0], images), rtol=0, atol=1e-5)
    again = stage("sps", stem.part("conv_3"), stem.part("norm_3"), 2.0 * spikes)
    np.testing.assert_array_equal(found, again)


@pytest.mark.parametrize("residual", ["add", "membrane"])
@pytest.mark.parametrize("pool_after", ["neuron", "norm"])
def test_spikformers_is_the_last_stage_of_its_stem(residual, pool_after):
    images = np.random.default_rng(1).normal(0.3, 1.0, (2, 3, 16, 16, 3)).astype("float32")
    stem = layers.SPS(32, pool=(False, False, True, True), pool_after=pool_after, residual=residual)
    stem.build(images.shape)
    awake(stem)
    conv = stem.conv_layers[3]
    _, seen = traced(stem, {"conv": conv, "rpe": stem.rpe_conv}, images)
    spikes = seen["conv"][0].reshape(2, 3, *seen["conv"][0].shape[1:])
    assert spikes.mean() > 0.02
    x = spikes if residual == "add" else 2.0 * spikes
    found = stage("sps", conv, stem.norm_layers[3], x, residual, pool_after=pool_after)
    np.testing.assert_allclose(found, as_tokens(seen["rpe"][0], images), rtol=0, atol=1e-5)
    assert found.std() > 0.1


@pytest.mark.parametrize("training", [False, True])
def test_the_stem_of_v2_fires_the_neuron_behind_it_as_the_official_network(training):
    golden = networks.load("v2_stem")
    stem = layers.Component("strided", role="stem", embed_dim=6, residual="membrane")
    images = np.repeat(golden["images"].astype("float32")[:, None], 3, axis=1)
    stem.build(images.shape)
    stem.part("conv").set_weights([golden["w/conv.weight"].transpose(2, 3, 1, 0), golden["w/conv.bias"]])
    norm, names = stem.part("norm"), ("weight", "bias", "running_mean", "running_var")
    norm.set_weights([golden[f"w/bn.{name}"] for name in names])
    spikes = layers.LIF()(stem(keras.ops.convert_to_tensor(images), training=training))
    found = to_numpy(spikes).transpose(1, 0, 3, 2)  # time, batch, channels, tokens
    said = json.loads(str(golden["neuron"]))
    if training:
        assert parts.hash_of("v2_stem", to_numpy(spikes)) == said["sha256_training"]
        before, n = golden["w/bn.running_var"], images.shape[0] * 3 * 16 * 16
        after = 0.9 * before + (golden["after/bn.running_var"] - 0.9 * before) * (n - 1) / n
        np.testing.assert_allclose(to_numpy(norm.moving_variance), after, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(to_numpy(norm.moving_mean), golden["after/bn.running_mean"], rtol=1e-5, atol=1e-6)
    else:
        expected = np.unpackbits(golden["spikes"], count=found.size).reshape(found.shape)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.once
def test_every_stem_of_a_family_names_a_downsampling_of_the_same_shortcuts():
    for name in components.names("stem"):
        stem = components.get("stem", name)
        if type(stem).__module__.startswith("kspike.") and name != "single_conv":
            following = components.get("downsample", stem.downsample)
            assert set(stem.residuals) <= set(following.residuals)
