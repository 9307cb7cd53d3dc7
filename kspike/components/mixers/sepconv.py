"""Separable convolution of Spike-driven Transformer V2 as a mixer."""

from __future__ import annotations

import dataclasses
from typing import Any

from kspike.components.base import Mixer
from kspike.components.parts import FACTORS, Dense, DepthwiseConv, Neuron, Norm, times
from kspike.components.registry import register


def check_settings(made: Any) -> None:
    """Refuses a kernel or an expansion that there is not, by ValueError."""
    whole = isinstance(made.kernel, int) and not isinstance(made.kernel, bool)
    if not whole or made.kernel < 1 or made.kernel % 2 == 0:
        raise ValueError(f"kernel of the mixer {made.name!r} must be an odd whole number, got {made.kernel!r}.")
    if isinstance(made.expansion, bool) or made.expansion not in (1, *FACTORS):
        raise ValueError(f"expansion of the mixer {made.name!r} must be 1, 2, 4 or 8, got {made.expansion!r}.")


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
        check_settings(self)

    def parts(self) -> dict[str, Any]:
        wide = times("width", self.expansion)
        return {
            "input_neuron": Neuron("input", "width"),
            "pw1": Dense("width", wide, bias=False),
            "pw1_norm": Norm(wide),
            "pw1_neuron": Neuron("qkv", wide),
            "dw": DepthwiseConv(wide, self.kernel),
            "pw2": Dense(wide, "width", bias=False),
            "pw2_norm": Norm("width"),
        }

    def forward(self, part: Any, x: Any, sizes: Any) -> Any:
        y = part.pw1_neuron(part.pw1(part.input_neuron(x)), norm=part.pw1_norm)
        return part.pw2_norm(part.pw2(sizes.to_tokens(part.dw(sizes.to_grid(y)))))
