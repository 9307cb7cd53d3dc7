"""Components that golden parts need and kspike has not, known while a layer of them is made."""

from __future__ import annotations

import dataclasses
from typing import Any

from keras import ops

from kspike import components, layers
from kspike.components import repconv
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class RepConv(components.Mixer):
    """A RepConv alone."""

    residuals = ("membrane",)

    def parts(self) -> dict[str, Any]:
        return repconv.parts("own")

    def forward(self, part: Any, x: Any, sizes: Any) -> Any:
        return repconv.forward(part, "own", x, sizes)


def layer(mixer: Any, num_heads: int = 1, **settings: Any) -> layers.Component:
    """A mixer with integer neurons, by its name and settings or by a class of this file, as a layer."""
    back = own.forget()
    try:
        if isinstance(mixer, type):
            mixer = components.register("mixer", f"golden_{mixer.__name__.lower()}")(mixer).name
        neuron = components.register("neuron", "golden_levels")(Levels)()
        how = {"num_heads": num_heads, "neuron": neuron, "residual": "membrane"}
        return layers.Component({"name": mixer, **settings}, **how)
    finally:
        back()
