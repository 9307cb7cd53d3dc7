"""QKFormer's stem."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from kspike.components.base import Stem
from kspike.components.parts import Conv, Neuron, Norm, Pool, Sum
from kspike.components.registry import register


@register("stem", "peds")
@dataclasses.dataclass(frozen=True, kw_only=True)
class PEDSStem(Stem):
    """3x3 convolutions, and a shortcut of one 1x1 convolution whose spikes are added.

        a = LIF(BN(conv(x)))                                   to D/2
        y = LIF(BN(conv(a))) + LIF(BN(conv1x1(a)))             to D, at the size of the image

    events=True, an eighth of the side:

        a = LIF(BN(conv(x)))                                   to D/8
        b = LIF(pool(BN(conv(a))))                             to D/4
        y = LIF(pool(BN(conv(LIF(pool(BN(conv(b)))))))) + LIF(BN(conv1x1(b)))         to D/2, D; the 1x1 of stride 4

    Source: QKFormer (Zhou et al., 2024), its first patch embedding; the event form as in its code. Departure: none.
    What comes out is 0, 1 or 2.

    Args:
        events: whether it is the event form.
    """

    events: bool = False
    downsample: ClassVar[str] = "peds"

    def __post_init__(self) -> None:
        if not isinstance(self.events, bool):
            raise ValueError(f"events of the stem 'peds' must be True or False, got {self.events!r}.")

    def parts(self) -> dict[str, Any]:
        widths = ("width/8", "width/4", "width/2", "width") if self.events else ("width/2", "width")
        branch, stride = (1, 4) if self.events else (0, 1)
        found: dict[str, Any] = {}
        before = "image"
        for i, after in enumerate(widths):
            found |= {f"conv_{i}": Conv(before, after), f"norm_{i}": Norm(after)}
            found |= {f"pool_{i}": Pool(after)} if self.events and i else {}
            found[f"neuron_{i}"] = Neuron("stem", after)
            before = after
        return {
            **found,
            "res_conv": Conv(widths[branch], "width", 1, stride, of=f"neuron_{branch}"),
            "res_norm": Norm("width"),
            "res_neuron": Neuron("stem", "width"),
            "res_sum": Sum("width"),
        }

    def forward(self, part: Any, x: Any, sizes: Any) -> Any:
        a = x = part.neuron_0(part.conv_0(x), norm=part.norm_0)
        if self.events:
            a = x = part.neuron_1(part.pool_1(part.norm_1(part.conv_1(x))))
            for i in (2, 3):
                x = part[f"neuron_{i}"](part[f"pool_{i}"](part[f"norm_{i}"](part[f"conv_{i}"](x))))
        else:
            x = part.neuron_1(part.conv_1(x), norm=part.norm_1)
        return sizes.to_tokens(x + part.res_neuron(part.res_conv(a), norm=part.res_norm))
