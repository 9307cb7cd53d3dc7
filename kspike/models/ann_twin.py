"""The ANN twin as a network: the same architecture with ReLU, to be trained and compared."""

from __future__ import annotations

import dataclasses
from typing import Any

from kspike.config import SpikformerConfig
from kspike.models.spikformer import Spikformer

#: What says how neurons fire: nothing of a network without them.
_FIRING = ("tau", "v_threshold", "v_reset", "decay_input", "detach_reset", "surrogate")


def ann_twin(config: Any, **kwargs: Any) -> Spikformer:
    """Gives the same architecture as an ordinary network: ReLU for every neuron, real numbers in attention.

    Products, normalisations, pools, residual sums and head are the network's; each neuron is max(x, 0). There is no
    time: a still image passes once (timesteps=1), and frames pass one by one and meet in the mean before the head.
    Attention multiplies real q, k and v without a softmax, as `kspike.cost.ann_twin` counts it: that function says what
    the twin costs, so that accuracy against energy compares two networks that were trained.

    Args:
        config: a `SpikformerConfig`, or a `Spikformer`.
        **kwargs: as of `Spikformer`: include_top, dtype, name.

    Returns:
        A `Spikformer` of neuron "relu", freshly initialised: it compiles, fits, saves and exports as any other.

    Raises:
        ValueError: something else, or, of still images, a mixer that takes several time steps together (`chunk`).

    Example:
        >>> import kspike
        >>> config = kspike.SpikformerConfig(input_shape=(8, 8, 1), embed_dim=16, depth=1, num_heads=2)
        >>> twin = kspike.models.ann_twin(config)
        >>> twin.config.neuron, twin.config.timesteps, twin.count_params() == kspike.Spikformer(config).count_params()
        ('relu', 1, True)
    """
    config = config.config if isinstance(config, Spikformer) else config
    if not isinstance(config, SpikformerConfig):
        raise ValueError(f"ann_twin expects a SpikformerConfig or a Spikformer, got {type(config).__name__}.")
    steps = max(made.together for branches in config.blocks for made in branches.values())
    if steps > 1 and not config.has_time:
        raise ValueError(
            f"ann_twin expects mixers that take one time step at a time: of a still image the twin has one step, and a "
            f"mixer of this network takes {steps} together (its chunk)."
        )
    fresh = {field.name: field.default for field in dataclasses.fields(SpikformerConfig) if field.name in _FIRING}
    timesteps = {} if config.has_time else {"timesteps": 1}
    return Spikformer(config.replace(neuron="relu", **timesteps, **fresh), **kwargs)
