"""How images become sequences, and sequences become features again."""

from __future__ import annotations

from typing import Annotated, Any

import keras
from keras import ops

from kspike._types import Array, Images, Signal


@keras.saving.register_keras_serializable(package="kspike")
class DirectEncoding(keras.layers.Layer):
    """Repeats an image at every time step; the first convolution and its neurons turn it into spikes.

    Source: Spikformer (Zhou et al., 2023, section 3.1), "direct coding".

    Args:
        timesteps: T, the number of repetitions.

    Input shape: `(batch, ...)`. Output shape: `(batch, timesteps, ...)`.
    """

    def __init__(self, timesteps: int = 4, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if isinstance(timesteps, bool) or not isinstance(timesteps, int) or timesteps < 1:
            raise ValueError(f"timesteps must be a whole number of at least 1, got {timesteps!r}.")
        self.timesteps = timesteps

    def call(self, inputs: Images) -> Annotated[Array, "batch time *image"]:
        return ops.repeat(ops.expand_dims(inputs, 1), self.timesteps, axis=1)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (input_shape[0], self.timesteps, *input_shape[1:])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "timesteps": self.timesteps}


@keras.saving.register_keras_serializable(package="kspike")
class RateDecoding(keras.layers.Layer):
    """Averages over all between time and channels, then over time: what the head classifies (Spikformer's order).

    Input shape: `(batch, time, ..., channels)`: of a Spikformer `(batch, time, tokens, channels)`. Output shape:
    `(batch, channels)`.

    Raises:
        ValueError: an input without time and channels.
    """

    def call(self, inputs: Signal) -> Annotated[Array, "batch channels"]:
        # In float32 throughout: a bfloat16 mean over a thousand tokens keeps two digits.
        return ops.cast(ops.mean(mean_of_places(inputs), axis=1), self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        check_places(input_shape)
        return (input_shape[0], input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        # Keras writes one by itself only for a layer whose dtype policy was given by name
        return super().get_config()


def check_places(shape: tuple) -> None:
    """Refuses what has no time and channels, by ValueError."""
    if len(shape) < 3:
        raise ValueError(f"Decoding expects (batch, time, ..., channels), got shape {tuple(shape)}.")


def mean_of_places(x: Signal) -> Annotated[Array, "batch time channels"]:
    """(batch, time, ..., channels) -> (batch, time, channels), float32: the mean over tokens, or height and width."""
    check_places(x.shape)
    x = ops.cast(x, "float32")
    return ops.mean(x, axis=tuple(range(2, len(x.shape) - 1))) if len(x.shape) > 3 else x
