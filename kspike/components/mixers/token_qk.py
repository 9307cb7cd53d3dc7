"""Token QK attention."""

from __future__ import annotations

import dataclasses
from typing import Any

from kspike.components.base import Mixer
from kspike.components.parts import Dense, Neuron, Norm, Sum
from kspike.components.registry import register


@register("mixer", "token_qk")
@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenQK(Mixer):
    """Lets a token's keys pass where its queries fire: no product of tokens with tokens.

        q, k = LIF(BN(x W))
        a = LIF_0.5(sum of q over each head's channels)          a number a head and token
        output = LIF(BN(proj(a * k)))

    Where 1 / tau >= v_threshold, with decay_input, a hard reset to 0 and binary q, as with tau 2 and 0.5, a is an OR
    and has no memory: h = v + (sum - v) / tau of v = 0 is at least 1 / tau where any channel fires, and resets; it is 0
    where none does. So v stays 0. Its gradient does remember: where a does not fire, h passes on to the next step. An
    OR in its place gains nothing: the neuron is a number a head and token, half a percent of the mixer
    (docs/performance.md).

    With residual="membrane" a neuron stands before W and none behind the last normalisation (MS-QKFormer). Source:
    QKFormer (Zhou et al., 2024, eq. 3-4 and its code), whose W has no bias: qkv_bias=False. Departure: the last neuron
    fires over time, an image at a time; in the published code of the stage with SSA its state runs on from image to
    image of a batch.
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
            **self.gate_parts(),
            "proj": Dense("width", "width", bias=proj_bias),
            "proj_norm": Norm("width"),
            **({} if membrane else {"proj_neuron": Neuron("proj", "width")}),
        }

    def gate_parts(self) -> dict[str, Any]:
        """What makes a of q."""
        return {"head_sum": Sum("width"), "attention_neuron": Neuron("attention", "heads")}

    def gate(self, part: Any, q: Any, sizes: Any) -> Any:
        """a, spread over the channels."""
        return sizes.to_channels(part.attention_neuron(sizes.sum_heads(q)))

    def forward(self, part: Any, x: Any, sizes: Any, *, residual: str) -> Any:
        membrane = residual == "membrane"
        x = part.input_neuron(x) if membrane else x
        q, k = sizes.split(part.qk_neuron(part.qk(x), norm=part.qk_norm), 2)
        y = part.proj(self.gate(part, q, sizes) * k)
        return part.proj_norm(y) if membrane else part.proj_neuron(y, norm=part.proj_norm)
