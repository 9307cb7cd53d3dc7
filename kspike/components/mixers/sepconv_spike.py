"""Separable convolution of Spike-driven Transformer V3 as a mixer."""

from __future__ import annotations

import dataclasses
from typing import Any

from kspike.components.mixers.sepconv import SepConv
from kspike.components.parts import Neuron, Norm
from kspike.components.registry import register


@register("mixer", "sepconv_spike")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SepConvSpike(SepConv):
    """As `sepconv`, with a normalisation and a neuron between dw and pw2, so that every product takes spikes.

        output = BN(pw2(s(BN(dw(s(BN(pw1(s(x)))))))))          s: the network's neuron; V3's is an integer neuron

    No product has a bias. Source: Spike-driven Transformer V3 (Yao et al., 2025): kernel 7 in its convolution blocks, 3
    in its attention blocks.

    Args:
        kernel: side of dw, odd.
        expansion: channels between the products over the width: 1, 2, 4 or 8.
    """

    def between_parts(self, wide: str) -> dict[str, Any]:
        return {"dw_norm": Norm(wide), "dw_neuron": Neuron("qkv", wide)}

    def between(self, part: Any, y: Any) -> Any:
        return part.dw_neuron(y, norm=part.dw_norm)
