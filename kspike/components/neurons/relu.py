"""Rectified linear units: no spikes, no time."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from kspike.components.base import Neuron
from kspike.components.registry import register


@register("neuron", "relu")
@dataclasses.dataclass(frozen=True, kw_only=True)
class ReLU(Neuron):
    """y = max(x, 0), at every step by itself: the ANN twin's (`kspike.models.ann_twin`). It spikes nowhere.

    What is measured as firing is then a share of nonzero numbers; energy of such a network is `kspike.cost.ann_twin`.
    """

    states: ClassVar[dict[str, Any]] = {}

    def step(self, x: Any) -> tuple[Any, tuple]:
        from keras import ops

        return ops.relu(x), ()
