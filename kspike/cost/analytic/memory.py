"""The memory of a network in closed form: its weights, and the largest activations that stand side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from kspike.components import geometry
from kspike.components.parts import Conv, Dense, DepthwiseConv, MatMul, Norm, number_of
from kspike.config import SpikformerConfig
from kspike.cost.analytic.counting import parameters
from kspike.cost.analytic.table import as_config

#: Bytes of a float32.
BYTES = 4


def memory_mb(config: Any) -> float:
    """Megabytes (10^6 bytes) that inference of one image takes in float32, without building the network.

        memory_mb = 4 bytes * (weights + activations) / 10^6
        weights = trainable parameters + moving mean and variance of every normalisation
        activations = T * max over products of (numbers in + numbers out)

    All time steps of an image run at once, layer by layer, so that a layer's input and output stand side by side, over
    all T. Of attention q, k, v and what it gives stand side by side. Not counted: the shortcut that a block keeps
    meanwhile, potentials (one time step of a layer), what a backend lays out on the way (q k^T, padding), the runtime
    itself. A batch of n images has n times the activations. So it compares networks; it is no measurement of a process.

    Args:
        config: a `SpikformerConfig`, a genome, or a `Spikformer`.

    Example:
        >>> import kspike
        >>> round(kspike.cost.memory_mb(kspike.SpikformerConfig()), 1)
        38.1
    """
    config = as_config(config)
    return BYTES * (weights(config) + activations(config)) / 1e6


def weights(config: SpikformerConfig) -> int:
    """Numbers that a network keeps: trainable ones, and the statistics of its normalisations."""
    statistics = sum(
        2 * part.copies * number_of(at.sizes, part.channels)
        for at in config.standing
        for part in at.declared.values()
        if isinstance(part, Norm)
    )
    return int(parameters(config)) + statistics


def activations(config: SpikformerConfig) -> int:
    """Numbers in and out of the product that has the most, of one image over all time steps."""
    most = config.widths[-1] + config.num_classes
    for at in config.standing:
        where = geometry.grids(at.declared, at.grid)
        for name, part in at.declared.items():
            before, after = (math.prod(grid) for grid in where[name])
            most = max(most, _around(part, at.sizes, before, after))
    return config.timesteps * most


def _around(part: Any, sizes: Mapping[str, int], before: int, after: int) -> int:
    """Numbers in and out of a product in one time step; 0 of what is no product."""
    if isinstance(part, MatMul):  # own and other: of q and k, and of v and what comes out
        return 2 * (number_of(sizes, part.own) + number_of(sizes, part.other)) * after
    if not isinstance(part, (Dense, Conv, DepthwiseConv)):
        return 0
    given = number_of(sizes, part.sizes[-1]) * getattr(part, "copies", 1)
    return number_of(sizes, part.sizes[0]) * before + given * after
