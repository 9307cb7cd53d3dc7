"""Components that golden parts need and kspike has not, known while a layer of them is made."""

from __future__ import annotations

import dataclasses
from typing import Any

from keras import ops

from kspike import components, layers
from tests.components import own

#: Levels of the golden integer neuron.
LEVELS = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Levels(components.Neuron):
    """round(clip(x, 0, D)) / D, half to even; its gradient is 1 / D from 0 to D, 0 elsewhere."""

    states = {}

    def step(self, x: Any) -> tuple[Any, tuple]:
        clipped = ops.clip(x, 0.0, float(LEVELS)) / LEVELS
        levels = ops.round(ops.stop_gradient(clipped) * LEVELS) / LEVELS
        return levels + (clipped - ops.stop_gradient(clipped)), ()


def layer(mixer: str, residual: str = "membrane", num_heads: int = 1, **settings: Any) -> layers.Component:
    """A mixer with integer neurons, as a layer."""
    back = own.forget()
    try:
        neuron = components.register("neuron", "golden_levels")(Levels)()
        return layers.Component({"name": mixer, **settings}, residual=residual, num_heads=num_heads, neuron=neuron)
    finally:
        back()
