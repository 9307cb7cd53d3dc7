"""Spiking patch splitting."""

from __future__ import annotations

from typing import Any

import keras

from kspike._types import Frames, Maps, Tokens
from kspike.components.stems import sps
from kspike.config import stem_channels_of
from kspike.layers._parts import known_sizes
from kspike.layers.component import ComponentLayer, Sizes
from kspike.ops import max_pool


@keras.saving.register_keras_serializable(package="kspike")
class SPS(ComponentLayer):
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
        pool: tuple[bool, bool, bool, bool] = (False, False, True, True),
        pool_after: str = "neuron",
        **kwargs: Any,
    ) -> None:
        if channels is None and embed_dim % 8:
            raise ValueError(f"embed_dim must be a multiple of 8, or channels be given; got embed_dim={embed_dim!r}.")
        if channels is not None and len(channels) != 3:
            raise ValueError(f"channels must be three numbers, one for each of the first stages, got {channels!r}.")
        if len(pool) != 4:
            raise ValueError(f"pool must be four truth values, one a stage, got {pool!r}.")
        if pool_after not in ("neuron", "norm"):
            raise ValueError(f"pool_after must be 'neuron' or 'norm', got {pool_after!r}.")
        super().__init__(**kwargs)
        self.pool_after = pool_after
        self.embed_dim = embed_dim
        self.channels = None if channels is None else tuple(channels)
        self.pool = tuple(bool(p) for p in pool)
        self.hold(sps.SPS(), {"stem_pool": self.pool, "pool_after": pool_after, "residual": self.residual})
        layers = self.made(products=True, size=self.sizes((None,) * 5)) | self.made(products=False)
        self.conv_layers = [layers[f"conv_{i}"] for i in range(4)]
        self.norm_layers = [layers[f"norm_{i}"] for i in range(4)]
        self.neuron_layers = [layers[f"neuron_{i}"] for i in range(4) if f"neuron_{i}" in layers]
        self.rpe_conv, self.rpe_norm = layers["rpe_conv"], layers["rpe_norm"]
        self.rpe_neuron = layers.get("rpe_neuron")

    def sizes(self, input_shape: tuple) -> dict[str, int]:
        d = self.embed_dim
        widths = self.channels or stem_channels_of(d)
        return {"image": input_shape[-1], "width": d, **{f"stem_{i}": n for i, n in enumerate(widths)}}

    def build(self, input_shape: tuple) -> None:
        known_sizes(self, input_shape, self.axes, ("height", "width", "channels"))
        self.build_parts(input_shape, tuple(input_shape[2:4]))

    def call(self, inputs: Maps, training: bool | None = None) -> Tokens:
        return self.run(inputs, Sizes(self, self.sizes(inputs.shape), None), training)

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
