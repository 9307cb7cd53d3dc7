"""An MLP of equal widths, with a shortcut around each of its products."""

from __future__ import annotations

import dataclasses
from typing import Any

from kspike.components.base import MLP
from kspike.components.parts import Dense, Neuron, Norm, Sum
from kspike.components.registry import register


@register("mlp", "two_shortcuts")
@dataclasses.dataclass(frozen=True, kw_only=True)
class TwoShortcuts(MLP):
    """Two products as wide as the tokens, each added to what it was given.

        u = x + BN(fc1(LIF(x)))
        y = u + BN(fc2(LIF(u)))

    Source: what the code of the Spike-driven Transformer (2023) and of Max-Former (2025) does where the ratio is 1, as
    in Max-Former's event networks. `mlp_bias` left at None is the network's.
    """

    mlp_bias: bool | None = None
    residuals = ("membrane",)
    shortcut = False

    def parts(self, *, mlp_bias: bool) -> dict[str, Any]:
        return {
            "input_neuron": Neuron("input", "width"),
            "fc1": Dense("width", "width", bias=mlp_bias),
            "fc1_norm": Norm("width"),
            "fc1_sum": Sum("width"),
            "fc1_neuron": Neuron("fc1", "width"),
            "fc2": Dense("width", "width", bias=mlp_bias),
            "fc2_norm": Norm("width"),
            "fc2_sum": Sum("width"),
        }

    def forward(self, part: Any, x: Any, sizes: Any) -> Any:
        u = x + part.fc1_norm(part.fc1(part.input_neuron(x)))
        return u + part.fc2_norm(part.fc2(part.fc1_neuron(u)))
