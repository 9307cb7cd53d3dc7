"""Spikformer's head."""

from __future__ import annotations

import dataclasses
from typing import Any

from kspike.components.base import Head
from kspike.components.registry import register


@register("head", "mean")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Mean(Head):
    """The mean over tokens. Source: Spikformer (Zhou et al., 2023); QKFormer's and Spikingformer's code do the same."""

    residuals = ("add", "membrane")

    def parts(self) -> dict[str, Any]:
        return {}

    def forward(self, part: Any, x: Any, sizes: Any) -> Any:
        return sizes.mean(x, "tokens")[:, :, 0]
