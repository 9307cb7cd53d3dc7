"""Quantities: exact counts that add up over the blocks of a network, which is what lets a whole space be ranked."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from kspike import cost
from kspike._registry import unknown
from kspike.cost import Sizes

#: Fields of a config that change no count of products, normalised numbers, membranes and pools.
NEURONS = frozenset({"tau", "v_threshold"})


@dataclasses.dataclass(frozen=True)
class Quantity:
    """A whole number that follows from the architecture: a term for stem and head, and one for each block.

    Args:
        name: how it is called in metrics and constraints.
        count: `Sizes` of n networks -> int64 `(n,)`.
        ignores: fields of `SpikformerConfig` that never change it. A field left out here is assumed to change it, which
            is always right, only slower.
    """

    name: str
    count: Callable[[Sizes], np.ndarray]
    ignores: frozenset[str]


def attention_operations(sizes: Sizes) -> np.ndarray:
    """Operations of attention as K^T V, then Q (K^T V), one image, all steps: 2 T N D sum(D / heads)."""
    head_dims = (sizes.embed_dim[:, None] // sizes.heads * sizes.expressed).sum(1)
    return 2 * sizes.timesteps * sizes.tokens * sizes.embed_dim * head_dims


QUANTITIES = {
    quantity.name: quantity
    for quantity in (
        Quantity("parameters", cost.parameters, NEURONS | {"num_heads", "timesteps"}),
        Quantity("flops", cost.flops, NEURONS | {"num_heads"}),
        Quantity("timesteps", lambda sizes: sizes.timesteps, NEURONS | {"num_heads", "mlp_ratio", "stem_channels"}),
        Quantity("attention", attention_operations, NEURONS | {"mlp_ratio", "stem_channels"}),
    )
}


def quantity(name: str) -> Quantity:
    """A quantity by name.

    Raises:
        ValueError: an unknown name.
    """
    if name not in QUANTITIES:
        raise unknown("quantity", name, QUANTITIES)
    return QUANTITIES[name]
