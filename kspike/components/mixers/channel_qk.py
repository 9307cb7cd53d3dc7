"""Channel QK attention."""

from __future__ import annotations

import dataclasses
from typing import Any

from kspike.components.mixers.token_qk import TokenQK
from kspike.components.parts import Neuron, Sum
from kspike.components.registry import register


@register("mixer", "channel_qk")
@dataclasses.dataclass(frozen=True, kw_only=True)
class ChannelQK(TokenQK):
    """Lets a channel's keys pass in the time steps in which its queries fire in any token.

        q, k = LIF(BN(x W))
        a = LIF_0.5(sum of q over all tokens)          a number a channel
        output = LIF(BN(proj(a * k)))

    Settings and the form for residual="membrane" are `token_qk`'s. Source: QKFormer (Zhou et al., 2024, eq. 5); no
    published code has it. It saturates where there are many tokens.
    """

    def gate_parts(self) -> dict[str, Any]:
        return {"token_sum": Sum("width"), "attention_neuron": Neuron("attention", "width", tokens=1)}

    def gate(self, part: Any, q: Any, sizes: Any) -> Any:
        return part.attention_neuron(sizes.sum(q, "tokens"))
