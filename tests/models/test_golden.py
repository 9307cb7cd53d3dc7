"""Whole networks against plain PyTorch networks of SpikingJelly's neurons: logits, firing rates, gradients."""

import functools
import json

import keras
import numpy as np
import pytest

from tests.golden import networks
from tests.helpers import traced, weight_gradients


@functools.cache
def model_of(name: str) -> keras.Model:
    return networks.build(name)


def images_of(name: str) -> np.ndarray:
    return networks.load(name)["images"].astype("float32")


@functools.cache
def trained(name: str) -> tuple[np.ndarray, dict]:
    """Logits in training mode, and every weight's gradient of the mean cross-entropy, by golden name."""
    model, labels = model_of(name), networks.load(name)["labels"]

    def loss(logits):
        return keras.ops.mean(
            keras.losses.sparse_categorical_crossentropy(keras.ops.convert_to_tensor(labels), logits, from_logits=True)
        )

    logits, gradients = weight_gradients(model, images_of(name), loss)
    by_name = {
        entry.name: entry.cut(gradients[id(entry.variable)])
        for entry in networks.entries(model)
        if id(entry.variable) in gradients
    }
    return logits, by_name


@pytest.mark.parametrize("name", networks.NAMES)
def test_inference_logits_and_firing_rates(name):
    model, golden = model_of(name), networks.load(name)
    logits, seen = traced(model, networks.neurons(model), images_of(name))
    expected = json.loads(str(golden["rates"]))
    found = networks.rates(model, seen)
    assert set(found) == set(expected)
    for neuron in expected:
        np.testing.assert_allclose(found[neuron], expected[neuron], rtol=0, atol=1e-7, err_msg=neuron)
    np.testing.assert_allclose(logits, golden["logits_inference"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", networks.NAMES)
def test_training_logits(name):
    np.testing.assert_allclose(trained(name)[0], networks.load(name)["logits_training"], rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", networks.NAMES)
def test_weight_gradients(name):
    golden, (_, gradients) = networks.load(name), trained(name)
    layouts = {entry.name: entry.layout for entry in networks.entries(model_of(name))}
    names = [key[5:] for key in golden if key.startswith("grad/")]
    assert len(names) >= 3
    for weight in names:
        expected = layouts[weight](golden[f"grad/{weight}"])
        # 1e-5, of the largest entry where that is above 1: plain PyTorch in float32 meets no more (head of membrane)
        atol = 1e-5 * max(1.0, np.abs(expected).max())
        got = gradients[weight].reshape(expected.shape)
        np.testing.assert_allclose(got, expected, rtol=0, atol=atol, err_msg=weight)
