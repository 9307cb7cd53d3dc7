"""A stage of Spikingformer's stem as a downsampling."""

from __future__ import annotations

import dataclasses
from typing import Any

from kspike.components.base import Downsample
from kspike.components.parts import Conv, Neuron, Norm, Pool
from kspike.components.registry import register


@register("downsample", "spikingformer")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SpikingformerStage(Downsample):
    """y = BN(conv3x3(pool(LIF(x)))), half the side: spikes are pooled, potentials go on.

    Source: ours, of a stage of the stem `spikingformer` (Zhou et al., 2023), whose network has no second stage.
    Departure: none from that stage.
    """

    residuals = ("membrane",)

    def parts(self) -> dict[str, Any]:
        return {
            "neuron": Neuron("stem", "before"),
            "pool": Pool("before"),
            "conv": Conv("before", "width"),
            "norm": Norm("width"),
        }

    def forward(self, part: Any, x: Any, sizes: Any) -> Any:
        return sizes.to_tokens(part.norm(part.conv(part.pool(part.neuron(x)))))
