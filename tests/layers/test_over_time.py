"""Products and pools over time: every time step by itself, what Keras' own layer gives for it, on every backend."""

import keras
import numpy as np
import pytest

import kspike
from kspike import layers
from tests.helpers import run

IMAGES = np.random.default_rng(0).normal(size=(2, 3, 7, 8, 4)).astype("float32")  # 7: no window of 2 divides it

#: Ours, with Keras' own of the same arguments.
PAIRS = {
    "conv": (layers.Conv2D, keras.layers.Conv2D, {"filters": 5, "kernel_size": 3, "padding": "same"}),
    "even": (layers.Conv2D, keras.layers.Conv2D, {"filters": 5, "kernel_size": 2, "strides": 2, "padding": "same"}),
    "grouped": (layers.Conv2D, keras.layers.Conv2D, {"filters": 4, "kernel_size": 3, "groups": 2, "strides": 2}),
    "relu": (layers.Conv2D, keras.layers.Conv2D, {"filters": 3, "kernel_size": (1, 3), "activation": "relu"}),
    "depthwise": (layers.DepthwiseConv2D, keras.layers.DepthwiseConv2D, {"kernel_size": 3, "depth_multiplier": 2}),
    "max": (layers.MaxPool2D, keras.layers.MaxPooling2D, {}),
    "max_same": (layers.MaxPool2D, keras.layers.MaxPooling2D, {"pool_size": (2, 4), "strides": 2, "padding": "same"}),
    "mean": (layers.AveragePool2D, keras.layers.AveragePooling2D, {"pool_size": (3, 2), "strides": 1}),
    "all": (layers.GlobalAveragePool2D, keras.layers.GlobalAveragePooling2D, {}),
}


#: What no other backend computes in a way of its own: the folding of time is one, and the rest is Keras'.
SHARED = ("grouped", "relu", "max", "all")


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.shared] if n in SHARED else []) for n in PAIRS])
def test_every_step_is_what_keras_gives_for_its_images(name):
    ours, theirs, arguments = PAIRS[name]
    layer, plain = ours(**arguments), theirs(**arguments)
    found = run(layer, IMAGES)
    plain.build((None, *IMAGES.shape[2:]))
    if plain.weights:
        plain.set_weights(layer.get_weights())
    by_step = np.stack([run(plain, IMAGES[:, t]) for t in range(3)], axis=1)
    np.testing.assert_allclose(found, by_step, atol=1e-5)
    assert found.shape == tuple(layer.compute_output_shape(IMAGES.shape))
    np.testing.assert_allclose(run(layer, IMAGES[:, 0]), by_step[:, 0], atol=1e-5)  # images without time


