"""Operators: make one genome out of others. Each takes its random generator, does no I/O and changes no input."""

from __future__ import annotations

import dataclasses

import numpy as np

from kspike.space import Genome


def check_rate(value: float, name: str) -> None:
    """Refuses what is no probability."""
    if isinstance(value, bool) or not hasattr(value, "__float__") or not 0 <= float(value) <= 1:
        raise ValueError(f"{name} must be a probability from 0 to 1, got {value!r}.")


@dataclasses.dataclass(frozen=True)
class Mutation:
    """Draws some genes of one parent anew, uniformly (the old value may come again).

    Block genes are drawn in every block of the maximum depth, expressed or not, so a child that grows deeper has values
    there. The rates are Auto-Spikformer's (search.py, m_prob and s_prob).

    Args:
        rate: probability of a block gene, in each block, and of the stem's neuron genes.
        structural_rate: probability of depth, width, stem widths and time steps.
    """

    rate: float = 0.2
    structural_rate: float = 0.4

    def __post_init__(self) -> None:
        check_rate(self.rate, "rate")
        check_rate(self.structural_rate, "structural_rate")

    def __call__(self, parent: Genome, rng: np.random.Generator) -> Genome:
        """Returns a changed copy of `parent`."""
        space = parent.space
        rates = np.array([self.structural_rate if slot.gene.structural else self.rate for slot in space.slots])
        drawn = rng.integers(0, space.cardinalities)
        changed = rng.random(len(rates)) < rates
        return space.decode(np.where(changed, drawn, parent.indices))


@dataclasses.dataclass(frozen=True)
class Crossover:
    """Takes every gene from one of two parents, by a coin flip a gene and block.

    Both parents hold values for the maximum depth, so parents of different depth need no special case.
    """

    def __call__(self, first: Genome, second: Genome, rng: np.random.Generator) -> Genome:
        """Returns a child of both."""
        coins = rng.random(len(first.indices)) < 0.5
        return first.space.decode(np.where(coins, first.indices, second.indices))
