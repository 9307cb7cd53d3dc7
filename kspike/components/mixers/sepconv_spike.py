"""Separable convolution of Spike-driven Transformer V3 as a mixer."""

from __future__ import annotations

import dataclasses
from typing import Any

from kspike.components.base import Mixer
from kspike.components.mixers.sepconv import check_settings
from kspike.components.parts import Dense, DepthwiseConv, Neuron, Norm, times
from kspike.components.registry import register


@register("mixer", "sepconv_spike")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SepConvSpike(Mixer):
    """As `sepconv`, with a normalisation and a neuron between dw and pw2, so that every product takes spikes.

        output = BN(pw2(s(BN(dw(s(BN(pw1(s(x)))))))))          s: the network's neuron; V3's is an integer neuron

    No product has a bias. Source: Spike-driven Transformer V3 (Yao et al., 2025): kernel 7 in its convolution blocks, 3
    in its attention blocks.

    Args:
        kernel: side of dw, odd.
        expansion: channels between the products over the width: 1, 2, 4 or 8.
    """

    kernel: int = 7
    expansion: int = 2
    residuals = ("membrane",)

    def __post_init__(self) -> None:
        check_settings(self)

    def parts(self) -> dict[str, Any]:
        wide = times("width", self.expansion)
        return {
            "input_neuron": Neuron("input", "width"),
            "pw1": Dense("width", wide, bias=False),
            "pw1_norm": Norm(wide),
            "pw1_neuron": Neuron("qkv", wide),
            "dw": DepthwiseConv(wide, self.kernel),
            "dw_norm": Norm(wide),
            "dw_neuron": Neuron("qkv", wide),
            "pw2": Dense(wide, "width", bias=False),
            "pw2_norm": Norm("width"),
        }

    def forward(self, part: Any, x: Any, sizes: Any) -> Any:
        y = part.pw1_neuron(part.pw1(part.input_neuron(x)), norm=part.pw1_norm)
        y = sizes.to_tokens(part.dw(sizes.to_grid(y)))
        return part.pw2_norm(part.pw2(part.dw_neuron(y, norm=part.dw_norm)))
