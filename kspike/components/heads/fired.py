"""Heads with a neuron before the linear layer."""

from __future__ import annotations

import dataclasses
from typing import Any

from kspike.components.base import Head
from kspike.components.flags import check_flags
from kspike.components.parts import Neuron
from kspike.components.registry import register


@register("head", "neuron")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Fired(Head):
    """y = neuron(mean over tokens of x): the linear layer takes spikes, as membrane shortcuts leave potentials.

    Source: Max-Former, with the mean over time before the linear layer; Spike-driven Transformer (V1, V2), after it:
    time_last=True. Spike-driven Transformer V3 has levels 0 to D where its other neurons give fractions: times=D.

    Args:
        time_last: whether the mean over time follows the linear layer.
        times: what the neuron's output is multiplied by.
    """

    time_last: bool = False
    times: int = 1
    residuals = ("add", "membrane")

    def __post_init__(self) -> None:
        check_flags(self, "time_last")
        if isinstance(self.times, bool) or not isinstance(self.times, int) or self.times < 1:
            raise ValueError(f"times of the head 'neuron' must be a whole number of at least 1, got {self.times!r}.")

    @property
    def averages_logits(self) -> bool:
        return self.time_last

    def parts(self) -> dict[str, Any]:
        return {"neuron": Neuron("head", "width", tokens=1)}

    def forward(self, part: Any, x: Any, sizes: Any) -> Any:
        y = part.neuron(sizes.mean(x, "tokens"))[:, :, 0]
        return y if self.times == 1 else y * float(self.times)
