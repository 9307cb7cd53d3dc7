"""Separable convolution of Spike-driven Transformer V2 as a mixer."""

from __future__ import annotations

import dataclasses
from typing import Any

from kspike.components.base import Mixer
from kspike.components.parts import FACTORS, Dense, DepthwiseConv, Neuron, Norm, times
from kspike.components.registry import register


@register("mixer", "sepconv")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SepConv(Mixer):
    """Widens the channels of every token, mixes each over neighbouring tokens, narrows them.

        output = BN(pw2(dw(LIF(BN(pw1(LIF(x)))))))          pw: token by token; dw: each channel by itself

    No product has a bias, and neither a neuron nor a normalisation stands between dw and pw2, which multiplies real
    numbers. Source: Spike-driven Transformer V2 (Yao et al., 2024), its convolution blocks.

    Args:
        kernel: side of dw, odd.
        expansion: channels between the products over the width: 1, 2, 4 or 8.
    """

    kernel: int = 7
    expansion: int = 2
    residuals = ("membrane",)

    def __post_init__(self) -> None:
        whole = isinstance(self.kernel, int) and not isinstance(self.kernel, bool)
        if not whole or self.kernel < 1 or self.kernel % 2 == 0:
            raise ValueError(f"kernel of the mixer {self.name!r} must be an odd whole number, got {self.kernel!r}.")
        if isinstance(self.expansion, bool) or self.expansion not in (1, *FACTORS):
            raise ValueError(f"expansion of the mixer {self.name!r} must be 1, 2, 4 or 8, got {self.expansion!r}.")

    def parts(self) -> dict[str, Any]:
        wide = times("width", self.expansion)
        return {
            "input_neuron": Neuron("input", "width"),
            "pw1": Dense("width", wide, bias=False),
            "pw1_norm": Norm(wide),
            "pw1_neuron": Neuron("qkv", wide),
            "dw": DepthwiseConv(wide, self.kernel),
            **self.between_parts(wide),
            "pw2": Dense(wide, "width", bias=False),
            "pw2_norm": Norm("width"),
        }

    def between_parts(self, wide: str) -> dict[str, Any]:
        """What stands between dw and pw2."""
        return {}

    def between(self, part: Any, y: Any) -> Any:
        """What reaches pw2 of dw's output."""
        return y

    def forward(self, part: Any, x: Any, sizes: Any) -> Any:
        y = part.pw1_neuron(part.pw1(part.input_neuron(x)), norm=part.pw1_norm)
        y = sizes.to_tokens(part.dw(sizes.to_grid(y)))
        return part.pw2_norm(part.pw2(self.between(part, y)))
