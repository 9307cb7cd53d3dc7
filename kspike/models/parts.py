"""Inference of a large batch, a part of it after the other, where the backend is faster so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import keras

from kspike._types import Array, Images
from kspike.config import SpikformerConfig
from kspike.layers.norm import watched
from kspike.ops import by_parts


def infer(
    model: keras.Model,
    config: SpikformerConfig,
    dtype: str,
    forward: Callable[[Images], Annotated[Array, "batch outputs"]],
    images: Images,
) -> Annotated[Array, "batch outputs"]:
    """forward(images), at inference: by parts of the batch, unless somebody looks at, or adds up, whole batches.

    At inference images do not see each other. `config` is the network that `forward` runs, in `dtype`.
    """
    if not all(indifferent(layer) for layer in model._flatten_layers(include_self=False)):
        return forward(images)
    return by_parts(forward, images, largest(config), dtype)


def indifferent(layer: keras.layers.Layer) -> bool:
    """Whether it makes no difference to a layer, and to those who listen to it, how many images come at once."""
    return not watched(layer) and getattr(layer, "listener", None) is None and layer.activity_regularizer is None


def largest(config: SpikformerConfig) -> int:
    """How many numbers the largest tensor inside the network holds for one image, over all its time steps."""
    stages = zip(config.stage_sizes, config.stage_channels, strict=True)
    stem = max(height * width * channels for (height, width), channels in stages)
    blocks = config.tokens * max(3 * config.embed_dim, *config.hidden_dims, 0)
    return config.timesteps * max(stem, blocks)
