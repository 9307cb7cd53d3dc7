"""How images become sequences, and sequences become features again."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


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

    def call(self, inputs: Any) -> Any:
        return ops.repeat(ops.expand_dims(inputs, 1), self.timesteps, axis=1)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (input_shape[0], self.timesteps, *input_shape[1:])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "timesteps": self.timesteps}


@keras.saving.register_keras_serializable(package="kspike")
class RateDecoding(keras.layers.Layer):
    """Averages over the tokens, then over time: what the head classifies (Spikformer's order).

    Input shape: `(batch, time, tokens, channels)`. Output shape: `(batch, channels)`.
    """

    def call(self, inputs: Any) -> Any:
        # In float32 throughout: a bfloat16 mean over a thousand tokens keeps two digits.
        x = ops.mean(ops.mean(ops.cast(inputs, "float32"), axis=2), axis=1)
        return ops.cast(x, self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (input_shape[0], input_shape[3])
