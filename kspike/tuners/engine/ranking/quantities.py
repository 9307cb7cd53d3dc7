"""Quantities: exact counts that add up over the blocks of a network, which is what lets a whole space be ranked."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import numpy as np

from kspike import cost
from kspike._registry import unknown
from kspike.components import parts
from kspike.cost import Sizes
from kspike.cost.analytic.rows import rows
from kspike.space import SearchSpace

#: Fields of a config that change no count of products, normalised numbers, membranes and pools.
NEURONS = frozenset({"tau", "v_threshold"})


@dataclasses.dataclass(frozen=True)
class Quantity:
    """A whole number that follows from the architecture: a part of the stem and head, and one of each block.

    Args:
        name: how it is called in metrics and constraints.
        count: `Sizes` of n networks -> int64 `(n,)`.
        ignores: fields of `SpikformerConfig` that never change it, but for components that have other parts than
            attention of these sizes (see `ignored`). Any other gene is taken to, which is always right and
            only slower.
    """

    name: str
    count: Callable[[Sizes], np.ndarray]
    ignores: frozenset[str]

    def ignored(self, space: SearchSpace) -> frozenset[str]:
        """Those of `ignores` that change nothing in a space.

        Heads divide attention's products and change no other count, unless a component has other parts of that size;
        and attention does not see the MLP's hidden channels, unless a component attends over them.
        """
        found, network = self.ignores, space.base.network
        for role, block in itertools.product(("mixer", "mlp"), range(space.max_depth)):
            for made in space.components(role, block):
                for part in made.declared(network).values():
                    named = {parts.split(size)[0] for size in part.sizes}
                    attends = isinstance(part, parts.MatMul)
                    if "heads" in named and not attends:
                        found -= {"num_heads"}
                    if "hidden" in named and attends:
                        found -= {"mlp_ratio"}
        return found


def attention_operations(sizes: Sizes) -> np.ndarray:
    """Operations of attention as K^T V, then Q (K^T V), one image, all steps: 2 T N D sum(D / heads).

    Half of it for each product of two activations that a mixer has; a mixer without any adds nothing.
    """
    products = [row for row in rows(sizes) if row.kind == "attention"]
    return sum((row.steps * row.elements * row.head_dim for row in products), np.zeros(len(sizes), np.int64))


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
