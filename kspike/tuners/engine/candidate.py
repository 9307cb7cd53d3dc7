"""Proposal and Candidate: a genome before and after its evaluation."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from kspike.config import SpikformerConfig
from kspike.space import Genome, SearchSpace


@dataclasses.dataclass(frozen=True)
class Proposal:
    """A genome to be evaluated, and its origin.

    Args:
        number: running number of the trial, from 0.
        generation: generation that it belongs to, from 0 (the random start).
        genome: the genome.
        operator: "random", "mutation" or "crossover".
        parents: numbers of the candidates that it was made from.
    """

    number: int
    generation: int
    genome: Genome
    operator: str = "random"
    parents: tuple[int, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, the genome as indices."""
        return {
            "number": self.number,
            "generation": self.generation,
            "indices": list(self.genome.indices),
            "operator": self.operator,
            "parents": list(self.parents),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], space: SearchSpace) -> Proposal:
        """Reads `to_dict`'s output back."""
        genome = space.decode(data["indices"])
        return cls(data["number"], data["generation"], genome, data["operator"], tuple(data["parents"]))


@dataclasses.dataclass(frozen=True)
class Candidate:
    """An evaluated genome.

    Args:
        proposal: the genome and its origin.
        metrics: accuracy, energy_mj, parameters, flops, timesteps and whatever else was measured.
        score: the objective's value, or None where the evaluation failed.
        fitness: the score turned so that more is better; minus infinity where the evaluation failed.
        violation: how far it lies outside the constraints; 0 inside.
        message: why the evaluation failed, else None.
        seconds: how long the evaluation took; nothing is ever decided by it.
    """

    proposal: Proposal
    metrics: Mapping[str, float]
    score: float | None = None
    fitness: float = -math.inf
    violation: float = 0.0
    message: str | None = None
    seconds: float = 0.0

    @property
    def number(self) -> int:
        """Running number of the trial."""
        return self.proposal.number

    @property
    def generation(self) -> int:
        """Generation that proposed it."""
        return self.proposal.generation

    @property
    def genome(self) -> Genome:
        """The genome."""
        return self.proposal.genome

    @property
    def config(self) -> SpikformerConfig:
        """The network that the genome expresses."""
        return self.genome.to_config()

    @property
    def completed(self) -> bool:
        """Whether the evaluation gave a score."""
        return self.score is not None

    @property
    def feasible(self) -> bool:
        """Whether it completed inside all constraints."""
        return self.completed and self.violation == 0

    @property
    def accuracy(self) -> float:
        """Accuracy with inherited weights on the images that score candidates."""
        return float(self.metrics.get("accuracy", math.nan))

    @property
    def energy_mj(self) -> float:
        """Measured energy of one image over all time steps, in millijoules."""
        return float(self.metrics.get("energy_mj", math.nan))

    @property
    def parameters(self) -> int:
        """Trainable parameters."""
        return int(self.metrics["parameters"])

    @property
    def flops(self) -> int:
        """Operations of one image over all time steps, closed form."""
        return int(self.metrics["flops"])

    def __repr__(self) -> str:
        shown = ", ".join(f"{k}={v:.6g}" for k, v in self.metrics.items())
        return f"Candidate({self.number}: {shown}; {self.genome})"
