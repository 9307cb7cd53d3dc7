"""Spiking patch splitting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from kspike._types import Frames, Maps, Tokens
from kspike.layers._parts import SpikingComposite, conv_initializer, fold_time, known_sizes, unfold_time
from kspike.layers.norm import BatchNorm
from kspike.layers.products import Conv2D
from kspike.ops import max_pool


@keras.saving.register_keras_serializable(package="kspike")
class SPS(SpikingComposite):
    """Turns frames into spike tokens: four convolution stages, then a convolution that encodes position.

        stage i:   x = LIF(BN(conv3x3(x)));  then a 3x3 max-pool of stride 2 where pool[i]   (pool after the neuron)
        position:  x = x + LIF(BN(conv3x3(x)))
        tokens:    (height, width) become one axis, row by row

    With residual="membrane" stage 4 ends in its normalisation (and pool), and the positional branch has no neuron:
    potentials go on. Source: Spikformer (Zhou et al., 2023, eq. 2-3) and its code, whose order this is: convolutions
    without bias, max-pool 3/2/1 after the neuron.

    Args:
        embed_dim: channels of the tokens, D.
        channels: channels of the first three stages; None for `(D/8, D/4, D/2)`.
        pool: for each of the four stages, whether a max-pool follows.
        pool_after: "neuron" (as above) or "norm" (SpikingJelly 2.0's models: the pool stands before the neuron).
        residual, neuron, tau, v_threshold, v_reset, decay_input, detach_reset, surrogate, spike_regularizer: as
            `SpikformerBlock`; the one kind here is stem.

    Input shape: `(batch, time, height, width, channels)`. Output shape: `(batch, time, tokens, embed_dim)`.
    """

    kinds = ("stem",)
    axes = "batch, time, height, width, channels"

    def __init__(
        self,
        embed_dim: int,
        *,
        channels: tuple[int, int, int] | None = None,
        pool: Sequence[bool] = (False, False, True, True),
        pool_after: str = "neuron",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if channels is None and embed_dim % 8:
            raise ValueError(f"embed_dim must be a multiple of 8, or channels be given; got embed_dim={embed_dim!r}.")
        if channels is not None and len(channels) != 3:
            raise ValueError(f"channels must be three numbers, one for each of the first stages, got {channels!r}.")
        if len(pool) != 4:
            raise ValueError(f"pool must be four truth values, one a stage, got {pool!r}.")
        if pool_after not in ("neuron", "norm"):
            raise ValueError(f"pool_after must be 'neuron' or 'norm', got {pool_after!r}.")
        self.pool_after = pool_after
        self.embed_dim = embed_dim
        self.channels = None if channels is None else tuple(channels)
        self.pool = tuple(bool(p) for p in pool)
        widths = (*(self.channels or (embed_dim // 8, embed_dim // 4, embed_dim // 2)), embed_dim)
        membrane = self.residual == "membrane"
        self.conv_layers = [self._conv(width, f"conv_{i}") for i, width in enumerate(widths)]
        self.norm_layers = [BatchNorm(dtype=self.dtype_policy, name=f"norm_{i}") for i in range(4)]
        self.neuron_layers = [self.make_neuron("stem", f"neuron_{i}") for i in range(3 if membrane else 4)]
        self.rpe_conv = self._conv(embed_dim, "rpe_conv")
        self.rpe_norm = BatchNorm(dtype=self.dtype_policy, name="rpe_norm")
        self.rpe_neuron = None if membrane else self.make_neuron("stem", "rpe_neuron")

    def _conv(self, filters: int, name: str) -> Conv2D:
        return Conv2D(
            filters,
            3,
            padding="same",
            use_bias=False,
            data_format="channels_last",
            kernel_initializer=conv_initializer(),
            dtype=self.dtype_policy,
            name=name,
        )

    def build(self, input_shape: tuple) -> None:
        known_sizes(self, input_shape, self.axes, ("height", "width", "channels"))
        batch, time, height, width, channels = input_shape
        for i, conv in enumerate(self.conv_layers):
            conv.build((None, height, width, channels))
            channels = conv.filters
            self.norm_layers[i].build((batch, time, height, width, channels))
            if self.pool[i]:
                height, width = -(-height // 2), -(-width // 2)
            if i < len(self.neuron_layers):  # element by element: the size makes no difference to it
                self.neuron_layers[i].build((batch, time, height, width, channels))
        self.rpe_conv.build((None, height, width, channels))
        self.rpe_norm.build((batch, time, height, width, channels))
        if self.rpe_neuron is not None:
            self.rpe_neuron.build((batch, time, height, width, channels))
        self.settle()

    def call(self, inputs: Maps, training: bool | None = None) -> Tokens:
        timesteps = inputs.shape[1] if inputs.shape[1] is not None else ops.shape(inputs)[1]
        x = fold_time(inputs)
        for i, conv in enumerate(self.conv_layers):
            x = unfold_time(conv(x), timesteps)
            norm, neuron = self.norm_layers[i], self.neuron_layers[i] if i < len(self.neuron_layers) else None
            if self.pool[i] and self.pool_after == "norm":
                x = unfold_time(self.downsample(fold_time(norm(x, training=training))), timesteps)
                x = x if neuron is None else neuron(x)
            else:
                x = norm.then_fire(neuron, x, training)
            x = fold_time(x)
            if self.pool[i] and self.pool_after == "neuron":
                x = self.downsample(x)
        position = unfold_time(self.rpe_conv(x), timesteps)
        position = self.rpe_norm.then_fire(self.rpe_neuron, position, training)
        x = unfold_time(x, timesteps) + position
        return ops.reshape(x, (-1, timesteps, x.shape[2] * x.shape[3], self.embed_dim))

    def downsample(self, x: Frames) -> Frames:
        """3x3 max-pool of stride 2 of `(frames, height, width, channels)`."""
        return max_pool(x)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        known_sizes(self, input_shape, self.axes, ("height", "width"))
        batch, time, height, width, _ = input_shape
        for pool in self.pool:
            if pool:
                height, width = -(-height // 2), -(-width // 2)
        return (batch, time, height * width, self.embed_dim)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "embed_dim": self.embed_dim,
            "channels": self.channels,
            "pool": self.pool,
            "pool_after": self.pool_after,
        }
