"""Looks at what a supernet is made of: every component's weights and shapes, before anything is trained."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from keras import ops

from kspike._stages import Place
from kspike.components.parts import Neuron
from kspike.config import SpikformerConfig
from kspike.layers._shapes import Shapes, check_once
from kspike.layers.component import refused_shape
from kspike.space.parameters import of_neuron, parameters
from kspike.supernet.elastic import Statistics
from kspike.supernet.places import ElasticComponent, Pass, options_of
from kspike.supernet.view import MaskedView, SlicedView, View, largest_sizes


def check_made(supernet: Any, largest: SpikformerConfig) -> None:
    """Compares a supernet with the closed form, at the largest sizes, and every component's forward with its shape.

    Args:
        supernet: a `Supernet` that is built.
        largest: its space's largest network.

    Raises:
        ValueError: trainable numbers that differ, or another shape: where, and which component.
    """
    for place in _places(supernet):
        for component in options_of(place):
            path = component.at.path
            _check_numbers(path, component)
            settings = (*component.network.items(), *component.largest.items(), component.grid, largest.timesteps)
            key = ("elastic", component.component, component.neurons, supernet.masked, *settings)
            check_once(key, functools.partial(_check_shape, path, component, supernet, largest))
    width = largest_sizes(supernet.space, supernet.space.stages - 1)["width"]
    classes = largest.num_classes
    _compare("head", "the classifier", width * classes + classes, _numbers(supernet.head))


def _places(supernet: Any) -> Iterator[Any]:
    yield supernet.stem
    for block in supernet.blocks:
        yield from block.places.values()
    yield from supernet.downs
    if supernet.decoding is not None:
        yield supernet.decoding


def _check_numbers(path: str, made: ElasticComponent) -> None:
    declared = made.declared
    learned = sum(of_neuron(neuron) for neuron in made.neurons)
    neurons = sum(part.copies for part in declared.values() if isinstance(part, Neuron))
    expected = parameters(declared, made.largest) + learned * neurons
    _compare(path, f"{made.component.role} {made.component.label}", expected, _numbers(made))


def _compare(path: str, what: str, expected: int, found: int) -> None:
    if expected != found:
        raise ValueError(
            f"The closed form counts {expected:,} trainable parameters in {path} ({what}) at the space's largest "
            f"sizes, the supernet has {found:,}: the component must make all its weights by its parts()."
        )


def _numbers(layer: Any) -> int:
    own = sum(math.prod(v.shape) for v in layer._trainable_variables)
    return own + sum(_numbers(inner) for inner in layer._layers)


def _check_shape(path: str, made: ElasticComponent, supernet: Any, largest: SpikformerConfig) -> None:
    """Runs a component on shapes alone."""
    sizes, role, lead = made.largest, made.component.role, (1, largest.timesteps)
    inputs: tuple[int, ...] = (*lead, sizes["tokens"], sizes["width"])
    expected = inputs
    if role == "stem":
        inputs = (*lead, *largest.image_shape)
    elif role == "downsample":
        inputs = (*lead, math.prod(made.grid), sizes["before"])
    elif role == "head":
        expected = (*lead, sizes["width"])
    for view in _views(supernet, largest, sizes, len(made.neurons)):
        run = lambda x, view=view: made.run(x, Pass(view(), Statistics()))  # what a view keeps is of one run
        try:
            found = Shapes(run).of(inputs, made.compute_dtype)
        except TypeError as error:  # under masks sizes are extents, without arithmetic
            component = made.component
            raise ValueError(
                f"{component.role} {component.label}: it does not run in a supernet ({path}): {error}. Widths and "
                "heads there are no numbers: use sizes.attend, sum_heads, to_channels, mean and split."
            ) from error
        if found != expected:
            raise ValueError(refused_shape(made.component, expected, found, f" ({path})"))


def _views(supernet: Any, largest: SpikformerConfig, sizes: Mapping[str, int], count: int) -> list[Callable[[], View]]:
    """The largest sizes as the supernet runs them: one view under masks, which holds all neurons, one a neuron else."""
    if supernet.masked:
        return [lambda: MaskedView(supernet.space, ops.zeros((len(supernet.space.slots),), dtype="int32"))]
    return [functools.partial(_Whole, largest, sizes, neuron) for neuron in range(count)]


class _Whole(SlicedView):
    """All of the shared weights, whether one network of the space has all of them or not."""

    def __init__(self, config: SpikformerConfig, sizes: Mapping[str, int], neuron: int) -> None:
        super().__init__(config, {("neuron", 0): neuron})
        self._all = dict(sizes)

    def sizes(self, at: Place) -> dict[str, int]:
        return self._all

    def heads(self, at: Place) -> int:
        return self._all["heads"]
