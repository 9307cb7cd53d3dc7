"""The stem of the Spike-driven Transformer."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from kspike.components.base import Stem
from kspike.components.parts import Conv, Neuron, Norm, Pool, Sum
from kspike.components.registry import register


@register("stem", "sdt")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SDTStem(Stem):
    """Four 3x3 convolutions and a position encoding; potentials go on.

        x = pool(LIF(BN(conv(x))))               to D/8, D/4, D/2
        f = pool(BN(conv(x)))                    to D: there the pool stands where no neuron is
        y = f + BN(conv(LIF(f)))

    Source: Spike-driven Transformer (Yao et al., 2023) and its code.

    Args:
        pool: for each of the four stages, whether a 3x3 max-pool of stride 2 follows.
    """

    pool: tuple[bool, ...] = (False, False, True, True)
    residuals = ("membrane",)
    downsample: ClassVar[str] = "sdt"

    def __post_init__(self) -> None:
        if len(self.pool) != 4 or not all(isinstance(each, bool) for each in self.pool):
            raise ValueError(f"pool of the stem 'sdt' must be four truth values, got {self.pool!r}.")

    def parts(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        before = "image"
        for i, after in enumerate(("width/8", "width/4", "width/2", "width")):
            found |= {f"conv_{i}": Conv(before, after), f"norm_{i}": Norm(after)}
            if i < 3:
                found[f"neuron_{i}"] = Neuron("stem", after)
            if self.pool[i]:
                found[f"pool_{i}"] = Pool(after)
            before = after
        return {
            **found,
            "neuron_3": Neuron("stem", "width"),
            "rpe_conv": Conv("width", "width"),
            "rpe_norm": Norm("width"),
            "rpe_sum": Sum("width"),
        }

    def forward(self, part: Any, x: Any, sizes: Any) -> Any:
        for i in range(4):
            x, norm = getattr(part, f"conv_{i}")(x), getattr(part, f"norm_{i}")
            x = getattr(part, f"neuron_{i}")(x, norm=norm) if i < 3 else norm(x)
            x = getattr(part, f"pool_{i}")(x) if self.pool[i] else x
        return sizes.to_tokens(x + part.rpe_norm(part.rpe_conv(part.neuron_3(x))))
