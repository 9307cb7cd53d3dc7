"""What a report does not count it names, by what ran; and a layer of one's own that fires is a neuron."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

import kspike
from kspike import cost
from kspike.layers import LIF, SSA
from tests.cost.networks import images
from tests.helpers import BACKEND, wake


def measured(model, x, **kwargs):
    return cost.measure(model, np.asarray(x, "float32"), progress=False, **kwargs)


def backends_own(x, y):
    """x y by the backend's own operator."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        return tf.matmul(x, y)
    return x @ y


def turned(x):
    return ops.swapaxes(x, -1, -2)


#: Name -> (what a layer does with (batch, 4, 8) numbers and an (8, 8) weight, multiply-accumulates of an image)
PRODUCTS = {
    "matmul": (lambda x, w: ops.matmul(ops.matmul(x, turned(x)), x), 2 * 4 * 4 * 8),
    "backend": (lambda x, w: backends_own(backends_own(x, turned(x)), x), 2 * 4 * 4 * 8),
    "einsum": (lambda x, w: ops.einsum("btc,cd->btd", x, w), 4 * 8 * 8),
    "tensordot": (lambda x, w: ops.tensordot(x, w, axes=1), 4 * 8 * 8),
    "dot": (lambda x, w: ops.dot(x, w), 4 * 8 * 8),
    "vectors": (lambda x, w: x + ops.einsum("btc,btc->b", x, x)[:, None, None], 4 * 8),
    "conv": (lambda x, w: ops.conv(x, w[None], padding="same"), 4 * 8 * 8),
    "depthwise": (lambda x, w: ops.depthwise_conv(x, w[:3, :, None], padding="same"), 4 * 8 * 3),
    "transposed": (lambda x, w: ops.conv_transpose(x, ops.stack([w, w]), strides=2, padding="same"), 4 * 8 * 8 * 2),
    "loop": (lambda x, w: ops.scan(lambda c, t: (ops.matmul(c, w), t), x[:, 0], ops.moveaxis(x, 1, 0))[0], 4 * 8 * 8),
    "choice": (lambda x, w: ops.cond(ops.sum(x) > 1e9, lambda: x, lambda: ops.matmul(x, w)), 4 * 8 * 8),
    "mapped": (lambda x, w: ops.vectorized_map(lambda one: ops.matmul(one, w), x), 4 * 8 * 8),
    "none": (lambda x, w: ops.sum(x * w[:4], axis=-1), 0),
}


class Mine(keras.layers.Layer):
    """A layer of a user's, which multiplies by what it likes."""

    def __init__(self, kind, **kwargs):
        super().__init__(**kwargs)
        self.kind = kind

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(64,), name="kernel")  # no matrix by its shape: what runs has to tell

    def call(self, x):
        return PRODUCTS[self.kind][0](x, ops.reshape(self.kernel, (8, 8)))

    def compute_output_shape(self, input_shape):
        return input_shape


class Step(keras.layers.Layer):
    """A neuron of a user's."""

    def call(self, x):
        return ops.cast(x > 0, x.dtype)


def behind_a_dense(*layers):
    return keras.Sequential([keras.Input((4, 8)), keras.layers.Dense(8, name="first"), *layers])


@pytest.mark.parametrize("kind", PRODUCTS)
def test_a_product_that_no_row_counts_is_named_with_its_size(kind):
    macs = PRODUCTS[kind][1]
    model = behind_a_dense(Mine(kind, name="mine"))
    report = measured(model, np.ones((2, 4, 8)))
    assert [row.name for row in report.rows] == ["first"]
    if not macs:
        assert report.notes == ()
        return
    (note,) = report.notes
    assert note.startswith("mine (Mine) runs ")
    assert "that this report does not count" in note
    loop = kind == "loop" and BACKEND == "tensorflow"  # whose graph does not say how often it runs
    assert f": {'at least 64' if loop else format(macs, ',')} multiply-accumulates an image." in note
    assert note in report.advice()
    assert note in report.to_dict()["notes"]
    assert note in str(report)


@pytest.mark.parametrize("images", [1, 4])
def test_a_mapped_product_counts_once_whatever_the_batch(images):
    """TensorFlow keeps what it mapped, as traced for one item, in the graph, and does not run it."""
    model = behind_a_dense(Mine("mapped", name="mine"))
    (note,) = measured(model, np.ones((images, 4, 8))).notes
    assert note == "mine (Mine) runs 1 product that this report does not count: 256 multiply-accumulates an image."


@pytest.mark.shared
def test_products_are_named_where_they_run_layer_by_layer():
    """The same layer's products twice, inside another, and as an operation of the functional model that is no layer."""
    inputs = keras.Input((4, 8))
    x = keras.layers.Dense(8)(inputs)
    x = keras.Sequential([Mine("matmul", name="a"), Mine("matmul", name="b")], name="inner")(x)
    x = keras.layers.TimeDistributed(keras.Sequential([keras.Input((8,)), Step()]), name="each")(x)
    model = keras.Model(inputs, ops.matmul(x, turned(x)))
    one, other, last = measured(model, np.ones((3, 4, 8))).notes
    assert one == "inner/a (Mine) runs 2 products that this report does not count: 256 multiply-accumulates an image."
    assert other == one.replace("/a", "/b")
    assert last.endswith(" (Matmul) runs 1 product that this report does not count: 128 multiply-accumulates an image.")


