"""Looks at what a supernet is made of: every component's weights and shapes, before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from kspike.components import geometry
from kspike.components.parts import Neuron
from kspike.config import SpikformerConfig
from kspike.space.parameters import of_neuron, parameters
from kspike.supernet.elastic import Statistics
from kspike.supernet.places import ElasticComponent, ElasticPlace, Pass
from kspike.supernet.view import SlicedView, largest_sizes


def check_made(supernet: Any, largest: SpikformerConfig) -> None:
    """Compares a supernet with the closed form, at the largest sizes, and every component's forward with its shape.

    Args:
        supernet: a `Supernet` that is built.
        largest: its space's largest network.

    Raises:
        ValueError: trainable numbers that differ, or another shape: where, and which component.
    """
    shaped = set()
    for path, place in _places(supernet):
        for component in place.options if isinstance(place, ElasticPlace) else [place]:
            _check_numbers(path, component)
            if component.component not in shaped:  # the same in every block
                shaped.add(component.component)
                _check_shape(path, component, largest)
    width, classes = largest_sizes(supernet.space)["width"], largest.num_classes
    _compare("head", "the classifier", width * classes + classes, _numbers(supernet.head))


def _places(supernet: Any) -> Iterator[tuple[str, Any]]:
    yield "stem", supernet.stem
    for i, block in enumerate(supernet.blocks):
        yield f"block_{i}/attention", block.attention
        yield f"block_{i}/mlp", block.mlp


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
