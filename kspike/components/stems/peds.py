"""QKFormer's stem."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from kspike.components.base import Stem
from kspike.components.flags import one_form
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

    large=True, a quarter of the side:

        a = LIF(pool(BN(conv(x))))                                               to D/2
        y = LIF(BN(conv(LIF(pool(BN(conv(a))))))) + LIF(BN(conv1x1(a)))          to D, D; the 1x1 of stride 2

    Source: QKFormer (Zhou et al., 2024), its first patch embedding; the event form as in its code, the one for large
    images as in SpikingJelly 2.0's QKFormer. Departure: none. What comes out is 0, 1 or 2.

    Args:
        events: whether it is the event form.
        large: whether it is the form for large images; not with events.
    """

    events: bool = False
    large: bool = False
    downsample: ClassVar[str] = "peds"

    def __post_init__(self) -> None:
        one_form(self, "events", "large")

    @property
    def _form(self) -> tuple[tuple[str, ...], tuple[int, ...], int, int]:
        """Widths, which convolutions a pool follows, behind which neuron the 1x1 stands, and its stride."""
        if self.events:
            return ("width/8", "width/4", "width/2", "width"), (1, 2, 3), 1, 4
        return (("width/2", "width", "width"), (0, 1), 0, 2) if self.large else (("width/2", "width"), (), 0, 1)

    def parts(self) -> dict[str, Any]:
        widths, pooled, branch, stride = self._form
        found: dict[str, Any] = {}
        before = "image"
        for i, after in enumerate(widths):
            found |= {f"conv_{i}": Conv(before, after), f"norm_{i}": Norm(after)}
            found |= {f"pool_{i}": Pool(after)} if i in pooled else {}
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
        widths, pooled, branch, _ = self._form
        a = x
        for i in range(len(widths)):
            x, norm, neuron = part[f"conv_{i}"](x), part[f"norm_{i}"], part[f"neuron_{i}"]
            x = neuron(part[f"pool_{i}"](norm(x))) if i in pooled else neuron(x, norm=norm)
            a = x if i == branch else a
        return sizes.to_tokens(x + part.res_neuron(part.res_conv(a), norm=part.res_norm))
