"""Networks so small that every operation is counted by hand, in the comments."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from kspike import cost
from kspike.layers import LIF, SSA, DirectEncoding

AC, MAC = 0.9, 4.6  # picojoules


def measured(model, images, **kwargs):
    return cost.measure(model, np.asarray(images, "float32"), progress=False, **kwargs)


def rows_of(report):
    return {row.name: row for row in report.rows}


@pytest.fixture(scope="module")
def two_layers():
    """(3 steps, 4 inputs) -> Dense(2) -> LIF -> Dense(3) -> mean over time -> Dense(2)."""
    inputs = keras.Input((3, 4))
    x = keras.layers.Dense(2, use_bias=False, name="a")(inputs)
    x = LIF(name="lif")(x)
    x = keras.layers.Dense(3, use_bias=False, name="b")(x)
    x = keras.layers.GlobalAveragePooling1D(name="mean")(x)
    model = keras.Model(inputs, keras.layers.Dense(2, name="head")(x), name="two_layers")
    # the first neuron copies input 0: h = 2 / 2 = 1 reaches the threshold at once; the second never gets anything
    model.get_layer("a").set_weights([np.array([[2.0, 0], [0, 0], [0, 0], [0, 0]])])
    model.get_layer("b").set_weights([np.ones((2, 3))])
    return model


TWO_IMAGES = [
    [[1, 1, 0, 0], [1, 0, 0, 1], [0, 0, 1, 0]],  # 5 spikes, 2 of them on input 0
    [[0, 0, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0]],  # 2 spikes, 1 of them on input 0
]


def test_two_layers_and_a_head(two_layers):
    report = measured(two_layers, TWO_IMAGES)
    a, b, head = report.rows
    # a: 3 steps * 4 inputs * 2 outputs = 24; 7 spikes of 24 inputs; each spike is added to 2 outputs: 3.5 * 2 an image
    assert (a.name, a.dense, a.rate, a.acs, a.macs) == ("a", 24, pytest.approx(7 / 24), pytest.approx(7.0), 0.0)
    assert a.rates == pytest.approx((2 / 8, 3 / 8, 2 / 8))
    # b: 3 * 2 * 3 = 18; 3 spikes in 2 images, each added to 3 outputs
    assert (b.dense, b.rate, b.acs, b.macs) == (18, pytest.approx(3 / 12), pytest.approx(4.5), 0.0)
    # head: 3 * 2, once; its input (means over 3 steps) is not a whole number
    assert (head.kind, head.dense, head.acs, head.macs) == ("dense", 6, 0.0, 6.0)
    assert (report.total("ac"), report.total("mac"), report.total("dense")) == (pytest.approx(11.5), 6.0, 48.0)
    assert report.total("syops") == pytest.approx(17.5)
    assert report.energy_mj == pytest.approx((AC * 11.5 + MAC * 6) * 1e-9)
    (lif,) = report.neurons
    assert (lif.name, lif.updates, lif.rate) == ("lif", 6, pytest.approx(3 / 12))
    assert lif.raster.tolist() == [[1, 0], [1, 0], [0, 0]]  # of the first image
    # image by image: 10 + 6 additions of the first, 4 + 3 of the second
    deviation = AC * (16 - 7) / np.sqrt(2) * 1e-9
    assert report.energy_std_mj == pytest.approx(deviation)
    low, high = report.energy_interval_mj
    assert high - low == pytest.approx(2 * 1.96 * deviation / np.sqrt(2), rel=1e-4)


@pytest.mark.shared
def test_an_integer_input_is_added_by_its_mean_or_multiplied(two_layers):
    counts = np.array(TWO_IMAGES) * 3.0  # 21 on 24 inputs, largest 3
    by = {name: rows_of(measured(two_layers, counts, convention=name))["a"] for name in cost.conventions()}
    assert (by["spikformer"].acs, by["spikformer"].macs) == (pytest.approx(21.0), 0.0)
    assert (by["spikingformer"].acs, by["spikingformer"].macs) == (0.0, 24.0)
    assert (by["spikingformer_counts"].acs, by["spikingformer_counts"].macs) == (pytest.approx(21.0), 0.0)
    many = measured(two_layers, np.array(TWO_IMAGES) * 31.0, convention="spikingformer_counts")
    assert many.rows[0].macs == 24.0  # above 30
    assert many.rows[0].active == pytest.approx(7 / 24)


@pytest.mark.shared
@pytest.mark.parametrize("change", [-1.0, 0.5])
def test_one_number_that_is_no_count_makes_a_product_multiply(two_layers, change):
    images = np.array(TWO_IMAGES, "float32")
    images[1, 2, 3] = change
    row = measured(two_layers, images).rows[0]
    assert (row.acs, row.macs) == (0.0, 24.0)


@pytest.mark.shared
def test_a_still_image_is_multiplied_at_every_step_even_where_its_pixels_are_whole():
    inputs = keras.Input((2, 2, 1))
    x = DirectEncoding(3, name="encoding")(inputs)
    x = keras.layers.TimeDistributed(keras.layers.Conv2D(2, 3, padding="same", use_bias=False), name="conv")(x)
    x = LIF(name="lif")(x)
    x = keras.layers.TimeDistributed(keras.layers.Conv2D(1, 1, use_bias=False), name="conv2")(x)
    model = keras.Model(inputs, x)
    report = measured(model, np.full((2, 2, 2, 1), 7))
    conv, conv2 = report.rows
    # 3 steps * 4 positions * 9 weights * 1 channel * 2 filters, the padding counted as in the paper
    assert (conv.kind, conv.dense, conv.macs, conv.acs) == ("conv", 216, 216.0, 0.0)
    assert conv2.dense == 3 * 4 * 2
    assert conv2.acs == pytest.approx(24 * report.neurons[0].rate)
    assert (report.timesteps, len(conv.rates), len(conv2.rates)) == (3, 3, 3)


@pytest.fixture(scope="module")
def attention():
    """One SSA with q = k = x, v = (x_0, 0) over 3 tokens of 2 channels, one head, scale 1."""
    inputs = keras.Input((1, 3, 2))
    ssa = SSA(1, scale=1.0, qkv_bias=False, proj_bias=False, name="ssa")
    model = keras.Model(inputs, ssa(inputs))
    one = np.eye(2) * 4  # h = 4 / 2 (but for the epsilon of normalisation): a spike for a spike
    ssa.qkv.set_weights([np.concatenate([one, one, np.diag([4.0, 0.0])], axis=1)])
    return model


def test_attention_is_charged_in_the_stated_order(attention):
    x = [[[[1, 0], [1, 1], [0, 0]]]]  # 3 spikes of 6
    rows = rows_of(measured(attention, x))
    # qkv: 3 tokens * 2 * 6 = 36, half of the inputs spike
    assert (rows["ssa/qkv"].dense, rows["ssa/qkv"].acs) == (36, pytest.approx(18.0))
    # Q K^T: 3 * 3 * 2 = 18, rate(q) = 3/6; A V: 18, rate(v) = 2/6
    assert (rows["ssa/qk"].kind, rows["ssa/qk"].dense, rows["ssa/qk"].acs) == ("attention", 18, pytest.approx(9.0))
    assert (rows["ssa/av"].dense, rows["ssa/av"].acs) == (18, pytest.approx(6.0))
    # Q K^T = [[1,1,0],[1,2,0],[0,0,0]]; times v: channel 0 is (2, 3, 0): h = (1, 1.5, 0), threshold 0.5: 2 spikes of 6
    assert (rows["ssa/proj"].dense, rows["ssa/proj"].acs) == (12, pytest.approx(4.0))


@pytest.mark.shared
def test_attention_is_charged_keys_and_values_first_by_spikingformer(attention):
    rows = rows_of(measured(attention, [[[[1, 0], [1, 1], [0, 0]]]], convention="spikingformer"))
    # tokens * channels * head_dim = 3 * 2 * 2 = 12: times rate(q) = 1/2, and times min(rate(k), rate(v)) = 1/3
    assert rows["ssa/qk"].acs == pytest.approx(6.0)
    assert rows["ssa/av"].acs == pytest.approx(4.0)


@pytest.mark.shared
def test_a_layer_used_twice_is_counted_twice():
    inputs = keras.Input((2, 3))
    shared = keras.layers.Dense(3, use_bias=False, name="shared")
    shared.build((None, 2, 3))
    shared.set_weights([np.eye(3) * 2])
    model = keras.Model(inputs, shared(LIF()(shared(inputs))))
    report = measured(model, [[[1, 0, 0], [1, 0, 1]]])
    assert [(row.name, row.dense, row.acs) for row in report.rows] == [
        ("shared", 18, pytest.approx(9.0)),
        ("shared#2", 18, pytest.approx(9.0)),
    ]


@pytest.mark.shared
@pytest.mark.parametrize(
    ("layer", "shape", "macs"),
    [
        # einsum: 5 positions, 4 inputs summed over, 6 outputs; the ellipsis stays
        (keras.layers.EinsumDense("abc,cde->abde", (5, 2, 3)), (5, 4), 5 * 4 * 6),
        (keras.layers.EinsumDense("...c,cd->...d", 6), (5, 4), 5 * 4 * 6),
        (keras.layers.Conv1D(6, 3, padding="same"), (5, 4), 5 * 3 * 4 * 6),
        (keras.layers.Conv2D(6, 3, groups=2), (5, 5, 4), 9 * 9 * 2 * 6),
        (keras.layers.Conv2D(6, 3, strides=2, padding="same"), (4, 4, 4), 4 * 9 * 4 * 6),
        (keras.layers.DepthwiseConv2D(3, depth_multiplier=2), (5, 5, 4), 9 * 9 * 8),
        (keras.layers.Conv2DTranspose(6, 2, strides=2), (3, 3, 4), 9 * 4 * 4 * 6),
    ],
)
def test_every_kind_of_product_has_its_own_count(layer, shape, macs):
    model = keras.Sequential([keras.Input(shape), layer])
    (row,) = measured(model, np.ones((2, *shape))).rows
    assert row.dense == row.acs == macs  # every input is 1
    assert row.rate == row.active == 1.0
