"""What public counting scripts leave out or charge wrongly, and this one does not."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import kspike
from kspike import cost
from kspike.layers import LIF


def measured(model, x, convention="spikformer"):
    return cost.measure(model, np.asarray(x, "float32"), convention, progress=False)


@pytest.mark.once
def test_linear_layers_are_not_skipped_for_their_names():
    """A counter that sums layers called "conv" or "head" finds 5.3 MMACs in Spikformer 4-384, and no transformer."""
    table = cost.table(kspike.SpikformerConfig())
    named = sum(row.macs * row.steps for row in table if row.name in ("stem/conv_0", "head"))
    assert named == pytest.approx(5_312_266, rel=1e-5)  # as somebody has measured, whose head also had its biases
    inside = sum(row.macs * row.steps for row in table if row.name.startswith("block_"))
    assert inside == 4 * 4 * (37_748_736 + 75_497_472 + 3_145_728)

    def network(*names):
        inputs = keras.Input((2, 3))
        x = LIF()(keras.layers.Dense(4, name=names[0], use_bias=False, kernel_initializer="ones")(inputs))
        return keras.Model(inputs, keras.layers.Dense(5, name=names[1])(x))

    x = np.ones((1, 2, 3))
    one, other = (measured(network(*names), x) for names in (("conv", "head"), ("q_linear", "ffn")))
    assert one.total("ac") == other.total("ac") == 2 * 3 * 4 + 2 * 4 * 5


@pytest.mark.once
def test_padding_is_in_the_textbook_count_and_out_of_what_is_met():
    model = keras.Sequential([keras.Input((3, 3, 1)), keras.layers.Conv2D(1, 3, padding="same", name="conv")])
    x = np.ones((1, 3, 3, 1))
    # of 9 places * 9 weights, 4 * 4 + 4 * 6 + 9 meet a pixel
    assert measured(model, x).rows[0].acs == 81
    assert measured(model, x, "neurobench").rows[0].acs == measured(model, x, "spikingjelly").rows[0].acs == 49


def test_a_pooled_input_is_charged_by_what_comes_out_of_the_pool():
    """A max-pool lets more of its spikes through than went in on average, and an average is no spike."""
    inputs = keras.Input((2, 2, 2, 1))
    each = keras.layers.TimeDistributed
    pools = {"max": keras.layers.MaxPooling2D(2), "mean": keras.layers.AveragePooling2D(2)}
    outputs = [keras.layers.Dense(3, name=name)(each(pool)(inputs)) for name, pool in pools.items()]
    rows = {row.name: row for row in measured(keras.Model(inputs, outputs), [[[[[1], [0]], [[0], [0]]]] * 2]).rows}
    # one of four spikes, and the pool's one output spikes: 2 steps * 1 * 3
    assert (rows["max"].rate, rows["max"].acs, rows["max"].macs) == (1.0, 6.0, 0.0)
    assert (rows["mean"].rate, rows["mean"].acs, rows["mean"].macs) == (0.25, 0.0, 6.0)


def test_an_integer_input_is_charged_by_its_mean_count_and_not_by_how_much_of_it_is_active():
    """The residual stream counts 0, 1, 2: a two is added twice, where a binarised rate would add it once."""
    inputs = keras.Input((1, 4))
    spikes = LIF()(inputs)
    model = keras.Model(inputs, keras.layers.Dense(5, name="dense")(keras.layers.Add()([spikes, spikes])))
    row = measured(model, [[[2, 0, 2, 0]]]).rows[0]
    assert (row.rate, row.active, row.largest) == (1.0, 0.5, 2.0)
    assert (row.acs, row.macs) == (20.0, 0.0)
    assert measured(model, [[[2, 0, 2, 0]]], "spikingformer").rows[0].macs == 20.0
