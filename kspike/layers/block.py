"""One block of a spiking transformer."""

from __future__ import annotations

from typing import Any

import keras

from kspike import components
from kspike._types import Tokens
from kspike.layers._parts import SpikingComposite
from kspike.layers.component import Component
from kspike.layers.mlp import SpikingMLP
from kspike.layers.ssa import SSA


@keras.saving.register_keras_serializable(package="kspike")
class SpikformerBlock(SpikingComposite):
    """Adds spiking self-attention, then a spiking MLP, to a stream of tokens.

        x = x + SSA(x)
        x = x + MLP(x)

    With `residual="add"` (Spikformer) neurons stand last and the stream holds integers; with "membrane" (the
    pre-activation shortcut of Spikingformer and AutoST) they stand first and the stream holds potentials.

    Source: Spikformer (Zhou et al., 2023, eq. 4-6). Departure: the two LayerNorms that the official block builds and
    never calls are not there.

    Args:
        num_heads: attention heads; divides the channels.
        mlp_ratio: hidden channels of the MLP over channels.
        scale: factor of the attention product.
        qkv_bias, proj_bias, mlp_bias: whether those products have a bias.
        local, mixer, mlp: what stands in it, in this order: names or objects of `kspike.components`; `local` is a
            second mixer before the first, "identity" for none.
        grid: (height, width) of the tokens, for mixers that work on it; None for a square.
        residual: "add" or "membrane".
        neuron: "lif", "plif" (tau is learned, from the given start), or another of `kspike.components`.
        tau: time constant in time steps: a number, or a mapping from neuron kind (input, qkv, attention, proj, fc1,
            fc2; those left out keep 2).
        v_threshold: firing threshold: a number for all but attention's, or a mapping (those left out keep 1, and 0.5
            for attention).
        v_reset, decay_input, detach_reset, surrogate: as `LIF`.
        spike_regularizer: activity regulariser of every neuron in here, as `kspike.regularizers.FiringRate`.

    Input and output shape: `(batch, time, tokens, channels)`.
    """

    def __init__(
        self,
        num_heads: int = 8,
        mlp_ratio: float = 4.0,
        *,
        scale: float = 0.125,
        qkv_bias: bool = True,
        proj_bias: bool = True,
        mlp_bias: bool = True,
        local: Any = "identity",
        mixer: Any = "ssa",
        mlp: Any = "spiking",
        grid: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.mlp_ratio = mlp_ratio
        self.scale = scale
        self.qkv_bias = bool(qkv_bias)
        self.proj_bias = bool(proj_bias)
        self.mlp_bias = bool(mlp_bias)
        self.grid = None if grid is None else tuple(grid)
        given = {"local": local, "mixer": mixer, "mlp": mlp}
        made = {field: components.get(role, given[field]) for field, role in components.BRANCHES.items()}
        # past Keras, which would track and wrap a dict
        self.__dict__["words"] = {field: each.word for field, each in made.items()}
        self.shortcuts = tuple(each.shortcut for each in made.values())
        shared = {**self.shared_arguments, "tau": self._tau_of, "v_threshold": self._threshold_of}
        biases = {"qkv_bias": qkv_bias, "proj_bias": proj_bias}
        self.local = None if local == "identity" else self._any("local", shared)
        if self.words["mixer"] == "ssa":
            self.attention = SSA(num_heads, scale=scale, name="attention", **biases, **shared)
        else:
            self.attention = self._any("mixer", shared)
        if self.words["mlp"] == "spiking":
            self.mlp = SpikingMLP(mlp_ratio, use_bias=mlp_bias, name="mlp", **shared)
        else:
            self.mlp = self._any("mlp", shared)

    def _any(self, field: str, shared: dict[str, Any]) -> Component:
        return Component(
            self.words[field], role=components.BRANCHES[field], name=components.PATHS[field],
            num_heads=self.num_heads, grid=self.grid, mlp_ratio=self.mlp_ratio, scale=self.scale,
            qkv_bias=self.qkv_bias, proj_bias=self.proj_bias, mlp_bias=self.mlp_bias, **shared,
        )  # fmt: skip

    def build(self, input_shape: tuple) -> None:
        for branch in self.branches:
            if branch is not None:
                branch.build(input_shape)
        self.settle()

    @property
    def branches(self) -> tuple[Any, ...]:
        """The layers in running order; None where there is none."""
        return tuple(getattr(self, path) for path in components.PATHS.values())

    def call(self, inputs: Tokens, training: bool | None = None) -> Tokens:
        x = inputs
        for layer, shortcut in zip(self.branches, self.shortcuts, strict=True):
            if layer is None:
                continue
            y = layer(x, training=training)
            x = x + y if shortcut else y
        return x

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "mlp_ratio": self.mlp_ratio,
            "scale": self.scale,
            "qkv_bias": self.qkv_bias,
            "proj_bias": self.proj_bias,
            "mlp_bias": self.mlp_bias,
            **{field: components.describe(word) for field, word in self.words.items()},
            "grid": self.grid,
        }
