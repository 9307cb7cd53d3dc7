"""Leaky integrate-and-fire."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from kspike.components.base import Neuron
from kspike.components.registry import register


@register("neuron", "lif")
@dataclasses.dataclass(frozen=True, kw_only=True)
class LIF(Neuron):
    """h = v + (x - v) / tau; s = h >= v_threshold; v = v_reset where s, else h. See `kspike.layers.LIF`."""

    fused = True

    def step(self, x: Any, v: Any, *, charge: Any, reset: Any, v_threshold: Any, spike: Any) -> tuple[Any, tuple]:
        h = charge(v, x)
        s = spike(h - v_threshold)
        return s, (reset(h, s),)


@register("neuron", "plif")
@dataclasses.dataclass(frozen=True, kw_only=True)
class PLIF(LIF):
    """LIF whose 1 / tau = sigmoid(w) is learned, from the config's tau on. See `kspike.layers.PLIF`."""

    fused = True

    def weights(self, tau: float) -> dict[str, float]:
        return {"w": -math.log(tau - 1.0)}

    def inverse_tau(self, *, w: Any) -> Any:
        from keras import ops

        return ops.sigmoid(w)
