"""Spike-driven self-attention, first form."""

from __future__ import annotations

import dataclasses
from typing import Any

from kspike.components.base import Mixer
from kspike.components.flags import check_flags
from kspike.components.parts import Dense, Neuron, Norm, Part, Pool, Sum
from kspike.components.registry import register


@register("mixer", "sdsa1")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SDSA1(Mixer):
    """Lets a channel's queries pass in the time steps in which its keys and values meet: masks and additions alone.

        s = LIF(x)
        q, k, v = LIF(BN(s W))
        a = LIF_0.5(sum of k * v over all tokens)          a number a channel
        output = BN(proj(q * a))

    events=True, with 3x3 max-pools of stride 1:

        k, v = pool over height and width of k, v
        a = LIF_0.5(sum over all tokens of pool'(k * v))
        output = BN(proj(pool'(q * a)))

    where pool' goes over tokens and the channels of a head as if these were height and width: so its code does for
    CIFAR10-DVS, where a then fires nearly always.

    Source: Spike-driven Transformer (Yao et al., 2023, eq. 9) and its code, whose W has no bias: qkv_bias=False.
    Departure: what its code builds and never runs is not there.

    Args:
        events: whether it is the event form.
        qkv_bias, proj_bias: whether those products have a bias; None for the network's.
    """

    events: bool = False
    qkv_bias: bool | None = None
    proj_bias: bool | None = None
    residuals = ("membrane",)

    def __post_init__(self) -> None:
        check_flags(self, "events")

    def parts(self, *, qkv_bias: bool, proj_bias: bool) -> dict[str, Any]:
        pools: dict[str, Part] = {}
        if self.events:
            pools = {name: Pool("width", 1, of="qkv_neuron") for name in ("k_pool", "v_pool")}
            pools["kv_pool"] = Pool("width", 1, heads=True)
        return {
            "input_neuron": Neuron("input", "width"),
            "qkv": Dense("width", "width", 3, qkv_bias),
            "qkv_norm": Norm("width", 3),
            "qkv_neuron": Neuron("qkv", "width", 3),
            **pools,
            "token_sum": Sum("width"),
            "attention_neuron": Neuron("attention", "width", tokens=1),
            **({"out_pool": Pool("width", 1, heads=True)} if self.events else {}),
            "proj": Dense("width", "width", bias=proj_bias),
            "proj_norm": Norm("width"),
        }

    def forward(self, part: Any, x: Any, sizes: Any) -> Any:
        s = part.input_neuron(x)
        q, k, v = sizes.split(part.qkv_neuron(part.qkv(s), norm=part.qkv_norm), 3)
        if not self.events:
            return part.proj_norm(part.proj(q * part.attention_neuron(sizes.sum(k * v, "tokens"))))
        k, v = (sizes.to_tokens(pool(sizes.to_grid(a))) for pool, a in ((part.k_pool, k), (part.v_pool, v)))
        a = part.attention_neuron(sizes.sum(sizes.pool_heads(k * v), "tokens"))
        return part.proj_norm(part.proj(sizes.pool_heads(q * a)))
