"""A stage of the Spike-driven Transformer's stem as a downsampling."""

from __future__ import annotations

import dataclasses
from typing import Any

from kspike.components.base import Downsample
from kspike.components.parts import Conv, Neuron, Norm, Pool
from kspike.components.registry import register


@register("downsample", "sdt")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SDTStage(Downsample):
    """y = pool(BN(conv3x3(LIF(x)))), half the side: potentials are pooled and go on.

    Source: ours, of the last stage of the stem `sdt` (Spike-driven Transformer, Yao et al., 2023), whose network has no
    second stage. Departure: a neuron first, as potentials come in; no position encoding.
    """

    residuals = ("membrane",)

    def parts(self) -> dict[str, Any]:
        return {
            "neuron": Neuron("stem", "before"),
            "conv": Conv("before", "width"),
            "norm": Norm("width"),
            "pool": Pool("width"),
        }

    def forward(self, part: Any, x: Any, sizes: Any) -> Any:
        return sizes.to_tokens(part.pool(part.norm(part.conv(part.neuron(x)))))
