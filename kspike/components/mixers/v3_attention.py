"""Attention of Spike-driven Transformer V3."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from kspike.components.base import Mixer
from kspike.components.parts import Dense, MatMul, Neuron, Norm, times
from kspike.components.registry import register


@register("mixer", "v3_attention")
@dataclasses.dataclass(frozen=True, kw_only=True)
class V3Attention(Mixer):
    """Attention whose values are wider than its queries and keys.

        s = n(x)                                        n: the network's neuron; V3's is an integer neuron
        q, k = n(BN(s W)), v = n(BN(s W))               v has `expansion` times the channels
        y = n(2 / sqrt(width / heads) * q k^T v)        a head at a time
        output = BN(proj(y))                            back to the width

    No product has a bias. Source: Spike-driven Transformer V3 (Yao et al., 2025) and its code. The network's `scale` is
    not read.

    Args:
        expansion: channels of v over the width: 1, 2 or 4 (V3's).
    """

    expansion: int = 4
    residuals = ("membrane",)

    def __post_init__(self) -> None:
        if isinstance(self.expansion, bool) or self.expansion not in (1, 2, 4):
            raise ValueError(f"expansion of the mixer 'v3_attention' must be 1, 2 or 4, got {self.expansion!r}.")

    def parts(self) -> dict[str, Any]:
        wide = times("width", self.expansion)
        return {
            "input_neuron": Neuron("input", "width"),
            "query_key": Dense("width", "width", 2, bias=False),
            "query_key_norm": Norm("width", 2),
            "query_key_neuron": Neuron("qkv", "width", 2),
            "value": Dense("width", wide, bias=False),
            "value_norm": Norm(wide),
            "value_neuron": Neuron("qkv", wide),
            "qk": MatMul("qk", values=wide),
            "av": MatMul("av", scaled=True, values=wide),
            "attention_neuron": Neuron("attention", wide),
            "proj": Dense(wide, "width", bias=False),
            "proj_norm": Norm("width"),
        }

    def forward(self, part: Any, x: Any, sizes: Any) -> Any:
        s = part.input_neuron(x)
        q, k = sizes.split(part.query_key_neuron(part.query_key(s), norm=part.query_key_norm), 2)
        v = part.value_neuron(part.value(s), norm=part.value_norm)
        scale = sizes.of_head(lambda channels: 2.0 / math.sqrt(channels))
        return part.proj_norm(part.proj(part.attention_neuron(sizes.attend(q, k, v, scale))))
