"""The downsampling of MS-QKFormer."""

from __future__ import annotations

import dataclasses
from typing import Any

from kspike.components.base import Downsample
from kspike.components.parts import Conv, Neuron, Norm, Pool, Sum
from kspike.components.registry import register


@register("downsample", "embed_1max")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Embed1Max(Downsample):
    """Two 3x3 convolutions with a pool behind them, and a strided shortcut; potentials are added.

        s = LIF(x)
        y = pool(BN(conv(LIF(BN(conv(s)))))) + BN(conv1x1(s))         half the side; the 1x1 of stride 2

    Source: the code of Max-Former (2025), Embed_1Max, which its MS-QKFormer has. Departure: none.
    """

    residuals = ("membrane",)

    def parts(self) -> dict[str, Any]:
        return {
            "neuron_0": Neuron("stem", "before"),
            "conv_0": Conv("before", "width"),
            "norm_0": Norm("width"),
            "neuron_1": Neuron("stem", "width"),
            "conv_1": Conv("width", "width"),
            "norm_1": Norm("width"),
            "pool": Pool("width"),
            "res_conv": Conv("before", "width", 1, 2, of="neuron_0"),
            "res_norm": Norm("width"),
            "res_sum": Sum("width"),
        }

    def forward(self, part: Any, x: Any, sizes: Any) -> Any:
        s = part.neuron_0(x)
        y = part.neuron_1(part.conv_0(s), norm=part.norm_0)
        y = part.pool(part.norm_1(part.conv_1(y)))
        return sizes.to_tokens(y + part.res_norm(part.res_conv(s)))
