"""A downsampling of one strided convolution, as in Spike-driven Transformer V2 and V3."""

from __future__ import annotations

import dataclasses
from typing import Any

from kspike.components.base import Downsample
from kspike.components.parts import Conv, Neuron, Norm
from kspike.components.registry import register


@register("downsample", "strided")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Strided(Downsample):
    """y = BN(conv3x3(neuron(x)) + bias), of stride 2; potentials go on.

    Source: Spike-driven Transformer V2 and V3 (Yao et al., 2024), whose last downsampling has stride 1.

    Args:
        stride: 1, 2 or 4.
    """

    stride: int = 2
    residuals = ("membrane",)

    def __post_init__(self) -> None:
        if self.stride not in (1, 2, 4):
            raise ValueError(f"stride of the downsampling 'strided' must be 1, 2 or 4, got {self.stride!r}.")

    def parts(self) -> dict[str, Any]:
        return {
            "neuron": Neuron("stem", "before"),
            "conv": Conv("before", "width", 3, self.stride, bias=True),
            "norm": Norm("width"),
        }

    def forward(self, part: Any, x: Any, sizes: Any) -> Any:
        return sizes.to_tokens(part.norm(part.conv(part.neuron(x))))
