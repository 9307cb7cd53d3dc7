"""Integrate-and-fire, without a leak."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from kspike.components.base import Neuron
from kspike.components.registry import register


@register("neuron", "if")
@dataclasses.dataclass(frozen=True, kw_only=True)
class IF(Neuron):
    """h = v + x; s = h >= v_threshold; v = v_reset where s, else h. It has no tau.

    It is the LIF of an infinite tau whose input is not divided: h = v - (v - v_reset) / inf + x, to the bit. The fused
    pass computes it, and its gradient to rounding.

    Source: as SpikingJelly's IFNode.
    """

    fused = {"tau": math.inf, "decay_input": False}

    def step(self, x: Any, v: Any, *, reset: Any, v_threshold: Any, spike: Any) -> tuple[Any, tuple]:
        h = v + x
        s = spike(h - v_threshold)
        return s, (reset(h, s),)