def test_keras_own_layers_that_multiply_out_of_sight_are_named():
    inputs = keras.Input((4, 8))
    x = keras.layers.MultiHeadAttention(2, 4, name="mha")(inputs, inputs)
    x = keras.layers.LSTM(3, name="lstm")(x)
    model = keras.Model(inputs, keras.layers.Dense(2)(x))
    notes = measured(model, np.ones((2, 4, 8))).notes
    assert "mha (MultiHeadAttention) runs" in notes[0]
    assert "256 multiply-accumulates an image" in notes[0]
    assert any("lstm" in note and "does not count" in note for note in notes[1:])


class More(keras.layers.Dense):
    """A Dense that multiplies once more than its class."""

    def call(self, x, training=None):
        return ops.matmul(super().call(x), ops.ones((6, 6)))


class Same(SSA):
    """An attention by another name."""


def test_what_a_subclass_multiplies_beyond_its_row_is_named():
    model = behind_a_dense(More(6, name="more"))
    report = measured(model, np.ones((2, 4, 8)))
    assert [row.dense for row in report.rows] == [4 * 8 * 8, 4 * 8 * 6]
    assert report.notes == ("more (More) runs more products than its row counts: 144 multiply-accumulates an image.",)
    inputs = keras.Input((2, 4, 32))
    model = keras.Model(inputs, wake(keras.Model(inputs, Same(num_heads=2)(inputs))).output)
    assert measured(model, np.ones((2, 2, 4, 32))).notes == ()


@pytest.mark.shared
def test_lora_and_several_batch_shapes_make_no_false_alarm():
    model = behind_a_dense(keras.layers.Dense(6, name="second"))
    model.get_layer("second").enable_lora(2)
    for n in (3, 5, 3):
        assert measured(model, np.ones((n, 4, 8))).notes == ()
    config = kspike.SpikformerConfig(input_shape=(8, 8, 1), embed_dim=16, depth=1, num_heads=2)
    assert measured(wake(kspike.Spikformer(config)), images(config, 3)).notes == ()


@pytest.mark.shared
@pytest.mark.parametrize(
    "fires",
    [
        lambda: [Step(name="fires")],
        lambda: [keras.layers.Lambda(lambda x: ops.cast(x > 0, "float32"), name="fires")],
        lambda: [keras.layers.Activation(lambda x: ops.cast(x > 0, "float32"), name="fires")],
        lambda: [keras.layers.Dense(8, activation=lambda x: ops.cast(x > 0, "float32"), name="fires")],
        lambda: [LIF(name="before"), Block(name="fires")],
    ],
)
def test_a_layer_of_ones_own_that_fires_is_a_neuron(fires):
    keras.utils.set_random_seed(0)
    model = behind_a_dense(*fires(), keras.layers.MaxPooling1D(2), keras.layers.Dense(3, name="last"))
    x = np.random.default_rng(0).normal(size=(64, 4, 8))
    report = measured(model, x)
    (row,) = [row for row in report.neurons if row.name != "before"]
    spikes = keras.Sequential(model.layers[:-2]).predict(x, verbose=0)
    assert (row.name, row.updates) == ("fires", spikes[0].size)
    assert row.rate == pytest.approx(spikes.mean())
    assert 0 < row.rate < 1


class Block(keras.layers.Layer):
    """Multiplies spikes and fires, all in one."""

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], 8), name="kernel")

    def call(self, x):
        return ops.cast(ops.matmul(x, self.kernel) > 0, x.dtype)


class Passes(keras.layers.Layer):
    """Moves spikes about."""

    def call(self, x):
        return ops.flip(x, axis=1)


class Around(keras.layers.Layer):
    """Holds a neuron, and gives its spikes."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.neuron = LIF(name="neuron")

    def call(self, x):
        return self.neuron(2 * x)


@pytest.mark.shared
def test_layers_that_pass_spikes_on_are_no_neurons():
    model = behind_a_dense(Around(name="around"), Passes(), keras.layers.Lambda(lambda x: x), keras.layers.Dense(3))
    report = measured(model, 9 * np.random.default_rng(0).normal(size=(8, 4, 8)))
    assert [row.name for row in report.neurons] == ["around/neuron"]
    assert report.firing_rate > 0


@pytest.mark.shared
def test_neurobench_says_what_it_leaves_out():
    with pytest.warns(UserWarning, match=r"mine \(Mine\) runs 2 products"):
        cost.neurobench(behind_a_dense(Mine("matmul", name="mine")), np.ones((2, 4, 8)), progress=False)
