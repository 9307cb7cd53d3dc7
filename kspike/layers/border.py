"""Batch normalisation that puts a border around a map, as in the RepConv of Spike-driven Transformer V2."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from kspike._types import Array, Maps, PerChannel, Scalar
from kspike.layers.norm import BatchNorm
from kspike.ops import batch_norm


@keras.saving.register_keras_serializable(package="kspike")
class BorderNorm(BatchNorm):
    """Normalises a map, and surrounds it by what the normalisation makes of 0.

        y = BN(x)
        border = beta - moving_mean * gamma / sqrt(moving_variance + epsilon)          one number a channel

    The border always follows the moving statistics, in training those that this very batch has entered; no gradient
    goes through it. Source: Spike-driven Transformer V2 (Yao et al., 2024) and its code, whose moving variance is
    unbiased. Here, too, a batch in training enters the border's variance by n / (n - 1) of its own (n: numbers of a
    channel). Departure: what is kept is the biased one, as in every normalisation of kspike.

    Input shape: `(batch, time, height, width, channels)`; output shape: the same with height and width longer by 2.
    """

    def call(self, inputs: Maps, training: bool | None = None, mask: Any = None) -> Maps:
        if mask is not None or not (training and self.trainable):
            y = super().call(inputs, training=training, mask=mask)
            return surrounded(y, self.border(self.moving_mean.value, self.moving_variance.value))
        y, mean, variance = batch_norm(inputs, self.gamma, self.beta, self.epsilon)
        border = self.border(
            self.moved(self.moving_mean, mean), self.moved(self.moving_variance, unbiased(variance, inputs))
        )
        self._remember(mean, variance)
        return surrounded(ops.cast(y, self.compute_dtype), border)

    def border(self, mean: PerChannel, variance: PerChannel) -> PerChannel:
        """What 0 becomes by these statistics."""
        return of_zero(self.gamma, self.beta, mean, variance, self.epsilon)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        *lead, height, width, channels = input_shape
        return (*lead, *(None if side is None else side + 2 for side in (height, width)), channels)


def of_zero(gamma: Array, beta: Array, mean: Array, variance: Array, epsilon: float) -> Array:
    """beta - mean * gamma / sqrt(variance + epsilon), in float32, without a gradient."""
    gamma, beta, mean, variance = (ops.cast(a, "float32") for a in (gamma, beta, mean, variance))
    return ops.stop_gradient(beta - mean * (gamma * ops.rsqrt(variance + epsilon)))


def unbiased(variance: PerChannel, x: Maps, images: Scalar | None = None) -> PerChannel:
    """A batch's variance times n / (n - 1); `images` says how many (batch x time) count, where not all of x do."""
    count = ops.cast(ops.shape(x)[0] * ops.shape(x)[1], "float32") if images is None else images
    count = count * float(math.prod(x.shape[2:-1]))
    return ops.cast(variance, "float32") * (count / ops.maximum(count - 1.0, 1.0))


def surrounded(y: Maps, border: PerChannel) -> Maps:
    """y with these numbers of its channels around each map."""
    sides = [[0, 0], [0, 0], [1, 1], [1, 1], [0, 0]]
    inside = ops.pad(ops.ones_like(y[:1, :1, ..., :1]), sides)
    return ops.where(inside > 0, ops.pad(y, sides), ops.cast(border, y.dtype))
