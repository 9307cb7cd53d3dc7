"""Channel QK attention."""

from __future__ import annotations

import dataclasses
from typing import Any

from kspike.components.base import Mixer
from kspike.components.parts import Dense, Neuron, Norm, Sum
from kspike.components.registry import register


@register("mixer", "channel_qk")
@dataclasses.dataclass(frozen=True, kw_only=True)
class ChannelQK(Mixer):
    """Lets a channel's keys pass in the time steps in which its queries fire in any token.

        q, k = LIF(BN(x W))
        a = LIF_0.5(sum of q over all tokens)          a number a channel
        output = LIF(BN(proj(a * k)))

    With residual="membrane" a neuron stands before W and none behind the last normalisation. Source: QKFormer (Zhou et
    al., 2024, eq. 5); no published code has it. It saturates where there are many tokens.
    """

    qkv_bias: bool | None = None
    proj_bias: bool | None = None
    residuals = ("add", "membrane")

    def parts(self, *, residual: str, qkv_bias: bool, proj_bias: bool) -> dict[str, Any]:
        membrane = residual == "membrane"
        return {
            **({"input_neuron": Neuron("input", "width")} if membrane else {}),
            "qk": Dense("width", "width", 2, qkv_bias),
            "qk_norm": Norm("width", 2),
            "qk_neuron": Neuron("qkv", "width", 2),
            "token_sum": Sum("width"),
            "attention_neuron": Neuron("attention", "width", tokens=1),
            "proj": Dense("width", "width", bias=proj_bias),
            "proj_norm": Norm("width"),
            **({} if membrane else {"proj_neuron": Neuron("proj", "width")}),
        }

    def forward(self, part: Any, x: Any, sizes: Any, *, residual: str) -> Any:
        membrane = residual == "membrane"
        x = part.input_neuron(x) if membrane else x
        q, k = sizes.split(part.qk_neuron(part.qk(x), norm=part.qk_norm), 2)
        y = part.proj(part.attention_neuron(sizes.sum(q, "tokens")) * k)
        return part.proj_norm(y) if membrane else part.proj_neuron(y, norm=part.proj_norm)
