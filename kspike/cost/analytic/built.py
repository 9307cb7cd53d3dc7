"""Compares the closed form with a network that is built: trainable numbers, place by place."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from kspike.cost.analytic.table import table


def check_built(model: Any) -> None:
    """Compares `kspike.cost.table` with the trainable numbers of a Spikformer, by place.

    Places are "stem", "block_0/attention", "block_0/mlp", ..., "head". A frozen weight counts as what it is: trainable.

    Args:
        model: a `kspike.Spikformer` with its head.

    Raises:
        ValueError: they differ: where, and whose component stands there.
    """
    config = model.config
    expected: Counter[str] = Counter()
    for row in table(config):
        expected[_place(row.name)] += row.parameters
    found: Counter[str] = Counter()
    for layer in model.layers:
        for path, count in _numbers(layer, layer.name):
            found[_place(path)] += count
    for place in sorted({*expected, *found}):
        if expected[place] != found[place]:
            raise ValueError(
                f"The closed form counts {expected[place]:,} trainable parameters in {place} "
                f"({_component(config, place)}), the network that is built has {found[place]:,}: the component must "
                "make all its weights by its parts()."
            )


def _place(path: str) -> str:
    first, _, rest = path.partition("/")
    return f"{first}/{rest.partition('/')[0]}" if first.startswith("block_") else first


def _numbers(layer: Any, path: str) -> list[tuple[str, int]]:
    """(path, trainable numbers) of a layer and of those inside it; what is frozen is looked up where it was made."""
    own = [(path, math.prod(v.shape)) for v in layer._trainable_variables]
    return own + [n for inner in layer._layers for n in _numbers(inner, f"{path}/{inner.name}")]


def _component(config: Any, place: str) -> str:
    component = next((at.component for at in config.standing if at.place.path == place), None)
    if component is None:
        return "the classifier"
    return f"{component.role} {component.label}, neuron {config.neuron_component.label}"
