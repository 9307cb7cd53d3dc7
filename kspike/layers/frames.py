"""Images over time: time is folded into the batch around a layer of images, every time step by itself."""

from __future__ import annotations

from typing import Annotated, Any

import keras
from keras import ops

from kspike._types import Array, Frames, Maps, Scalar, Signal


def fold_time(x: Annotated[Array, "batch time ..."]) -> Annotated[Array, "frames ..."]:
    """(batch, time, ...) -> (batch * time, ...): a reshape, no data moves."""
    return ops.reshape(x, (-1, *x.shape[2:]))


def unfold_time(x: Annotated[Array, "frames ..."], timesteps: int | Scalar) -> Annotated[Array, "batch time ..."]:
    """(batch * time, ...) -> (batch, time, ...)."""
    return ops.reshape(x, (-1, timesteps, *x.shape[1:]))


class EachStep:
    """Runs a layer of images, or a function, over `(batch, time, height, width, channels)`."""

    def __init__(self, layer: Any) -> None:
        self.layer = layer

    def __call__(self, x: Signal) -> Signal:
        timesteps = x.shape[1] if x.shape[1] is not None else ops.shape(x)[1]
        return unfold_time(self.layer(fold_time(x)), timesteps)


class OverTime:
    """Stands before a Keras layer of images in a class: with it the layer takes images over time, too.

    Weights, arguments and what is computed of one image are those of the Keras layer. The base's `call` and
    `compute_output_shape` are asked of frames, `(batch * time, height, width, channels)`.
    """

    data_format: str
    name: str

    def call(self, inputs: Maps | Frames) -> Any:
        if len(inputs.shape) == 4:
            return super().call(inputs)  # type: ignore[misc]  # the Keras layer's
        self._checked(tuple(inputs.shape))
        return EachStep(super().call)(inputs)  # type: ignore[misc]

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        shape = tuple(input_shape)
        if len(shape) == 4:
            return super().compute_output_shape(shape)  # type: ignore[misc]
        self._checked(shape)
        return (*shape[:2], *super().compute_output_shape((None, *shape[2:]))[1:])  # type: ignore[misc]

    def _checked(self, shape: tuple) -> None:
        if len(shape) != 5:
            raise ValueError(
                f"{type(self).__name__} {self.name!r} expects (batch, time, height, width, channels), or images "
                f"without time, (batch, height, width, channels); received shape {shape}."
            )
        if self.data_format != "channels_last":
            raise ValueError(
                f"{type(self).__name__} {self.name!r} over time has its channels last, "
                f"(batch, time, height, width, channels); received data_format={self.data_format!r}: give "
                "data_format='channels_last'."
            )


def odd_window(window: tuple[int, ...], strides: tuple[int, ...], padding: str, data_format: str) -> bool:
    """Whether (window - 1) / 2 stand on each side of an image where Keras might put all of it on one.

    With an even window no such padding keeps the size: there it is Keras' own.
    """
    odd = all(size % 2 for size in window)
    return odd and padding == "same" and data_format == "channels_last" and max(strides) > 1


def around(x: Frames, window: tuple[int, ...]) -> Frames:
    """(window - 1) / 2 zeros on each side of `(frames, height, width, channels)`."""
    sides = [[size // 2, size // 2] for size in window]
    return ops.pad(x, [[0, 0], *sides, [0, 0]])


#: Images, with time or without it.
IMAGES = keras.layers.InputSpec(min_ndim=4, max_ndim=5)
