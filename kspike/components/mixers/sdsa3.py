"""Spike-driven self-attention, third form, whose projections are RepConvs."""

from __future__ import annotations

import dataclasses
from typing import Any

from kspike.components import repconv
from kspike.components.base import Mixer
from kspike.components.parts import MatMul, Neuron, Norm
from kspike.components.registry import register


@register("mixer", "sdsa3")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SDSA3(Mixer):
    """Attention between spikes, as `ssa`, whose projections see the tokens around each token.

        s = LIF(x)
        q, k, v = LIF(BN(RepConv(s)))
        y = LIF_0.5(scale * q k^T v)          a head at a time
        output = BN(RepConv(y))

    `kspike.components.repconv` says what a RepConv is. It has no bias. Source: Spike-driven Transformer V2 (Yao et al.,
    2024, SDSA-3 and its code). `scale` left at None is the network's.
    """

    scale: float | None = None
    residuals = ("membrane",)

    def parts(self) -> dict[str, Any]:
        found: dict[str, Any] = {"input_neuron": Neuron("input", "width")}
        for name in "qkv":
            found |= {**repconv.parts(name), f"{name}_norm": Norm("width"), f"{name}_neuron": Neuron("qkv", "width")}
        return {
            **found,
            "qk": MatMul("qk"),
            "av": MatMul("av", scaled=True),
            "attention_neuron": Neuron("attention", "width"),
            **repconv.parts("proj"),
            "proj_norm": Norm("width"),
        }

    def forward(self, part: Any, x: Any, sizes: Any, *, scale: float) -> Any:
        s = part.input_neuron(x)
        q, k, v = (
            part[f"{name}_neuron"](repconv.forward(part, name, s, sizes), norm=part[f"{name}_norm"]) for name in "qkv"
        )
        y = part.attention_neuron(sizes.attend(q, k, v, scale))
        return part.proj_norm(repconv.forward(part, "proj", y, sizes))
