"""The MLP of a spiking transformer block."""

from __future__ import annotations

from typing import Any

import keras

from kspike._types import Tokens
from kspike.components.mlps import spiking
from kspike.layers.component import ComponentLayer, Sizes


@keras.saving.register_keras_serializable(package="kspike")
class SpikingMLP(ComponentLayer):
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
        self,
        mlp_ratio: float = 4.0,
        *,
        hidden_dim: int | None = None,
        use_bias: bool = True,
        **kwargs: Any,
    ) -> None:
        if not mlp_ratio > 0:
            raise ValueError(f"mlp_ratio must be above 0, got {mlp_ratio!r}.")
        if hidden_dim is not None and (not isinstance(hidden_dim, int) or hidden_dim < 1):
            raise ValueError(f"hidden_dim must be a whole number of at least 1, got {hidden_dim!r}.")
        super().__init__(**kwargs)
        self.mlp_ratio = mlp_ratio
        self.hidden_dim = hidden_dim
        self.use_bias = bool(use_bias)
        self.hold(spiking.Spiking(), {"mlp_bias": self.use_bias, "residual": self.residual})
        for name in ("input_neuron", "fc2_neuron"):
            if name not in self.declared:
                setattr(self, name, None)
        for name, layer in self.made(products=False).items():
            setattr(self, name, layer)

    def sizes(self, input_shape: tuple) -> dict[str, int]:
        channels = input_shape[-1]
        return {"width": channels, "hidden": self.hidden_dim or int(channels * self.mlp_ratio)}

    def build(self, input_shape: tuple) -> None:
        channels = input_shape[-1]
        if channels is None:
            raise ValueError(
                f"SpikingMLP expects (..., channels), got {tuple(input_shape)}: the channels must be known."
            )
        size = self.sizes(input_shape)
        if size["hidden"] < 1:
            raise ValueError(f"mlp_ratio {self.mlp_ratio} leaves no hidden channel of {channels}.")
        for name, layer in self.made(products=True, size=size).items():
            setattr(self, name, layer)
        self.build_parts(input_shape, None)

    def call(self, inputs: Tokens, training: bool | None = None) -> Tokens:
        return self.run(inputs, Sizes(self, self.sizes(inputs.shape), None), training)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "mlp_ratio": self.mlp_ratio,
            "hidden_dim": self.hidden_dim,
            "use_bias": self.use_bias,
        }
