"""Trainable numbers of a component at given sizes, in closed form: a word's largest and smallest choice."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from kspike.components import parts


def parameters(declared: Mapping[str, parts.Part], sizes: Mapping[str, int], weights: int = 0) -> int:
    """Kernels, biases, gamma and beta, and learned weights of neurons.

    Args:
        declared: parts by name.
        sizes: dimension -> number.
        weights: learned numbers of one group of neurons.
    """
    return sum(_of_part(part, sizes, weights) for part in declared.values())


def _of_part(part: parts.Part, sizes: Mapping[str, int], weights: int) -> int:
    size = functools.partial(parts.number_of, sizes)

    if isinstance(part, parts.Dense):
        return part.copies * size(part.outputs) * (size(part.inputs) + part.bias)
    if isinstance(part, parts.Conv):
        return size(part.outputs) * (part.kernel**2 * size(part.inputs) + part.bias)
    if isinstance(part, parts.DepthwiseConv):
        return size(part.channels) * (part.kernel**2 + part.bias)
    if isinstance(part, parts.Norm):
        return 2 * part.copies * size(part.channels)
    return weights * part.copies if isinstance(part, parts.Neuron) else 0


def of_neuron(neuron: Any) -> int:
    """Learned numbers of one group of neurons."""
    return len(neuron.weights(2.0))
