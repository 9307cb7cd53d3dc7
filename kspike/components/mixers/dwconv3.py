"""Depth-wise 3x3 convolution as a mixer."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from kspike.components.base import Mixer
from kspike.components.parts import DepthwiseConv, Neuron, Norm
from kspike.components.registry import register


@register("mixer", "dwconv3")
@dataclasses.dataclass(frozen=True, kw_only=True)
class DepthwiseConv3(Mixer):
    """Mixes each channel over neighbouring tokens by a 3x3 convolution of its own.

        residual="membrane":  BN(conv(LIF(x)))         Max-Former's
        residual="add":       LIF(BN(conv(x)))         the same in Spikformer's order

    Source: Max-Former (2025), second stage. `bias`: whether the convolution has one, as there.
    """

    bias: bool = True
    residuals = ("add", "membrane")
    #: Side of the convolution.
    side: ClassVar[int] = 3

    def parts(self, *, residual: str) -> dict[str, Any]:
        conv = {"conv": DepthwiseConv("width", kernel=self.side, bias=self.bias), "conv_norm": Norm("width")}
        if residual == "membrane":
            return {"input_neuron": Neuron("input", "width"), **conv}
        return {**conv, "conv_neuron": Neuron("proj", "width")}

    def forward(self, part: Any, x: Any, sizes: Any, *, residual: str) -> Any:
        membrane = residual == "membrane"
        x = part.input_neuron(x) if membrane else x
        y = sizes.to_tokens(part.conv(sizes.to_grid(x)))
        return part.conv_norm(y) if membrane else part.conv_neuron(y, norm=part.conv_norm)
