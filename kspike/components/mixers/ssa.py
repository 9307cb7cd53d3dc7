"""Spiking self-attention."""

from __future__ import annotations

import dataclasses
from typing import Any

from kspike.components.base import Mixer
from kspike.components.parts import Dense, MatMul, Neuron, Norm
from kspike.components.registry import register


@register("mixer", "ssa")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SSA(Mixer):
    """Attention between spikes, without softmax; `kspike.layers.SSA` says how it is computed.

        q, k, v = LIF(BN(x W + b))
        y = LIF_0.5(scale * q k^T v)          a head at a time
        output = LIF(BN(proj(y)))             without that last neuron with residual="membrane",
                                              where instead a neuron stands before W

    Source: Spikformer (Zhou et al., 2023, eq. 7-9). Settings left at None are the network's.
    """

    scale: float | None = None
    qkv_bias: bool | None = None
    proj_bias: bool | None = None
    residuals = ("add", "membrane")

    def parts(self, *, residual: str, qkv_bias: bool, proj_bias: bool) -> dict[str, Any]:
        membrane = residual == "membrane"
        return {
            **({"input_neuron": Neuron("input", "width")} if membrane else {}),
            "qkv": Dense("width", "width", 3, qkv_bias),
            "qkv_norm": Norm("width", 3),
            "qkv_neuron": Neuron("qkv", "width", 3),
            "qk": MatMul("qk"),
            "av": MatMul("av", scaled=True),
            "attention_neuron": Neuron("attention", "width"),
            "proj": Dense("width", "width", bias=proj_bias),
            "proj_norm": Norm("width"),
            **({} if membrane else {"proj_neuron": Neuron("proj", "width")}),
        }

    def forward(self, part: Any, x: Any, sizes: Any, *, residual: str, scale: float) -> Any:
        membrane = residual == "membrane"
        x = part.input_neuron(x) if membrane else x
        q, k, v = sizes.split(part.qkv_neuron(part.qkv(x), norm=part.qkv_norm), 3)
        y = part.proj(part.attention_neuron(sizes.attend(q, k, v, scale)))
        return part.proj_norm(y) if membrane else part.proj_neuron(y, norm=part.proj_norm)
