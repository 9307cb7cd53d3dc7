"""Components against the official code of QKFormer, Max-Former, Spikingformer and the Spike-driven Transformer.

Spikes, outputs, gradients, running statistics.
"""

import functools

import keras
import numpy as np
import pytest

from tests import helpers
from tests.golden import networks, parts
from tests.helpers import to_numpy, traced, weight_gradients


class Held(keras.layers.Layer):
    """A layer whose input is a weight, so that its gradient comes with those of the weights."""

    def __init__(self, layer, x):
        super().__init__()
        self.layer = layer
        self.x = self.add_weight(shape=x.shape, initializer="zeros", name="x")
        self.x.assign(x)
        self.built = True

    def call(self, zero, training=None):
        return self.layer(keras.ops.convert_to_tensor(self.x) + zero, training=training)


@functools.cache
def layer_of(name):
    return parts.layer_of(name)


@functools.cache
def run(name, training):
    """(outputs, golden neuron -> its spikes)."""
    table = parts.neurons(layer_of(name), name)
    inner = {neuron: layer for neuron, (layer, part, _) in table.items() if part == 0}
    y, seen = traced(layer_of(name), inner, parts.inputs(name), training=training)
    by_layer = {id(layer): seen[neuron][1] for neuron, layer in inner.items()}
    return y, {neuron: np.split(by_layer[id(layer)], of, axis=-1)[part] for neuron, (layer, part, of) in table.items()}


@functools.cache
def gradients(name, training):
    """(outputs, gradient of x, gradients by id) of sum(y * upstream)."""
    layer, x = layer_of(name), parts.inputs(name)
    held = Held(layer, x)
    upstream = keras.ops.convert_to_tensor(parts.outputs(name, "upstream"))
    y, found = weight_gradients(held, np.zeros((), "float32"), lambda y: keras.ops.sum(y * upstream), training)
    return y, found[id(held.x)], found


def close(found, expected, name):
    """Within 1e-3 of the largest entry; rounding noise around a true zero is left out."""
    largest = np.abs(expected).max()
    if largest >= 1e-3:
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3 * largest, err_msg=name)
    return largest >= 1e-3


@pytest.mark.parametrize("name", parts.NAMES)
def test_spikes(name):
    found = run(name, False)[1]
    assert list(found) == [key[7:] for key in networks.load(name) if key.startswith("spikes/")]
    for neuron, spikes in found.items():
        np.testing.assert_array_equal(spikes, parts.spikes(name, neuron), err_msg=neuron)
    for neuron, spikes in run(name, True)[1].items():
        assert parts.hash_of(name, spikes) == parts.training_hash(name, neuron), neuron


@pytest.mark.parametrize("name", parts.NAMES)
@pytest.mark.parametrize("training", [False, True])
def test_outputs_and_gradient_of_the_input(name, training):
    mode = "training" if training else "inference"
    y, grad_x, _ = gradients(name, training)
    for found in (y, run(name, training)[0]):
        np.testing.assert_allclose(found, parts.outputs(name, f"y_{mode}"), rtol=0, atol=1e-4)
    assert close(grad_x, parts.inputs(name, f"grad_x_{mode}"), "x")


@pytest.mark.parametrize("name", parts.NAMES)
def test_gradients_of_weights(name):
    *_, found = gradients(name, True)
    expected = parts.values(layer_of(name), name, "grad/")
    assert {id(v) for v, _ in expected.values()} == {id(v) for v in layer_of(name).trainable_variables}
    seen = [close(found[id(v)], g.reshape(v.shape), golden) for golden, (v, g) in expected.items()]
    assert sum(seen) >= len(seen) * 0.6  # biases before a normalisation have none


@pytest.mark.parametrize("name", parts.NAMES)
def test_running_statistics(name):
    """kspike's variance is the biased one, as Keras'; the golden one is unbiased."""
    layer, x = parts.layer_of(name), parts.inputs(name)
    before = parts.values(layer, name)
    helpers.run(layer, x, training=True)
    for golden, (variable, after) in parts.values(layer, name, "after/").items():
        if golden.endswith("running_var"):
            n = parts.count(layer, name, golden)
            kept = 0.9 * before[golden][1]
            after = kept + (after - kept) * (n - 1) / n
        np.testing.assert_allclose(to_numpy(variable), after, rtol=1e-5, atol=1e-6, err_msg=golden)
