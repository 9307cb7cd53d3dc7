"""Quantities: exact counts that add up over the blocks of a network, which is what lets a whole space be ranked."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from kspike import cost
from kspike._registry import unknown
from kspike.components.parts import Conv, Dense, DepthwiseConv, MatMul, Neuron, Norm, Part, Pool, split
from kspike.cost import Sizes
from kspike.cost.analytic.counting import summed
from kspike.space import SearchSpace

#: Fields of a config that change no count of products, normalised numbers, membranes and pools.
NEURONS = frozenset({"tau", "v_threshold"})
#: Field -> the sizes that follow from it alone.
DIMENSIONS = {"num_heads": ("heads",), "mlp_ratio": ("hidden",), "stem_channels": ("stem_0", "stem_1", "stem_2")}


@dataclasses.dataclass(frozen=True)
class Quantity:
    """A whole number that follows from the architecture: a term for stem and head, and one for each block.

    Args:
        name: how it is called in metrics and constraints.
        count: `Sizes` of n networks -> int64 `(n,)`.
        ignores: fields of `SpikformerConfig` that change it at most by the sizes of `parts`. Any other gene is taken to
            change it, which is always right and only slower.
        parts: what of a component it counts (`kspike.components.parts`).
    """

    name: str
    count: Callable[[Sizes], np.ndarray]
    ignores: frozenset[str]
    parts: tuple[type[Part], ...]

    def ignored(self, space: SearchSpace) -> frozenset[str]:
        """Those of `ignores` that change nothing in a space: none of its components' parts has them for a size."""
        sizes = Sizes.of_space(space, np.zeros((0, len(space.slots)), np.int32))  # every choice's declaration
        named = {
            split(size).dimension
            for each in sizes.declared.values()
            for declared in each
            for _, part in declared.parts
            if isinstance(part, self.parts)
            for size in part.sizes
        }
        return self.ignores - {field for field, dimensions in DIMENSIONS.items() if named & set(dimensions)}


def attention_operations(sizes: Sizes) -> np.ndarray:
    """Operations of attention as K^T V, then Q (K^T V), one image, all steps: 2 T N D sum(D / heads)."""
    return summed(sizes, lambda row: row.steps * row.elements * row.head_dim if row.kind == "attention" else 0)


_WEIGHTS = (Dense, Conv, DepthwiseConv, Norm)
QUANTITIES = {
    quantity.name: quantity
    for quantity in (
        Quantity("parameters", cost.parameters, NEURONS | {"num_heads", "timesteps"}, _WEIGHTS),
        Quantity("flops", cost.flops, NEURONS | {"num_heads"}, (*_WEIGHTS, Neuron, Pool)),
        Quantity("timesteps", lambda sizes: sizes.timesteps, NEURONS | {"num_heads", "mlp_ratio", "stem_channels"}, ()),
        Quantity("attention", attention_operations, NEURONS | {"mlp_ratio", "stem_channels"}, (MatMul,)),
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
