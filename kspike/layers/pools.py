"""Pools of images over time: Keras' pools, in every time step by itself."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from kspike._types import Frames
from kspike.layers.frames import IMAGES, OverTime, odd_window
from kspike.ops import max_pool


class _Pool(OverTime):
    """What the pools share: the axes they take, and the padding of an odd window with strides."""

    pool_size: tuple[int, int]
    strides: tuple[int, int]
    padding: str
    input_spec: Any

    def __init__(
        self,
        pool_size: int | tuple[int, int] = 2,
        strides: int | tuple[int, int] | None = None,
        padding: str = "valid",
        data_format: str = "channels_last",
        name: str | None = None,
        trainable: bool = True,
        dtype: Any = None,
    ) -> None:
        super().__init__(  # type: ignore[call-arg]  # the Keras layer's
            pool_size, strides, padding, data_format=data_format, name=name, trainable=trainable, dtype=dtype
        )
        self.input_spec = IMAGES
        if padding not in ("valid", "same"):
            raise ValueError(f"padding of {self.name!r} must be 'valid' or 'same', got {padding!r}.")

    def sides(self, shape: tuple) -> list[list[int]] | None:
        """What "same" puts around images of a shape, axis by axis; None where the size is not known, and decides it."""
        found = [[0, 0]]
        around = odd_window(self.pool_size, self.strides, self.padding, self.data_format)
        for size, window, stride in zip(shape[1:3], self.pool_size, self.strides, strict=True):
            missing = window - 1
            if stride > 1 and not around:
                if size is None:
                    return None
                missing = max((-(-size // stride) - 1) * stride + window - size, 0)
            found.append([missing // 2, missing - missing // 2])
        return [*found, [0, 0]]


class _FramesMax(keras.layers.MaxPooling2D):
    """Keras' MaxPooling2D of frames; Spikformer's 3x3 pool by `kspike.ops.max_pool`."""

    def call(self, inputs: Frames) -> Frames:
        sides = _sides(self, inputs)
        if sides is None:
            return super().call(inputs)
        if self.pool_size == (3, 3) and self.strides in ((1, 1), (2, 2)):
            return max_pool(inputs, self.strides[0])
        x = ops.pad(inputs, sides, constant_values=float("-inf"))
        return ops.max_pool(x, self.pool_size, self.strides, padding="valid", data_format="channels_last")


class _FramesMean(keras.layers.AveragePooling2D):
    """Keras' AveragePooling2D of frames. PyTorch's form of it repeats the edge under "same": here no backend does."""

    def call(self, inputs: Frames) -> Frames:
        sides = _sides(self, inputs)
        if sides is None:
            return super().call(inputs)
        pooled = lambda x: ops.average_pool(
            ops.pad(x, sides), self.pool_size, self.strides, padding="valid", data_format="channels_last"
        )
        # of the window's numbers those inside the image alone
        return pooled(inputs) / pooled(ops.ones_like(inputs[:1, :, :, :1]))


def _sides(layer: Any, inputs: Frames) -> list[list[int]] | None:
    """What a pool puts around frames by itself; None where Keras' own does what is wanted."""
    same = layer.padding == "same" and layer.data_format == "channels_last"
    return layer.sides(inputs.shape) if same else None


@keras.saving.register_keras_serializable(package="kspike")
class MaxPool2D(_Pool, _FramesMax):
    """Takes the largest of each window, in every time step: Keras' MaxPooling2D over time. Spikes stay spikes.

        y[b, t, i, j, c] = max over the window at (i, j) of x[b, t, :, :, c]

    Departure from Keras: an odd window with strides above 1 and padding="same" has (pool_size - 1) / 2 places on each
    side, as `Conv2D`, and as the pools of `SPS`.

    Args:
        pool_size: height and width of the window, a number for both.
        strides: steps between windows; None is `pool_size`.
        padding: "valid" or "same".
        data_format: "channels_last", what images over time have.

    Input shape: `(batch, time, height, width, channels)`, or images without time. Output shape: the same axes.

    Raises:
        ValueError: an input of other axes, another padding, or data_format="channels_first" over time.
    """


@keras.saving.register_keras_serializable(package="kspike")
class AveragePool2D(_Pool, _FramesMean):
    """Takes the mean of each window, in every time step: Keras' AveragePooling2D over time.

        y[b, t, i, j, c] = mean over the window at (i, j) of x[b, t, :, :, c], of what lies inside the image

    What comes out are no spikes: a product behind it multiplies, and `kspike.cost.measure` charges it so. A neuron
    behind the pool, or `MaxPool2D`, keeps the next product to additions. Padding is that of `MaxPool2D`, and counts in
    no mean.

    Args:
        pool_size: height and width of the window, a number for both.
        strides: steps between windows; None is `pool_size`.
        padding: "valid" or "same".
        data_format: "channels_last", what images over time have.

    Input shape: `(batch, time, height, width, channels)`, or images without time. Output shape: the same axes.

    Raises:
        ValueError: an input of other axes, another padding, or data_format="channels_first" over time.
    """


@keras.saving.register_keras_serializable(package="kspike")
class GlobalAveragePool2D(OverTime, keras.layers.GlobalAveragePooling2D):
    """Takes the mean over height and width, in every time step: Keras' GlobalAveragePooling2D over time.

    `RateDecoding` takes the mean over time as well.

    Args:
        data_format: "channels_last", what images over time have.
        keepdims: whether height and width stay, as 1.

    Input shape: `(batch, time, height, width, channels)`, or images without time. Output shape:
    `(batch, time, channels)`; `(batch, time, 1, 1, channels)` with `keepdims`.

    Raises:
        ValueError: an input of other axes, or data_format="channels_first" over time.
    """

    def __init__(
        self,
        data_format: str = "channels_last",
        keepdims: bool = False,
        name: str | None = None,
        trainable: bool = True,
        dtype: Any = None,
    ) -> None:
        super().__init__(data_format=data_format, keepdims=keepdims, name=name, trainable=trainable, dtype=dtype)
        self.input_spec = IMAGES
