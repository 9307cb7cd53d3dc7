"""A stem of one strided convolution."""

from __future__ import annotations

import dataclasses
from typing import Any

from kspike.components.base import Stem
from kspike.components.parts import Conv, Neuron, Norm
from kspike.components.registry import register


@register("stem", "single_conv")
@dataclasses.dataclass(frozen=True, kw_only=True)
class ConvStem(Stem):
    """x = LIF(BN(conv(x))), 3x3 or larger, with a stride: the smallest stem, for small images and edge devices.

    residual="membrane" leaves out the neuron. `kernel` is the side of the convolution, `stride` 1, 2 or 4.
    """

    kernel: int = 3
    stride: int = 2
    residuals = ("add", "membrane")

    def __post_init__(self) -> None:
        for name, known in (("kernel", (1, 3, 5, 7)), ("stride", (1, 2, 4))):
            if getattr(self, name) not in known:
                given = getattr(self, name)
                raise ValueError(f"{name} of the stem 'single_conv' must be one of {known}, got {given!r}.")

    def parts(self, *, residual: str) -> dict[str, Any]:
        conv = {"conv": Conv("image", "width", self.kernel, self.stride), "norm": Norm("width")}
        return conv if residual == "membrane" else {**conv, "neuron": Neuron("stem", "width")}

    def forward(self, part: Any, x: Any, sizes: Any, *, residual: str) -> Any:
        x = part.conv(x)
        return sizes.to_tokens(part.norm(x) if residual == "membrane" else part.neuron(x, norm=part.norm))
