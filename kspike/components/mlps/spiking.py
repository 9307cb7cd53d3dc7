"""The MLP of a spiking transformer block."""

from __future__ import annotations

import dataclasses
from typing import Any

from kspike.components.base import MLP
from kspike.components.parts import Dense, Neuron, Norm
from kspike.components.registry import register


@register("mlp", "spiking")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Spiking(MLP):
    """Widens and narrows the channels of every token.

        residual="add":       LIF(BN(fc2(LIF(BN(fc1(x))))))
        residual="membrane":  BN(fc2(LIF(BN(fc1(LIF(x))))))

    Source: Spikformer (Zhou et al., 2023); with "membrane", Spikingformer. `mlp_bias` left at None is the network's.
    """

    mlp_bias: bool | None = None
    residuals = ("add", "membrane")

    def parts(self, *, residual: str, mlp_bias: bool) -> dict[str, Any]:
        membrane = residual == "membrane"
        return {
            **({"input_neuron": Neuron("input", "width")} if membrane else {}),
            "fc1": Dense("width", "hidden", bias=mlp_bias),
            "fc1_norm": Norm("hidden"),
            "fc1_neuron": Neuron("fc1", "hidden"),
            "fc2": Dense("hidden", "width", bias=mlp_bias),
            "fc2_norm": Norm("width"),
            **({} if membrane else {"fc2_neuron": Neuron("fc2", "width")}),
        }

    def forward(self, part: Any, x: Any, sizes: Any, *, residual: str) -> Any:
        membrane = residual == "membrane"
        x = part.input_neuron(x) if membrane else x
        x = part.fc2(part.fc1_neuron(part.fc1(x), norm=part.fc1_norm))
        return part.fc2_norm(x) if membrane else part.fc2_neuron(x, norm=part.fc2_norm)
