"""Max-Former's stem."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from kspike.components.base import Stem
from kspike.components.flags import one_form
from kspike.components.parts import Conv, Neuron, Norm, Pool, Sum
from kspike.components.registry import register


@register("stem", "embed_max")
@dataclasses.dataclass(frozen=True, kw_only=True)
class EmbedMaxStem(Stem):
    """3x3 convolutions with neurons before them, and a shortcut of one 1x1 convolution; potentials are added.

        f = BN(conv(x))                                              to D/2
        y = BN(conv(LIF(f))) + BN(conv1x1(LIF'(f)))                  to D, at the size of the image

    LIF and LIF' are two neurons: the same spikes, unless they learn weights of their own.

    events=True, an eighth of the side:

        x = BN(conv(x))                                              to D/8
        s = LIF(pool(BN(conv(LIF(x)))))                              to D/4
        y = pool(BN(conv(LIF(pool(BN(conv(s))))))) + BN(conv1x1(s))  to D/2, D; the 1x1 of stride 4

    large=True, a quarter of the side, by convolutions of stride 2:

        s = LIF(BN(conv(x)))                                         to D/2
        y = BN(conv(LIF(BN(conv(s))))) + BN(conv1x1(s))              to D, D; the last 3x3 of stride 1

    Source: the code of Max-Former (2025), Embed_Orig, and for events Embed_Max_plus; MS-QKFormer there has the same
    stem; for large images SpikingJelly 2.0's Max-Former. Departure: none.

    Args:
        events: whether it is the event form.
        large: whether it is the form for large images; not with events.
    """

    events: bool = False
    large: bool = False
    residuals = ("membrane",)
    downsample: ClassVar[str] = "embed_max"

    def __post_init__(self) -> None:
        one_form(self, "events", "large")

    def parts(self) -> dict[str, Any]:
        if self.large:
            return {
                "conv_0": Conv("image", "width/2", stride=2),
                "norm_0": Norm("width/2"),
                "neuron_0": Neuron("stem", "width/2"),
                "conv_1": Conv("width/2", "width", stride=2),
                "norm_1": Norm("width"),
                "neuron_1": Neuron("stem", "width"),
                "conv_2": Conv("width", "width"),
                "norm_2": Norm("width"),
                "res_conv": Conv("width/2", "width", 1, 2, of="neuron_0"),
                "res_norm": Norm("width"),
                "res_sum": Sum("width"),
            }
        if not self.events:
            return {
                "conv_0": Conv("image", "width/2"),
                "norm_0": Norm("width/2"),
                "neuron_1": Neuron("stem", "width/2"),
                "conv_1": Conv("width/2", "width"),
                "norm_1": Norm("width"),
                "res_neuron": Neuron("stem", "width/2", of="norm_0"),
                "res_conv": Conv("width/2", "width", 1),
                "res_norm": Norm("width"),
                "res_sum": Sum("width"),
            }
        found: dict[str, Any] = {"conv_0": Conv("image", "width/8"), "norm_0": Norm("width/8")}
        before = "width/8"
        for i, after in enumerate(("width/4", "width/2", "width"), 1):
            found |= {f"neuron_{i}": Neuron("stem", before), f"conv_{i}": Conv(before, after)}
            found |= {f"norm_{i}": Norm(after), f"pool_{i}": Pool(after)}
            before = after
        return {
            **found,
            "res_conv": Conv("width/4", "width", 1, 4, of="neuron_2"),
            "res_norm": Norm("width"),
            "res_sum": Sum("width"),
        }

    def forward(self, part: Any, x: Any, sizes: Any) -> Any:
        if self.large:
            s = part.neuron_0(part.conv_0(x), norm=part.norm_0)
            x = part.norm_2(part.conv_2(part.neuron_1(part.conv_1(s), norm=part.norm_1)))
            return sizes.to_tokens(x + part.res_norm(part.res_conv(s)))
        x = part.norm_0(part.conv_0(x))
        if not self.events:
            s = part.res_neuron(x)
            x = part.norm_1(part.conv_1(part.neuron_1(x)))
        else:
            x = part.pool_1(part.norm_1(part.conv_1(part.neuron_1(x))))
            s = part.neuron_2(x)
            x = part.pool_2(part.norm_2(part.conv_2(s)))
            x = part.pool_3(part.norm_3(part.conv_3(part.neuron_3(x))))
        return sizes.to_tokens(x + part.res_norm(part.res_conv(s)))
