"""Spike-driven self-attention, first form."""

from __future__ import annotations

import dataclasses
from typing import Any

from kspike.components.base import Mixer
from kspike.components.parts import Dense, Neuron, Norm, Sum
from kspike.components.registry import register


@register("mixer", "sdsa1")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SDSA1(Mixer):
    """Lets a channel's queries pass in the time steps in which its keys and values meet: masks and additions alone.

        s = LIF(x)
        q, k, v = LIF(BN(s W))
        a = LIF_0.5(sum of k * v over all tokens)          a number a channel
        output = BN(proj(q * a))

    Source: Spike-driven Transformer (Yao et al., 2023, eq. 9), whose W has no bias: qkv_bias=False. Its still-image
    form; the pools of its CIFAR10-DVS form are not there. What its code builds and never runs is not there either.
    """

    qkv_bias: bool | None = None
    proj_bias: bool | None = None
    residuals = ("membrane",)

    def parts(self, *, qkv_bias: bool, proj_bias: bool) -> dict[str, Any]:
        return {
            "input_neuron": Neuron("input", "width"),
            "qkv": Dense("width", "width", 3, qkv_bias),
            "qkv_norm": Norm("width", 3),
            "qkv_neuron": Neuron("qkv", "width", 3),
            "token_sum": Sum("width"),
            "attention_neuron": Neuron("attention", "width", tokens=1),
            "proj": Dense("width", "width", bias=proj_bias),
            "proj_norm": Norm("width"),
        }

    def forward(self, part: Any, x: Any, sizes: Any) -> Any:
        s = part.input_neuron(x)
        q, k, v = sizes.split(part.qkv_neuron(part.qkv(s), norm=part.qkv_norm), 3)
        return part.proj_norm(part.proj(q * part.attention_neuron(sizes.sum(k * v, "tokens"))))
