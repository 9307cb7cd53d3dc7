"""How many weights a number of the input meets, against the layers themselves: masks in, masks as weights, added up."""

from __future__ import annotations

import keras
import numpy as np

from kspike import cost
from kspike.layers import products
from tests.helpers import to_numpy

layers = keras.layers


def test_pairs_that_meet_are_what_the_layers_themselves_add_up():
    inputs = keras.Input((6, 5, 4))
    each = [
        layers.Dense(3, name="dense"),
        layers.EinsumDense("abcd,dce->abe", (6, 3), name="einsum"),
        layers.EinsumDense("...d,de->...e", 3, name="ellipsis"),
        layers.Conv2D(6, 3, padding="same", name="same"),
        layers.Conv2D(6, (2, 3), strides=2, padding="same", name="strided"),
        layers.Conv2D(4, 3, groups=2, name="grouped"),
        layers.Conv2D(3, 2, dilation_rate=2, padding="same", name="dilated"),
        layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same", name="depthwise"),
        products.Conv2D(6, 3, strides=2, padding="same", name="padded_around"),  # 6 pixels: Keras would pad one side
        products.Conv2D(3, 7, strides=2, padding="same", name="large"),
        products.Conv2D(3, 1, strides=4, padding="same", name="sampled"),
        products.DepthwiseConv2D(3, strides=2, padding="same", name="depthwise_around"),
        layers.Conv2DTranspose(3, 3, strides=2, padding="same", name="transposed"),
        layers.TimeDistributed(layers.Conv1D(3, 3, padding="causal"), name="timed"),
    ]
    model = keras.Model(inputs, [layer(inputs) for layer in each])
    rng = np.random.default_rng(0)
    x = (rng.random((4, 6, 5, 4)) < 0.3).astype("float32")
    kernels = [v for v in model.trainable_variables if v.name == "kernel"]
    biases = [v for v in model.trainable_variables if v.name == "bias"]
    for kernel in kernels:
        kernel.assign(rng.integers(-1, 2, tuple(kernel.shape)).astype("float32"))
    report = cost.measure(model, x, "neurobench", progress=False)

    def added(x):
        for bias in biases:
            bias.assign(np.zeros(tuple(bias.shape)))
        return [float(np.sum(y, dtype="float64")) / len(x) for y in model.predict(x, verbose=0)]

    for kernel in kernels:
        kernel.assign(np.abs(to_numpy(kernel)))
    assert {row.name: row.acs for row in report.rows} == dict(zip([e.name for e in each], added(x), strict=True))
    for kernel in kernels:
        kernel.assign(np.ones(tuple(kernel.shape)))
    dense = dict(zip([e.name for e in each], added(np.ones_like(x)), strict=True))
    assert {row.name: row.dense for row in report.rows} == dense
