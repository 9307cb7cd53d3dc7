"""The MLP of a spiking transformer block."""

from __future__ import annotations

from typing import Any

import keras

from kspike._types import Tokens
from kspike.layers._parts import SpikingComposite, linear_initializer
from kspike.layers.norm import BatchNorm
from kspike.layers.products import Dense


@keras.saving.register_keras_serializable(package="kspike")
class SpikingMLP(SpikingComposite):
    """Widens and narrows the channels of spike tokens: two products, each normalised, with neurons between.

        residual="add":       LIF(BN(fc2(LIF(BN(fc1(x))))))      x spikes or integers; output spikes
        residual="membrane":  BN(fc2(LIF(BN(fc1(LIF(x))))))      x potentials; output potentials

    The residual sum itself is the block's. Source: Spikformer (Zhou et al., 2023); with "membrane", Spikingformer.

    Args:
        mlp_ratio: hidden channels over input channels; `int(channels * mlp_ratio)` are used.
        hidden_dim: hidden channels, in place of the ratio.
        use_bias: whether both products have a bias.
        residual, neuron, tau, v_threshold, v_reset, decay_input, detach_reset, surrogate, spike_regularizer: as
            `SpikformerBlock`; kinds here are fc1 and fc2, and input with the membrane shortcut.

    Input and output shape: `(batch, time, tokens, channels)`.
    """

    def __init__(
        self, mlp_ratio: float = 4.0, *, hidden_dim: int | None = None, use_bias: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if not mlp_ratio > 0:
            raise ValueError(f"mlp_ratio must be above 0, got {mlp_ratio!r}.")
        if hidden_dim is not None and (not isinstance(hidden_dim, int) or hidden_dim < 1):
            raise ValueError(f"hidden_dim must be a whole number of at least 1, got {hidden_dim!r}.")
        self.mlp_ratio = mlp_ratio
        self.hidden_dim = hidden_dim
        self.use_bias = bool(use_bias)
        membrane = self.residual == "membrane"
        self.input_neuron = self.make_neuron("input", "input_neuron") if membrane else None
        self.fc1_norm = BatchNorm(dtype=self.dtype_policy, name="fc1_norm")
        self.fc1_neuron = self.make_neuron("fc1", "fc1_neuron")
        self.fc2_norm = BatchNorm(dtype=self.dtype_policy, name="fc2_norm")
        self.fc2_neuron = None if membrane else self.make_neuron("fc2", "fc2_neuron")

    def build(self, input_shape: tuple) -> None:
        channels = input_shape[-1]
        if channels is None:
            raise ValueError(
                f"SpikingMLP expects (..., channels), got {tuple(input_shape)}: the channels must be known."
            )
        hidden = self.hidden_dim or int(channels * self.mlp_ratio)
        if hidden < 1:
            raise ValueError(f"mlp_ratio {self.mlp_ratio} leaves no hidden channel of {channels}.")
        common = {"use_bias": self.use_bias, "dtype": self.dtype_policy}
        self.fc1 = Dense(hidden, kernel_initializer=linear_initializer(), name="fc1", **common)
        self.fc2 = Dense(channels, kernel_initializer=linear_initializer(), name="fc2", **common)
        between = (*input_shape[:-1], hidden)
        for layer, shape in (
            (self.input_neuron, input_shape),
            (self.fc1, input_shape),
            (self.fc1_norm, between),
            (self.fc1_neuron, between),
            (self.fc2, between),
            (self.fc2_norm, input_shape),
            (self.fc2_neuron, input_shape),
        ):
            if layer is not None:
                layer.build(shape)
        self.settle()

    def call(self, inputs: Tokens, training: bool | None = None) -> Tokens:
        x = inputs if self.input_neuron is None else self.input_neuron(inputs)
        x = self.fc1_norm.then_fire(self.fc1_neuron, self.fc1(x), training)
        return self.fc2_norm.then_fire(self.fc2_neuron, self.fc2(x), training)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "mlp_ratio": self.mlp_ratio,
            "hidden_dim": self.hidden_dim,
            "use_bias": self.use_bias,
        }
