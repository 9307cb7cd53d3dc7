"""QKFormer's downsampling."""

from __future__ import annotations

import dataclasses
from typing import Any

from kspike.components.base import Downsample
from kspike.components.flags import check_flags
from kspike.components.parts import Conv, Neuron, Norm, Pool, Sum
from kspike.components.registry import register


@register("downsample", "peds")
@dataclasses.dataclass(frozen=True, kw_only=True)
class PEDS(Downsample):
    """Two 3x3 convolutions with a pool before the last neuron, and a strided shortcut whose spikes are added.

        a = LIF(BN(conv(x)))
        y = LIF(pool(BN(conv(a)))) + LIF(BN(conv1x1(x)))         half the side; the 1x1 of stride 2

    pool_first=True, a quarter of the second convolution's work:

        a = LIF(pool(BN(conv(x))))
        y = LIF(BN(conv(a))) + LIF(BN(conv1x1(x)))

    Source: QKFormer (Zhou et al., 2024), its second and third patch embedding; pool_first is SpikingJelly 2.0's
    QKFormer. x is what residual "add" leaves: whole numbers, sums of spikes. Departure: none.

    Args:
        pool_first: whether the pool stands behind the first convolution.
    """

    pool_first: bool = False

    def __post_init__(self) -> None:
        check_flags(self, "pool_first")

    def parts(self) -> dict[str, Any]:
        pool = {"pool": Pool("width")}
        return {
            "conv_0": Conv("before", "width"),
            "norm_0": Norm("width"),
            **(pool if self.pool_first else {}),
            "neuron_0": Neuron("stem", "width"),
            "conv_1": Conv("width", "width"),
            "norm_1": Norm("width"),
            **({} if self.pool_first else pool),
            "neuron_1": Neuron("stem", "width"),
            "res_conv": Conv("before", "width", 1, 2, of=""),
            "res_norm": Norm("width"),
            "res_neuron": Neuron("stem", "width"),
            "res_sum": Sum("width"),
        }

    def forward(self, part: Any, x: Any, sizes: Any) -> Any:
        if self.pool_first:
            a = part.neuron_0(part.pool(part.norm_0(part.conv_0(x))))
            y = part.neuron_1(part.conv_1(a), norm=part.norm_1)
        else:
            a = part.neuron_0(part.conv_0(x), norm=part.norm_0)
            y = part.neuron_1(part.pool(part.norm_1(part.conv_1(a))))
        return sizes.to_tokens(y + part.res_neuron(part.res_conv(x), norm=part.res_norm))
