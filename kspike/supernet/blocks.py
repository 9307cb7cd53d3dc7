"""The supernet's stem and blocks: places with one component each, or several to choose from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from kspike import components
from kspike._types import Tokens
from kspike.config import SpikformerConfig
from kspike.space import SearchSpace
from kspike.supernet.elastic import Statistics
from kspike.supernet.places import ElasticComponent, ElasticPlace, Pass, branch
from kspike.supernet.view import View


def choices_of(space: SearchSpace, field: str, block: int | None = None) -> tuple[Any, ...]:
    """The components that a place of the space may hold, as objects."""
    gene = next((gene for gene in space.genes if gene.name == field), None)
    base = getattr(space.base, field)
    if gene is not None:
        found = gene.choices
    elif block is None:
        found = (base,)
    else:
        found = (base[min(block, len(base) - 1)],)
    return tuple(components.get(field, each) for each in found)


def place_of(
    role: str,
    options: Sequence[Any],
    config: SpikformerConfig,
    largest: Mapping[str, int],
    neurons: Sequence[components.Neuron],
    *,
    name: str,
    dtype: Any,
    block: int | None = None,
    grid: tuple[int, int] | None = None,
) -> Any:
    """The layer of a place: the component itself where there is one, else all of them, each under its name."""
    how = {"block": block, "grid": grid, "dtype": dtype}
    if len(options) == 1:
        return ElasticComponent(options[0], config, largest, neurons, name=name, **how)
    names: list[str] = []
    for option in options:
        same = sum(each == option.name or each.startswith(f"{option.name}-") for each in names)
        names.append(option.name if not same else f"{option.name}-{same + 1}")
    made = [
        ElasticComponent(option, config, largest, neurons, name=label, **how)
        for option, label in zip(options, names, strict=True)
    ]
    return ElasticPlace(role, made, name=name, dtype=dtype)


class ElasticBlock(keras.layers.Layer):
    """A mixer, then an MLP, each added to the stream; under masks adds nothing where the genome is shallower."""

    def __init__(self, block: int, *, attention: Any, mlp: Any, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.block = block
        self.attention, self.mlp = attention, mlp

    def build(self, input_shape: tuple | None = None) -> None:
        self.attention.build()
        self.mlp.build()
        self.built = True

    def call(self, x: Tokens, view: View, statistics: Statistics) -> Tokens:
        given = Pass(view, statistics, view.active(self.block))
        x = branch(self.attention, "mixer", x, given, self.block)
        return branch(self.mlp, "mlp", x, given, self.block)
