"""Depth-wise 5x5 convolution as a mixer."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from kspike.components.mixers.dwconv3 import DepthwiseConv3
from kspike.components.registry import register


@register("mixer", "dwconv5")
@dataclasses.dataclass(frozen=True, kw_only=True)
class DepthwiseConv5(DepthwiseConv3):
    """As `dwconv3`, over 5x5 tokens. Source: Max-Former (2025), the second stage of its ImageNet form."""

    side: ClassVar[int] = 5
