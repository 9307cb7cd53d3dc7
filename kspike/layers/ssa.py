"""Spiking self-attention."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from kspike._types import Heads, Scalar, Tokens
from kspike.layers._parts import SpikingComposite, known_sizes, linear_initializer
from kspike.layers.norm import BatchNorm
from kspike.layers.products import Dense
from kspike.ops import attend


@keras.saving.register_keras_serializable(package="kspike")
class SSA(SpikingComposite):
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

    def __init__(
        self,
        num_heads: int = 8,
        *,
        scale: float = 0.125,
        qkv_bias: bool = True,
        proj_bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(num_heads, int) or num_heads < 1:
            raise ValueError(f"num_heads must be a whole number of at least 1, got {num_heads!r}.")
        self.num_heads = num_heads
        self.scale = scale
        self.qkv_bias = bool(qkv_bias)
        self.proj_bias = bool(proj_bias)
        membrane = self.residual == "membrane"
        self.input_neuron = self.make_neuron("input", "input_neuron") if membrane else None
        self.qkv_norm = BatchNorm(dtype=self.dtype_policy, name="qkv_norm")
        self.qkv_neuron = self.make_neuron("qkv", "qkv_neuron", groups=3)
        self.attention_neuron = self.make_neuron("attention", "attention_neuron")
        self.proj_norm = BatchNorm(dtype=self.dtype_policy, name="proj_norm")
        self.proj_neuron = None if membrane else self.make_neuron("proj", "proj_neuron")

    def build(self, input_shape: tuple) -> None:
        known_sizes(self, input_shape, "batch, time, tokens, channels", ("channels",))
        channels = input_shape[-1]
        if channels % self.num_heads:
            raise ValueError(f"num_heads must divide the channels: {self.num_heads} heads, {channels} channels.")
        self.qkv = self._product(3 * channels, self.qkv_bias, "qkv")
        self.proj = self._product(channels, self.proj_bias, "proj")
        three = (*input_shape[:-1], 3 * channels)
        for layer, shape in (
            (self.input_neuron, input_shape),
            (self.qkv, input_shape),
            (self.qkv_norm, three),
            (self.qkv_neuron, three),
            (self.attention_neuron, input_shape),
            (self.proj, input_shape),
            (self.proj_norm, input_shape),
            (self.proj_neuron, input_shape),
        ):
            if layer is not None:
                layer.build(shape)
        self.settle()

    def _product(self, units: int, use_bias: bool, name: str) -> Dense:
        return Dense(
            units, use_bias=use_bias, kernel_initializer=linear_initializer(), dtype=self.dtype_policy, name=name
        )

    def attend(self, q: Heads, k: Heads, v: Heads) -> Tokens:
        """scale * q k^T v in float32: (batch, time, tokens, heads, head_dim) -> (batch, time, tokens, channels)."""
        return attend(q, k, v) * self.scale

    @staticmethod
    def _time_and_tokens(x: Tokens) -> tuple[int | Scalar, ...]:
        known, running = x.shape, ops.shape(x)
        return tuple(running[i] if known[i] is None else known[i] for i in (1, 2))

    def call(self, inputs: Tokens, training: bool | None = None) -> Tokens:
        x = inputs if self.input_neuron is None else self.input_neuron(inputs)
        spikes = self.qkv_norm.then_fire(self.qkv_neuron, self.qkv(x), training)
        channels = inputs.shape[-1]
        heads = (*self._time_and_tokens(inputs), self.num_heads, channels // self.num_heads)
        q, k, v = (ops.reshape(part, (-1, *heads)) for part in ops.split(spikes, 3, axis=-1))
        y = self.attention_neuron(self.attend(q, k, v))
        return self.proj_norm.then_fire(self.proj_neuron, self.proj(y), training)

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
