"""Max-Former's downsampling."""

from __future__ import annotations

import dataclasses
from typing import Any

from kspike.components.base import Downsample
from kspike.components.parts import Conv, Neuron, Norm, Pool, Sum
from kspike.components.registry import register


@register("downsample", "embed_max")
@dataclasses.dataclass(frozen=True, kw_only=True)
class EmbedMax(Downsample):
    """Two 3x3 convolutions with a pool between, and a pooled shortcut; potentials are pooled and added.

        s = LIF(x)
        a = pool(BN(conv(s)))
        y = BN(conv(LIF(a))) + pool(BN(conv1x1(s)))         half the side

    Source: the code of Max-Former (2025), Embed_Max. Departure: the neuron of the shortcut, which its code builds and
    never runs, is not there.
    """

    residuals = ("membrane",)

    def parts(self) -> dict[str, Any]:
        return {
            "neuron_0": Neuron("stem", "before"),
            "conv_0": Conv("before", "width"),
            "norm_0": Norm("width"),
            "pool_0": Pool("width"),
            "neuron_1": Neuron("stem", "width"),
            "conv_1": Conv("width", "width"),
            "norm_1": Norm("width"),
            "res_conv": Conv("before", "width", 1, of="neuron_0"),
            "res_norm": Norm("width"),
            "res_pool": Pool("width"),
            "res_sum": Sum("width"),
        }

    def forward(self, part: Any, x: Any, sizes: Any) -> Any:
        s = part.neuron_0(x)
        a = part.pool_0(part.norm_0(part.conv_0(s)))
        y = part.norm_1(part.conv_1(part.neuron_1(a)))
        return sizes.to_tokens(y + part.res_pool(part.res_norm(part.res_conv(s))))
