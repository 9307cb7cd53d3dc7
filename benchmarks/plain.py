"""Spikformer of plain keras.layers with an unrolled neuron: what a Keras user would write without kspike."""

from __future__ import annotations

import keras
from keras import ops


@ops.custom_gradient
def spike(u):
    def grad(*args, upstream=None):
        upstream = args[0] if upstream is None else upstream
        s = ops.sigmoid(4.0 * u)
        return upstream * 4.0 * s * (1.0 - s)

    return ops.cast(u >= 0, u.dtype), grad


class Neuron(keras.layers.Layer):
    """Leaky integrate-and-fire, tau 2, hard reset, step by step."""

    def __init__(self, threshold: float = 1.0, **kwargs):
        super().__init__(**kwargs)
        self.threshold = threshold

    def call(self, x):
        v, out = 0.0, []
        for t in range(x.shape[1]):
            h = v + (x[:, t] - v) / 2.0
            s = spike(h - self.threshold)
            out.append(s)
            v = (1.0 - ops.stop_gradient(s)) * h
        return ops.stack(out, axis=1)


class Attention(keras.layers.Layer):
    """q k^T v / 8, head by head, without softmax."""

    def __init__(self, heads: int, **kwargs):
        super().__init__(**kwargs)
        self.heads = heads

    def call(self, q, k, v):
        shape = (-1, *q.shape[1:3], self.heads, q.shape[3] // self.heads)
        q, k, v = (ops.transpose(ops.reshape(a, shape), (0, 1, 3, 2, 4)) for a in (q, k, v))
        y = ops.matmul(ops.matmul(q, ops.swapaxes(k, -1, -2)), v) * 0.125
        y = ops.transpose(y, (0, 1, 3, 2, 4))
        return ops.reshape(y, (-1, *y.shape[1:3], shape[3] * shape[4]))


def plain_spikformer(side: int, timesteps: int, width: int, depth: int, heads: int, policy: str) -> keras.Model:
    """The network of kspike's contestant."""
    keras.config.set_dtype_policy(policy)
    layers = keras.layers

    def norm(x):
        return layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)

    def dense_norm(x, units):
        return norm(layers.Dense(units)(x))

    def conv_norm(x, filters):
        x = layers.TimeDistributed(layers.Conv2D(filters, 3, padding="same", use_bias=False))(x)
        return norm(x)

    def pool(x):
        return layers.TimeDistributed(layers.MaxPooling2D(3, 2, padding="same"))(x)

    inputs = keras.Input((side, side, 3))
    x = layers.Lambda(
        lambda a: ops.repeat(ops.expand_dims(a, 1), timesteps, axis=1),
        output_shape=(timesteps, side, side, 3),
    )(inputs)
    for i, filters in enumerate((width // 8, width // 4, width // 2, width)):
        x = Neuron()(conv_norm(x, filters))
        if i >= 2:
            x = pool(x)
    x = layers.Add()([x, Neuron()(conv_norm(x, width))])
    x = layers.Reshape((timesteps, -1, width))(x)
    for _ in range(depth):
        q, k, v = (Neuron()(dense_norm(x, width)) for _ in range(3))
        y = Neuron(0.5)(Attention(heads)(q, k, v))
        x = layers.Add()([x, Neuron()(dense_norm(y, width))])
        y = Neuron()(dense_norm(x, 4 * width))
        x = layers.Add()([x, Neuron()(dense_norm(y, width))])
    x = layers.Lambda(lambda a: ops.mean(a, axis=(1, 2)), output_shape=(width,))(x)
    return keras.Model(inputs, layers.Dense(10, dtype="float32")(x))
