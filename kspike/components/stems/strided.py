"""The first layer of Spike-driven Transformer V2 and V3."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from kspike.components.base import Stem
from kspike.components.parts import Conv, Norm
from kspike.components.registry import register


@register("stem", "strided")
@dataclasses.dataclass(frozen=True, kw_only=True)
class StridedStem(Stem):
    """y = BN(conv7x7(x) + bias), of stride 2: no neuron, potentials go on.

    Source: Spike-driven Transformer V2 and V3 (Yao et al., 2024), their first downsampling; what halves the image again
    stands there behind convolutional blocks, and is here the downsampling `strided`. `single_conv` has no bias, and a
    neuron with residual="add". Departure: none.

    Args:
        kernel: side of the convolution: 1, 3, 5 or 7.
        stride: 1, 2 or 4.
    """

    kernel: int = 7
    stride: int = 2
    residuals = ("membrane",)
    downsample: ClassVar[str] = "strided"

    def __post_init__(self) -> None:
        for name, known in (("kernel", (1, 3, 5, 7)), ("stride", (1, 2, 4))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} of the stem 'strided' must be one of {known}, got {getattr(self, name)!r}.")

    def parts(self) -> dict[str, Any]:
        return {"conv": Conv("image", "width", self.kernel, self.stride, bias=True), "norm": Norm("width")}

    def forward(self, part: Any, x: Any, sizes: Any) -> Any:
        return sizes.to_tokens(part.norm(part.conv(x)))
