"""Spiking patch splitting."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from kspike.components.base import Stem
from kspike.components.parts import Conv, Neuron, Norm, Part, Pool, Sum
from kspike.components.registry import register


@register("stem", "sps")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SPS(Stem):
    """Four convolutions, each normalised, fired and pooled where `stem_pool` says, and a position encoding added.

        x = pool(LIF(BN(conv(x))))            four times; pool_after="norm" pools before the neuron
        x = x + LIF(BN(conv(x)))

    residual="membrane" leaves out the last stage's neuron and the position encoding's. Source: Spikformer (Zhou et
    al., 2023, eq. 4); `kspike.layers.SPS` says more. Settings are the config's: stem_channels, stem_pool, pool_after.
    """

    residuals = ("add", "membrane")
    downsample: ClassVar[str] = "sps"

    def parts(self, *, residual: str, stem_pool: tuple, pool_after: str) -> dict[str, Any]:
        membrane, before = residual == "membrane", "image"
        out: dict[str, Part] = {}
        for i, pool in enumerate(stem_pool):
            after = f"stem_{i}" if i < 3 else "width"
            fires: dict[str, Part] = {} if membrane and i == 3 else {f"neuron_{i}": Neuron("stem", after)}
            pools: dict[str, Part] = {f"pool_{i}": Pool(after)} if pool else {}
            behind = {**pools, **fires} if pool_after == "norm" else {**fires, **pools}
            out |= {f"conv_{i}": Conv(before, after), f"norm_{i}": Norm(after), **behind}
            before = after
        return {
            **out,
            "rpe_conv": Conv("width", "width"),
            "rpe_norm": Norm("width"),
            **({} if membrane else {"rpe_neuron": Neuron("stem", "width")}),
            "rpe_sum": Sum("width"),
        }

    def forward(self, part: Any, x: Any, sizes: Any, *, residual: str, stem_pool: tuple, pool_after: str) -> Any:
        membrane = residual == "membrane"
        for i, pool in enumerate(stem_pool):
            x = getattr(part, f"conv_{i}")(x)
            norm, fires = getattr(part, f"norm_{i}"), not (membrane and i == 3)
            if pool and pool_after == "norm":
                x = getattr(part, f"pool_{i}")(norm(x))
                x = getattr(part, f"neuron_{i}")(x) if fires else x
                continue
            x = getattr(part, f"neuron_{i}")(x, norm=norm) if fires else norm(x)
            x = getattr(part, f"pool_{i}")(x) if pool else x
        position = part.rpe_conv(x)
        position = part.rpe_norm(position) if membrane else part.rpe_neuron(position, norm=part.rpe_norm)
        return sizes.to_tokens(x + position)
