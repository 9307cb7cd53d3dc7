"""An MLP of dense 3x3 convolutions."""

from __future__ import annotations

import dataclasses
from typing import Any

from kspike.components.base import MLP
from kspike.components.parts import Conv, Neuron, Norm
from kspike.components.registry import register


@register("mlp", "conv")
@dataclasses.dataclass(frozen=True, kw_only=True)
class ConvMLP(MLP):
    """Widens and narrows the channels by 3x3 convolutions over neighbouring tokens.

        output = BN(conv2(LIF(BN(conv1(LIF(x))))))

    No convolution has a bias. Source: the convolution blocks of Spike-driven Transformer V2 and V3 (Yao et al., 2024,
    2025), where mlp_ratio is 4.
    """

    residuals = ("membrane",)

    def parts(self) -> dict[str, Any]:
        return {
            "input_neuron": Neuron("input", "width"),
            "conv1": Conv("width", "hidden"),
            "conv1_norm": Norm("hidden"),
            "conv1_neuron": Neuron("fc1", "hidden"),
            "conv2": Conv("hidden", "width"),
            "conv2_norm": Norm("width"),
        }

    def forward(self, part: Any, x: Any, sizes: Any) -> Any:
        y = sizes.to_tokens(part.conv1(sizes.to_grid(part.input_neuron(x))))
        y = part.conv1_neuron(y, norm=part.conv1_norm)
        return part.conv2_norm(sizes.to_tokens(part.conv2(sizes.to_grid(y))))
