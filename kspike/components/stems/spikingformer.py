"""Spikingformer's stem."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from kspike.components.base import Stem
from kspike.components.parts import Conv, Neuron, Norm, Pool
from kspike.components.registry import register


@register("stem", "spikingformer")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SpikingformerStem(Stem):
    """Five 3x3 convolutions, neurons and pools before them, so that potentials go on.

        x = BN(conv(x))                          to D/8
        x = BN(conv(pool(LIF(x))))               to D/4, D/2, D, D; pooled where `pool` says

    No position encoding. Source: Spikingformer (Zhou et al., 2023) and its code; its event networks pool all four
    times: pool=(True, True, True, True), and have tau 1.5.

    Args:
        pool: for each convolution but the first, whether a 3x3 max-pool of stride 2 stands before it.
    """

    pool: tuple[bool, ...] = (False, False, True, True)
    residuals = ("membrane",)
    downsample: ClassVar[str] = "spikingformer"

    def __post_init__(self) -> None:
        if len(self.pool) != 4 or not all(isinstance(each, bool) for each in self.pool):
            raise ValueError(f"pool of the stem 'spikingformer' must be four truth values, got {self.pool!r}.")

    def parts(self) -> dict[str, Any]:
        found: dict[str, Any] = {"conv_0": Conv("image", "width/8"), "norm_0": Norm("width/8")}
        before = "width/8"
        for i, after in enumerate(("width/4", "width/2", "width", "width"), 1):
            found[f"neuron_{i}"] = Neuron("stem", before)
            if self.pool[i - 1]:
                found[f"pool_{i}"] = Pool(before)
            found |= {f"conv_{i}": Conv(before, after), f"norm_{i}": Norm(after)}
            before = after
        return found

    def forward(self, part: Any, x: Any, sizes: Any) -> Any:
        x = part.norm_0(part.conv_0(x))
        for i in range(1, 5):
            x = getattr(part, f"neuron_{i}")(x)
            if self.pool[i - 1]:
                x = getattr(part, f"pool_{i}")(x)
            x = getattr(part, f"norm_{i}")(getattr(part, f"conv_{i}")(x))
        return sizes.to_tokens(x)
