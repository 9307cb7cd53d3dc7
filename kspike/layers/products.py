"""The products inside the composite layers: Keras' layers, computed by kspike.ops."""

from __future__ import annotations

from typing import Annotated

import keras
from keras import ops

from kspike._types import Array, Frames
from kspike.ops import convolve, convolve_inside, depthwise, linear


@keras.saving.register_keras_serializable(package="kspike")
class Dense(keras.layers.Dense):
    """Keras' Dense, its product and bias by `kspike.ops.linear`: in one pass where the backend has one.

    Weights, arguments and results are those of `keras.layers.Dense`. Input shape: `(..., inputs)`; output shape:
    `(..., units)`.
    """

    def call(
        self, inputs: Annotated[Array, "... inputs"], training: bool | None = None
    ) -> Annotated[Array, "... units"]:
        if self.activation is not keras.activations.linear:
            return super().call(inputs, training=training)
        return linear(inputs, self.kernel, self.bias)


@keras.saving.register_keras_serializable(package="kspike")
class Conv2D(keras.layers.Conv2D):
    """Keras' Conv2D, by `kspike.ops.convolve` where it is a convolution that keeps height and width.

    Weights, arguments and results are those of `keras.layers.Conv2D`, but for strides above 1 with padding="same":
    (kernel - 1) / 2 zeros stand on each side, as in PyTorch, where Keras may put them on one side alone.
    """

    def convolution_op(
        self,
        inputs: Annotated[Array, "frames height width inputs"],
        kernel: Annotated[Array, "kernel_height kernel_width inputs filters"],
    ) -> Annotated[Array, "frames height width filters"]:
        ones = self.strides == self.dilation_rate == (1, 1) and self.groups == 1
        if pads_around(self):
            return convolve_inside(around(inputs, self.kernel_size), kernel, tuple(self.strides))
        if not ones or self.padding != "same" or self.data_format != "channels_last":
            return super().convolution_op(inputs, kernel)
        return convolve(inputs, kernel)


@keras.saving.register_keras_serializable(package="kspike")
class DepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """Keras' DepthwiseConv2D, with (kernel - 1) / 2 zeros on each side where it has a stride, as `Conv2D` here."""

    def call(self, inputs: Frames, training: bool | None = None) -> Frames:
        if pads_around(self):
            y = depthwise(around(inputs, self.kernel_size), self.kernel, tuple(self.strides))
        elif self.strides == self.dilation_rate == (1, 1) and self.data_format == "channels_last":
            y = depthwise(inputs, self.kernel, padding=self.padding)
        else:
            return super().call(inputs)
        y = y if self.bias is None else ops.add(y, self.bias)
        return self.activation(y)


def pads_around(layer: keras.layers.Layer) -> bool:
    """Whether a convolution puts (kernel - 1) / 2 zeros on each side where Keras' might put them on one."""
    ours = isinstance(layer, (Conv2D, DepthwiseConv2D))
    return ours and layer.padding == "same" and layer.data_format == "channels_last" and max(layer.strides) > 1


def around(x: Frames, kernel: tuple[int, ...]) -> Frames:
    """(kernel - 1) / 2 zeros on each side of `(frames, height, width, channels)`."""
    sides = [[k // 2, k // 2] for k in kernel]
    return ops.pad(x, [[0, 0], *sides, [0, 0]])
