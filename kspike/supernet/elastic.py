"""Elastic products and normalisations: shared weights of which a genome uses the leading part."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any

import keras
import numpy as np
from keras import ops

from kspike._types import Array, PerChannel, PerStep, Scalar, Signal
from kspike.layers._parts import conv_initializer, linear_initializer
from kspike.layers.frames import around
from kspike.layers.norm import BatchNorm
from kspike.ops import batch_norm, convolve, convolve_inside, depthwise, linear, norm_lif

EPSILON = 1e-5


@dataclasses.dataclass(frozen=True)
class Leading:
    """The first `size` channels of an axis, by slicing."""

    size: int

    def take(self, x: Array, axis: int) -> Array:
        """The active part of a weight."""
        if x.shape[axis] == self.size:
            return x
        return x[(slice(None),) * (axis % len(x.shape)) + (slice(0, self.size),)]

    def take_each(self, weights: Sequence[Array], axis: int) -> list[Array]:
        """The active part of several weights."""
        return [self.take(x, axis) for x in weights]

    def mask(self, x: Annotated[Array, "... channels"]) -> Annotated[Array, "... channels"]:
        """Activations hold active channels alone."""
        return x


@dataclasses.dataclass(frozen=True)
class Masked:
    """The first channels of an axis, by a mask of ones and zeros over all of them."""

    ones: Annotated[Array, "... channels"]

    def take(self, x: Array, axis: int) -> Array:
        """Weights stay whole: what they multiply is zero beyond the active channels."""
        return x

    def take_each(self, weights: Sequence[Array], axis: int) -> list[Array]:
        """The same of several weights."""
        return list(weights)

    def mask(self, x: Annotated[Array, "... channels"]) -> Annotated[Array, "... channels"]:
        """Sets inactive channels (last axis, once or several times side by side) to zero."""
        ones = self.ones
        if x.shape[-1] != ones.shape[0]:
            ones = ops.tile(ones, x.shape[-1] // ones.shape[0])
        return x * ops.cast(ones, x.dtype)


#: The leading channels of an axis, in either form.
Extent = Leading | Masked


@dataclasses.dataclass(frozen=True)
class Statistics:
    """How a forward pass normalises.

    Args:
        batch: by the batch's own moments (training, calibration), or by the stored ones.
        rate: the share of the batch's moments that enters the stored ones: 0.1 in training, 1/k at the k-th batch of a
            calibration, which makes the stored ones their mean.
    """

    batch: bool = False
    rate: float | Scalar = 0.0


class ElasticConv(keras.layers.Layer):
    """Convolution of the leading channels."""

    def __init__(
        self, inputs: int, outputs: int, side: int = 3, stride: int = 1, use_bias: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.inputs, self.outputs = inputs, outputs
        self.side, self.stride, self.use_bias = side, stride, use_bias

    def build(self, input_shape: tuple | None = None) -> None:
        self.kernel = self.add_weight(
            shape=(self.side, self.side, self.inputs, self.outputs), initializer=conv_initializer(), name="kernel"
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(shape=(self.outputs,), initializer="zeros", name="bias")

    def call(
        self, x: Annotated[Array, "frames height width inputs"], inputs: Extent | None, outputs: Extent
    ) -> Annotated[Array, "frames height width outputs"]:
        kernel = outputs.take(self.kernel if inputs is None else inputs.take(self.kernel, 2), 3)
        if self.stride == 1:
            y = convolve(x, kernel)
        else:
            y = convolve_inside(around(x, (self.side, self.side)), kernel, (self.stride, self.stride))
        return y if self.bias is None else y + ops.cast(outputs.take(self.bias, 0), y.dtype)


class ElasticDepthwise(keras.layers.Layer):
    """Convolution of each of the leading channels by itself."""

    def __init__(
        self,
        channels: int,
        side: int = 3,
        stride: int = 1,
        use_bias: bool = False,
        padded: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.channels, self.side, self.stride = channels, side, stride
        self.use_bias, self.padded = use_bias, padded

    def build(self, input_shape: tuple | None = None) -> None:
        self.kernel = self.add_weight(
            shape=(self.side, self.side, self.channels, 1), initializer=conv_initializer(), name="kernel"
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(shape=(self.channels,), initializer="zeros", name="bias")

    def call(
        self, x: Annotated[Array, "frames height width channels"], extent: Extent
    ) -> Annotated[Array, "frames height width channels"]:
        kernel = ops.convert_to_tensor(extent.take(self.kernel, 2))
        if self.stride == 1 and self.padded:
            y = depthwise(x, kernel, padding="same")
        else:
            x = around(x, (self.side, self.side)) if self.padded else x
            y = depthwise(x, kernel, (self.stride, self.stride))
        return y if self.bias is None else y + ops.cast(extent.take(self.bias, 0), y.dtype)


class ElasticDense(keras.layers.Layer):
    """Product of the leading channels; `parts` outputs side by side share the input (q, k, v: three)."""

    def __init__(self, inputs: int, outputs: int, parts: int = 1, use_bias: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inputs, self.outputs, self.parts, self.use_bias = inputs, outputs, parts, use_bias

    def build(self, input_shape: tuple | None = None) -> None:
        self.kernel = self.add_weight(
            shape=(self.inputs, self.parts, self.outputs), initializer=linear_initializer(), name="kernel"
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(shape=(self.parts, self.outputs), initializer="zeros", name="bias")

    def call(
        self, x: Annotated[Array, "... inputs"], inputs: Extent, outputs: Extent | None = None
    ) -> Annotated[Array, "... parts*outputs"]:
        kernel, bias = inputs.take(self.kernel, 0), self.bias
        if outputs is not None:
            kernel = outputs.take(kernel, 2)
            bias = bias if bias is None else outputs.take(bias, 1)
        return linear(x, ops.reshape(kernel, (kernel.shape[0], -1)), None if bias is None else ops.reshape(bias, (-1,)))


class ElasticNorm(keras.layers.Layer):
    """Batch normalisation of the leading channels over batch and active time steps; touches nothing inactive."""

    def __init__(self, channels: int, parts: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.channels, self.parts = channels, parts

    def build(self, input_shape: tuple | None = None) -> None:
        shape = (self.parts, self.channels)
        keep = {"dtype": "float32", "autocast": False}
        self.gamma = self.add_weight(shape=shape, initializer="ones", name="gamma", **keep)
        self.beta = self.add_weight(shape=shape, initializer="zeros", name="beta", **keep)
        self.moving_mean = self.add_weight(
            shape=shape, initializer="zeros", trainable=False, name="moving_mean", **keep
        )
        self.moving_variance = self.add_weight(
            shape=shape, initializer="ones", trainable=False, name="moving_variance", **keep
        )

    def call(
        self,
        x: Signal,
        extent: Extent,
        statistics: Statistics,
        time_mask: PerStep | None = None,
        active: Scalar | None = None,
    ) -> Signal:
        y, moments = self._normalised(x, extent, statistics, time_mask)
        if moments is not None:
            self._remember(extent, *moments, statistics.rate, active)
        return extent.mask(y)

    def _normalised(
        self, x: Signal, extent: Extent, statistics: Statistics, time_mask: PerStep | None
    ) -> tuple[Signal, tuple[PerChannel, PerChannel] | None]:
        """The result, and the batch's own moments where they made it."""
        gamma, beta, mean, variance = self._taken(extent)
        if not statistics.batch:
            y = ops.batch_normalization(ops.cast(x, "float32"), mean, variance, -1, beta, gamma, EPSILON)
            return ops.cast(y, x.dtype), None
        if time_mask is None:
            y, mean, variance = batch_norm(x, gamma, beta, EPSILON)
        else:
            y, mean, variance = _masked_batch_norm(x, gamma, beta, time_mask)
        return y, (mean, variance)

    def then_fire(
        self,
        x: Signal,
        extent: Extent,
        statistics: Statistics,
        time_mask: PerStep | None = None,
        active: Scalar | None = None,
        **neuron: Any,
    ) -> Signal | None:
        """Normalises and fires in one pass each way, as `kspike.layers.BatchNorm` does; None where there is none.

        The pass is that of the network taken out: on slices, it makes the same spikes to the last bit.
        """
        gamma, beta, mean, variance = self._taken(extent)
        moments = None if statistics.batch else (mean, variance)
        done = norm_lif(x, gamma, beta, moments, EPSILON, time_mask=time_mask, **neuron)
        if done is None:
            return None
        spikes, mean, variance = done
        if statistics.batch:
            self._remember(extent, mean, variance, statistics.rate, active)
        return extent.mask(spikes)

    def _taken(self, extent: Extent) -> tuple[Array, ...]:
        whole = [ops.convert_to_tensor(v) for v in self._variables()]
        return tuple(ops.reshape(v, (-1,)) for v in extent.take_each(whole, 1))

    def _variables(self) -> tuple[keras.Variable, ...]:
        return self.gamma, self.beta, self.moving_mean, self.moving_variance

    def _remember(
        self, extent: Extent, mean: PerChannel, variance: PerChannel, rate: float | Scalar, active: Scalar | None
    ) -> None:
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            stored = extent.take(ops.convert_to_tensor(moving), 1)
            batch = ops.reshape(ops.stop_gradient(ops.cast(batch, "float32")), (self.parts, -1))
            step = extent.mask((batch - stored) * rate)
            new = stored + (step if active is None else step * active)
            if new.shape != moving.shape:
                new = ops.slice_update(ops.convert_to_tensor(moving), [0, 0], new)
            moving.assign(new)

    def copy_to(self, norm: BatchNorm, size: int) -> None:
        """Writes the leading part into a plain BatchNorm."""
        for variable, target in zip(
            self._variables(), (norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance), strict=True
        ):
            target.assign(ops.convert_to_numpy(variable)[:, :size].reshape(-1))


def _masked_batch_norm(
    x: Signal, gamma: PerChannel, beta: PerChannel, time_mask: PerStep
) -> tuple[Signal, PerChannel, PerChannel]:
    """Moments over batch and active time steps of (batch, time, ..., channels), in two passes."""
    axes = list(range(len(x.shape) - 1))
    weight = ops.reshape(time_mask, (1, -1, *([1] * (len(x.shape) - 2))))
    each = ops.cast(ops.shape(x)[0], "float32") * float(np.prod(x.shape[2:-1], dtype="float64"))
    count = each * ops.sum(time_mask)
    y = ops.cast(x, "float32")
    mean = ops.sum(y * weight, axis=axes) / count
    centred = y - mean
    variance = ops.sum(ops.square(centred) * weight, axis=axes) / count
    y = centred * (gamma * ops.rsqrt(variance + EPSILON)) + beta
    return ops.cast(y, x.dtype), mean, variance
