"""Inference of a large batch, a part of it after the other, where the backend is faster so."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import keras
import numpy as np

from kspike._types import Array, Images
from kspike.components import geometry
from kspike.components.parts import Conv, Dense, DepthwiseConv, number_of
from kspike.config import SpikformerConfig
from kspike.layers.norm import watched
from kspike.ops import by_parts, parts_of


def infer(
    model: keras.Model, numbers: int, dtype: str, forward: Callable, images: Images
) -> Annotated[Array, "batch outputs"]:
    """forward(images), at inference: by parts of the batch, unless somebody looks at, or adds up, whole batches.

    At inference images do not see each other. `numbers` is `largest` of the network that `forward` runs, in `dtype`.
    """
    if not indifferent(*model._flatten_layers(include_self=False)):
        return forward(images)
    return by_parts(forward, images, numbers, dtype)


def chunks(
    config: SpikformerConfig, dtype: str, images: Annotated[np.ndarray, "batch ..."]
) -> list[Annotated[np.ndarray, "part ..."]]:
    """The parts of a batch that `infer` runs one after the other: what is run on each of them, it runs alike."""
    return np.array_split(images, parts_of(len(images), largest(config), dtype))


def indifferent(*layers: keras.layers.Layer) -> bool:
    """Whether it makes no difference to layers, and to those who listen to them, how many images come at once."""
    return not watched(*layers) and all(
        getattr(layer, "listener", None) is None and layer.activity_regularizer is None for layer in layers
    )


@functools.lru_cache(maxsize=256)
def largest(config: SpikformerConfig) -> int:
    """How many numbers the largest tensor inside the network holds for one image, over all its time steps."""
    found = []
    for at in config.standing:
        where = geometry.grids(at.declared, at.grid)
        found += [_numbers(part, at.sizes) * math.prod(where[name][1]) for name, part in at.declared.items()]
    return config.timesteps * max(found)


def _numbers(part: Any, sizes: Mapping[str, int]) -> int:
    """Numbers of a product's output, for one token or pixel; 0 of what is no product."""
    if not isinstance(part, (Dense, Conv, DepthwiseConv)):
        return 0
    return number_of(sizes, part.sizes[-1]) * getattr(part, "copies", 1)
