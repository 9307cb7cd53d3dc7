"""Spiking self-attention."""

from __future__ import annotations

from typing import Any

import keras

from kspike._types import Heads, Tokens
from kspike.components.mixers import ssa
from kspike.layers._parts import known_sizes
from kspike.layers.component import ComponentLayer, Sizes
from kspike.ops import attend


@keras.saving.register_keras_serializable(package="kspike")
class SSA(ComponentLayer):
    """Mixes tokens within each time step by attention between spikes, without softmax.

        q, k, v = LIF(BN(x W + b))            three sets of spikes, one product of 3 x channels for all of them
        y = LIF_0.5(scale * q k^T v)          a head at a time
        output = LIF(BN(proj(y)))             without that last neuron with residual="membrane",
                                              where instead a neuron stands before W

    Without softmax (q k^T) v = q (k^T v) exactly, so the cheaper order is used: k^T v where there are more tokens
    than channels in a head. Counts pass 256, which bfloat16 cannot hold, so they are summed in float32 and scaled
    last. `scale` does not depend on the head's width.

    Source: Spikformer (Zhou et al., 2023, eq. 7-9) and its code, which fires the neuron after attention at 0.5.

    Args:
        num_heads: heads; divides the channels.
        scale: factor of the product; a power of two keeps it exact.
        qkv_bias, proj_bias: whether those products have a bias.
        residual, neuron, tau, v_threshold, v_reset, decay_input, detach_reset, surrogate, spike_regularizer: as
            `SpikformerBlock`; kinds here are qkv, attention and proj, and input with the membrane shortcut.

    Input and output shape: `(batch, time, tokens, channels)`.

    Raises:
        ValueError: heads that do not divide the channels.
    """

    scales = True

    def __init__(
        self,
        num_heads: int = 8,
        *,
        scale: float = 0.125,
        qkv_bias: bool = True,
        proj_bias: bool = True,
        **kwargs: Any,
    ) -> None:
        if not isinstance(num_heads, int) or num_heads < 1:
            raise ValueError(f"num_heads must be a whole number of at least 1, got {num_heads!r}.")
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.scale = scale
        self.qkv_bias = bool(qkv_bias)
        self.proj_bias = bool(proj_bias)
        network = {"scale": scale, "qkv_bias": self.qkv_bias, "proj_bias": self.proj_bias, "residual": self.residual}
        self.hold(ssa.SSA(), network)
        for name in ("input_neuron", "proj_neuron"):
            if name not in self.declared:
                setattr(self, name, None)
        for name, layer in self.made(products=False).items():
            setattr(self, name, layer)

    def attend(self, q: Heads, k: Heads, v: Heads) -> Tokens:
        """scale * q k^T v in float32: (batch, time, tokens, heads, head_dim) -> (batch, time, tokens, channels)."""
        return attend(q, k, v) * self.scale

    def sizes(self, input_shape: tuple) -> dict[str, int]:
        return {"width": input_shape[-1], "heads": self.num_heads}

    def build(self, input_shape: tuple) -> None:
        known_sizes(self, input_shape, "batch, time, tokens, channels", ("channels",))
        channels = input_shape[-1]
        if channels % self.num_heads:
            raise ValueError(f"num_heads must divide the channels: {self.num_heads} heads, {channels} channels.")
        for name, layer in self.made(products=True, size=self.sizes(input_shape)).items():
            setattr(self, name, layer)
        self.build_parts(input_shape, None)

    def call(self, inputs: Tokens, training: bool | None = None) -> Tokens:
        return self.run(inputs, Sizes(self, self.sizes(inputs.shape), None), training)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "scale": self.scale,
            "qkv_bias": self.qkv_bias,
            "proj_bias": self.proj_bias,
        }
