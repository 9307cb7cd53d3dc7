"""Sample: random networks of a space with too many costs to enumerate, behind the interface of `CostCells`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from kspike.cost import Sizes
from kspike.space import Genome, SearchSpace
from kspike.tuners.engine.ranking.quantities import quantity

#: How many networks are drawn.
DRAWN = 100_000


class Sample:
    """Holds the counts of networks drawn uniformly; each network is a cell of its own, as `CostCells` has cells.

    A network that is drawn twice is kept once.

    Args:
        space: any `SearchSpace`.
        names: quantities that are counted.
        seed: of the draw.

    Attributes:
        values: quantity -> int64 `(networks,)`.
        counts: 1 for each network.

    Example:
        >>> sample = Sample(SearchSpace.load("autost_small"), ("parameters",), seed=0)
        >>> len(sample.counts) == len(sample.values["parameters"])
        True
    """

    def __init__(self, space: SearchSpace, names: Sequence[str], seed: int) -> None:
        self.space = space
        rng = np.random.default_rng(seed)
        drawn = rng.integers(0, space.cardinalities, (DRAWN, len(space.slots)), dtype=np.int32)
        self._indices = np.unique(_expressed(space, drawn), axis=0)
        sizes = Sizes.of_space(space, self._indices)
        self.values = {name: np.asarray(quantity(name).count(sizes), np.int64) for name in names}
        self.counts = [1] * len(self._indices)

    def genomes(self, cell: int) -> Iterator[Genome]:
        """The network."""
        yield self.space.decode(self._indices[cell])


def _expressed(space: SearchSpace, indices: np.ndarray) -> np.ndarray:
    """The first choice in every block beyond a network's depth, so that equal networks have equal rows."""
    depth = next((i for i, slot in enumerate(space.slots) if slot.name == "depth"), None)
    if depth is None:
        return indices
    depths = np.array(space.slots[depth].gene.choices)[indices[:, depth]]
    blocks = np.array([-1 if slot.block is None else slot.block for slot in space.slots])
    return np.where(blocks[None] < depths[:, None], indices, 0)
