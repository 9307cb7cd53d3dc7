"""A stage of Spikformer's stem as a downsampling."""

from __future__ import annotations

import dataclasses
from typing import Any

from kspike.components.base import Downsample
from kspike.components.parts import Conv, Neuron, Norm, Part, Pool
from kspike.components.registry import register


@register("downsample", "sps")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SPSStage(Downsample):
    """One 3x3 convolution and a pool, half the side, as a stage of the stem `sps`.

        residual="add":       pool(LIF(BN(conv(x)))); pool_after="norm" pools before the neuron
        residual="membrane":  pool(BN(conv(LIF(x)))), as the stem's last stage there; potentials go on

    Source: ours, of a stage of Spikformer's stem (Zhou et al., 2023, eq. 4), whose network has no second stage.

    Args:
        pool_after: "neuron" or "norm"; with residual="membrane" the pool is behind the normalisation in both.
    """

    pool_after: str = "neuron"
    residuals = ("add", "membrane")

    def __post_init__(self) -> None:
        if self.pool_after not in ("neuron", "norm"):
            raise ValueError(
                f"pool_after of the downsampling {self.name!r} must be 'neuron' or 'norm', got {self.pool_after!r}."
            )

    def parts(self, *, residual: str) -> dict[str, Any]:
        product: dict[str, Part] = {"conv": Conv("before", "width"), "norm": Norm("width")}
        if residual == "membrane":
            return {"neuron": Neuron("stem", "before"), **product, "pool": Pool("width")}
        if self.pool_after == "norm":
            return {**product, "pool": Pool("width"), "neuron": Neuron("stem", "width")}
        return {**product, "neuron": Neuron("stem", "width"), "pool": Pool("width")}

    def forward(self, part: Any, x: Any, sizes: Any, *, residual: str) -> Any:
        if residual == "membrane":
            y = part.pool(part.norm(part.conv(part.neuron(x))))
        elif self.pool_after == "norm":
            y = part.neuron(part.pool(part.norm(part.conv(x))))
        else:
            y = part.pool(part.neuron(part.conv(x), norm=part.norm))
        return sizes.to_tokens(y)
