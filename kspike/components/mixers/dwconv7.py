"""Depth-wise 7x7 convolution as a mixer."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from kspike.components.mixers.dwconv3 import DepthwiseConv3
from kspike.components.registry import register


@register("mixer", "dwconv7")
@dataclasses.dataclass(frozen=True, kw_only=True)
class DepthwiseConv7(DepthwiseConv3):
    """As `dwconv3`, over 7x7 tokens. Source: Max-Former (2025), the first stage of its ImageNet form."""

    side: ClassVar[int] = 7