def windows(x: np.ndarray, size: int, stride: int) -> np.ndarray:
    """(height, width) -> the windows of an image with (size - 1) / 2 of nan on each side, (rows, columns, size²)."""
    x = np.pad(x, size // 2, constant_values=np.nan)
    found = np.lib.stride_tricks.sliding_window_view(x, (size, size))[::stride, ::stride]
    return found.reshape(*found.shape[:2], -1)


@pytest.mark.parametrize("size", [3, pytest.param(5, marks=pytest.mark.shared)])
def test_odd_windows_with_strides_stand_in_the_middle(size):
    """On an even side Keras puts one row more behind the image than before it."""
    x = IMAGES[:1, :1, :, :, :1]
    each = windows(x[0, 0, :, :, 0], size, 2)
    how = {"pool_size": size, "strides": 2, "padding": "same"}
    np.testing.assert_allclose(run(layers.MaxPool2D(**how), x)[0, 0, :, :, 0], np.nanmax(each, -1), atol=1e-6)
    np.testing.assert_allclose(run(layers.AveragePool2D(**how), x)[0, 0, :, :, 0], np.nanmean(each, -1), atol=1e-6)
    conv = layers.Conv2D(1, size, strides=2, padding="same", kernel_initializer="ones", use_bias=False)
    np.testing.assert_allclose(run(conv, x)[0, 0, :, :, 0], np.nansum(each, -1), atol=1e-5)


def test_what_lies_outside_an_image_counts_in_no_mean():
    """Under torch Keras' own repeats the last row and column."""
    x = np.arange(9, dtype="float32").reshape(1, 1, 3, 3, 1)
    found = run(layers.AveragePool2D(2, padding="same"), x)[0, 0, :, :, 0]
    np.testing.assert_allclose(found, [[2, 3.5], [6.5, 8]])


@pytest.mark.shared
@pytest.mark.parametrize("layer", [layers.Conv2D(2, 3), layers.MaxPool2D(), layers.GlobalAveragePool2D()])
def test_other_axes_are_refused(layer):
    for shape in ((2, 8, 8), (2, 2, 2, 8, 8, 1)):
        with pytest.raises(ValueError):
            layer(np.zeros(shape, "float32"))
    with pytest.raises(ValueError, match="expects .batch, time, height, width, channels."):
        layer.compute_output_shape((2, 2, 2, 8, 8, 1))


@pytest.mark.once
def test_channels_first_and_other_paddings_are_refused():
    with pytest.raises(ValueError, match="give data_format='channels_last'"):
        layers.Conv2D(2, 3, data_format="channels_first")(np.zeros((1, 2, 4, 8, 8), "float32"))
    with pytest.raises(ValueError, match="must be 'valid' or 'same', got 'full'"):
        layers.MaxPool2D(padding="full")


def network(conv, pool, dense):
    """A spiking CNN whose layers of images come from these functions."""
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((8, 8, 1))
    x = layers.DirectEncoding(timesteps=3)(x)
    x = layers.LIF(v_threshold=0.2)(conv("first", 4)(x))
    x = pool("pool")(x)
    x = layers.LIF(v_threshold=0.1)(conv("second", 6)(x))
    x = layers.LIF(v_threshold=0.1)(dense("hidden", 5)(keras.layers.Reshape((3, -1))(x)))
    return keras.Model(inputs, dense("head", 10)(layers.RateDecoding()(x)), name="mine")


@pytest.fixture(scope="module")
def mine():
    return network(
        lambda name, filters: layers.Conv2D(filters, 3, padding="same", name=name),
        lambda name: layers.MaxPool2D(name=name),
        lambda name, units: layers.Dense(units, name=name),
    )


STILL = np.random.default_rng(1).normal(0.5, 1.0, (4, 8, 8, 1)).astype("float32")


def test_energy_is_that_of_keras_layers_in_time_distributed(mine):
    each = keras.layers.TimeDistributed
    other = network(
        lambda name, filters: each(keras.layers.Conv2D(filters, 3, padding="same"), name=name),
        lambda name: each(keras.layers.MaxPooling2D(), name=name),
        lambda name, units: keras.layers.Dense(units, name=name),
    )
    other.set_weights(mine.get_weights())
    found, expected = (kspike.cost.measure(m, STILL, progress=False) for m in (mine, other))
    assert [row.name for row in found.rows] == ["first", "second", "hidden", "head"]
    assert [row.dense for row in found.rows] == [3 * 64 * 9 * 4, 3 * 16 * 9 * 4 * 6, 3 * 96 * 5, 50]
    for row, same in zip(found.rows, expected.rows, strict=True):
        assert (row.name, row.dense) == (same.name, same.dense)
        np.testing.assert_allclose([row.acs, row.macs, row.rate], [same.acs, same.macs, same.rate], rtol=1e-6)
    second = found.rows[1]
    assert second.acs > 0 and second.macs == 0  # spikes, through the pool
    assert not found.notes and len(found.neurons) == 3 and len(found.readings) == 3


def test_it_fires_is_saved_and_is_refused_where_a_config_is_read(mine, tmp_path):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    mine.compile("adam", loss, metrics=[kspike.metrics.FiringRate(mine)])
    assert 0 < mine.evaluate(STILL, np.arange(4), verbose=0, return_dict=True)["firing_rate"] < 1
    before = mine.predict(STILL, verbose=0)
    mine.save(tmp_path / "mine.keras")
    loaded = keras.models.load_model(tmp_path / "mine.keras")
    assert [type(layer) for layer in loaded.layers] == [type(layer) for layer in mine.layers]
    np.testing.assert_array_equal(loaded.predict(STILL, verbose=0), before)
    with pytest.raises(ValueError, match="early_exit expects a kspike.Spikformer, got Functional"):
        kspike.models.early_exit(mine, STILL)
