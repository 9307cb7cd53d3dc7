"""Max-pool as a mixer."""

from __future__ import annotations

import dataclasses
from typing import Any

from kspike.components.base import Mixer
from kspike.components.parts import Pool
from kspike.components.registry import register


@register("mixer", "max_pool")
@dataclasses.dataclass(frozen=True, kw_only=True)
class MaxPool(Mixer):
    """y = the largest of each channel over 3x3 tokens; it has no weights, and no shortcut goes around it.

    Source: Max-Former (2025), the max-pool mixer of its code, which pools real values.
    """

    residuals = ("membrane",)
    shortcut = False

    def parts(self) -> dict[str, Any]:
        return {"pool": Pool("width", stride=1)}

    def forward(self, part: Any, x: Any, sizes: Any) -> Any:
        return sizes.to_tokens(part.pool(sizes.to_grid(x)))
