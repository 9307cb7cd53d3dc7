"""No mixing."""

from __future__ import annotations

import dataclasses
from typing import Any

from kspike.components.base import Mixer
from kspike.components.registry import register


@register("mixer", "identity")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Identity(Mixer):
    """y = x: nothing is mixed, added or counted; the block is its MLP alone.

    Source: Max-Former (2025), whose first stage is so.
    """

    residuals = ("add", "membrane")
    shortcut = False

    def parts(self) -> dict[str, Any]:
        return {}

    def forward(self, part: Any, x: Any, sizes: Any) -> Any:
        return x
