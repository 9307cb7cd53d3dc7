"""The products: Keras' layers over `(batch, time, ..., channels)`, computed by kspike.ops."""

from __future__ import annotations

from typing import Annotated

import keras
from keras import ops

from kspike._types import Array, Frames
from kspike.layers.frames import OverTime, around, odd_window
from kspike.ops import convolve, convolve_inside, depthwise, linear


@keras.saving.register_keras_serializable(package="kspike")
class Dense(keras.layers.Dense):
    """Multiplies the last axis by weights, in every time step: Keras' Dense by `kspike.ops.linear`.

        y = x kernel + bias

    The product and its bias are one pass where the backend has one, and sparse on a CPU where the input is: spikes
    are. Weights, arguments and results are those of `keras.layers.Dense`.

    Args:
        units: outputs; the other arguments are those of `keras.layers.Dense`.

    Input shape: `(..., inputs)`: `(batch, time, inputs)`, `(batch, time, tokens, inputs)`, or `(batch, inputs)` behind
    `RateDecoding`. Output shape: `(..., units)`.

    Example:
        >>> import numpy as np
        >>> from kspike import layers
        >>> tuple(layers.Dense(10)(np.zeros((2, 4, 64), "float32")).shape)
        (2, 4, 10)
    """

    def call(
        self, inputs: Annotated[Array, "... inputs"], training: bool | None = None
    ) -> Annotated[Array, "... units"]:
        if self.activation is not keras.activations.linear:
            return super().call(inputs, training=training)
        return linear(inputs, self.kernel, self.bias)


@keras.saving.register_keras_serializable(package="kspike")
class Conv2D(OverTime, keras.layers.Conv2D):
    """Convolves every image of every time step: Keras' Conv2D, over time, by `kspike.ops.convolve` where it keeps size.

        y[b, t] = conv(x[b, t], kernel) + bias

    Where it keeps height and width it is sparse on a CPU where the input is: spikes are. Weights, arguments and results
    are those of `keras.layers.Conv2D`, but for an odd kernel with strides above 1 and padding="same": (kernel - 1) / 2
    zeros stand on each side, as in PyTorch, where Keras may put them on one side alone.

    Args:
        filters: output channels.
        kernel_size: height and width of the window, a number for both; the other arguments are those of
            `keras.layers.Conv2D`.

    Input shape: `(batch, time, height, width, channels)`; or images without time, `(batch, height, width, channels)`,
    as before `DirectEncoding`, where the convolution runs once. Output shape: the same axes, `filters` channels.

    Raises:
        ValueError: an input of other axes, or data_format="channels_first" over time.

    Example:
        >>> import numpy as np
        >>> from kspike import layers
        >>> tuple(layers.Conv2D(16, 3, padding="same")(np.zeros((2, 4, 8, 8, 1), "float32")).shape)
        (2, 4, 8, 8, 16)
    """

    def convolution_op(
        self,
        inputs: Annotated[Array, "frames height width inputs"],
        kernel: Annotated[Array, "kernel_height kernel_width inputs filters"],
    ) -> Annotated[Array, "frames height width filters"]:
        ones = self.strides == self.dilation_rate == (1, 1) and self.groups == 1
        if pads_around(self):
            inputs = around(inputs, self.kernel_size)
            if self.groups == 1:
                return convolve_inside(inputs, kernel, tuple(self.strides))
            return ops.conv(inputs, kernel, strides=list(self.strides), padding="valid", data_format="channels_last")
        if not ones or self.padding != "same" or self.data_format != "channels_last":
            return super().convolution_op(inputs, kernel)
        return convolve(inputs, kernel)


class _FrameByFrame(keras.layers.DepthwiseConv2D):
    """Keras' DepthwiseConv2D of frames, padded as `Conv2D` here."""

    def call(self, inputs: Frames, training: bool | None = None) -> Frames:
        by_itself = self.depth_multiplier == 1  # what `kspike.ops.depthwise` takes
        if pads_around(self):
            inputs, how = around(inputs, self.kernel_size), tuple(self.strides)
            plain = {"strides": how, "padding": "valid", "data_format": "channels_last"}
            y = depthwise(inputs, self.kernel, how) if by_itself else ops.depthwise_conv(inputs, self.kernel, **plain)
        elif by_itself and self.strides == self.dilation_rate == (1, 1) and self.data_format == "channels_last":
            y = depthwise(inputs, self.kernel, padding=self.padding)
        else:
            return super().call(inputs)
        y = y if self.bias is None else ops.add(y, self.bias)
        return self.activation(y)


@keras.saving.register_keras_serializable(package="kspike")
class DepthwiseConv2D(OverTime, _FrameByFrame):  # type: ignore[misc]  # call gives what call of frames gives, over time
    """Convolves every channel by itself, in every time step: Keras' DepthwiseConv2D, padded as `Conv2D` here.

    Args:
        kernel_size: height and width of the window; the other arguments are those of `keras.layers.DepthwiseConv2D`.

    Input shape: `(batch, time, height, width, channels)`, or images without time, `(batch, height, width, channels)`.
    Output shape: the same axes, `channels * depth_multiplier` channels.

    Raises:
        ValueError: an input of other axes, or data_format="channels_first" over time.
    """


def pads_around(layer: keras.layers.Layer) -> bool:
    """Whether a convolution puts (kernel - 1) / 2 zeros on each side where Keras might put them on one."""
    ours = isinstance(layer, (Conv2D, DepthwiseConv2D))
    return ours and odd_window(layer.kernel_size, layer.strides, layer.padding, layer.data_format)
