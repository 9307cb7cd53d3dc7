"""A search space of which some networks alone are known: searches run on it as on the whole one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from kspike.space import Genome, SearchSpace


class Listed(SearchSpace):
    """Hands out the networks of a list, and no others.

    Drawn at random, each is as likely. What an operator makes of its parents is replaced by the nearest network of the
    list that is not in `taken`; of equally near ones the first. Distance is summed over the places of a genome: 0 for
    the same value, 1 for another word, or where one network has a use for the gene and the other has none, and
    |i - j| / (k - 1) for choices i and j of k numbers.

    Attributes:
        listed: the networks.
        taken: positions in the list that operators no longer get.
    """

    listed: list[Genome]
    taken: set[int]

    @classmethod
    def of(cls, space: SearchSpace, genomes: Sequence[Genome]) -> Listed:
        """The space cut down to these networks.

        Raises:
            ValueError: a network twice, or none.
        """
        found = cls.__new__(cls)
        found.__dict__.update(space.__dict__)  # the same space, which was checked when it was made
        found.listed = [Genome(found, genome.indices) for genome in genomes]
        if not genomes or len(set(found.listed)) < len(genomes):
            raise ValueError(f"A list of {space.name} needs at least one network, each once; got {len(genomes)}.")
        found.taken = set()
        found._places = np.array([genome.expressed for genome in found.listed])
        found._words = np.array([slot.gene.word for slot in found.slots])
        return found

    def nearest(self, genome: Genome) -> int:
        """The position of the nearest network that is not taken; of the first where all are."""
        there = np.array(genome.expressed)
        steps = np.abs(self._places - there) / np.maximum(1, self.cardinalities - 1)
        apart = self._words | (self._places < 0) | (there < 0)
        distance = np.where(apart, self._places != there, steps).sum(1)
        distance[list(self.taken)] = np.inf
        return int(distance.argmin())

    def decode(self, indices: Sequence[int] | np.ndarray) -> Genome:
        """The nearest network that is not taken, of genes that an operator put together."""
        return self.listed[self.nearest(super().decode(indices))]

    def sample(self, seed: int | None = None, rng: np.random.Generator | None = None) -> Genome:
        """Draws a network of the list."""
        rng = np.random.default_rng(seed) if rng is None else rng
        return self.listed[rng.integers(len(self.listed))]

    def size(self) -> int:
        """Networks in the list."""
        return len(self.listed)

    def genomes(self) -> Iterator[Genome]:
        """Walks through the list."""
        yield from self.listed
