"""Archive: every candidate ever evaluated, in the order of their numbers, whatever the order in which they came in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from kspike.space import Genome
from kspike.tuners.engine.candidate import Candidate
from kspike.tuners.engine.evolution import pareto
from kspike.tuners.engine.evolution.selection import OBJECTIVES, front, points


class Archive:
    """Holds candidates: which genomes were evaluated, and which form the Pareto front.

    Args:
        candidates: candidates to start with.
    """

    def __init__(self, candidates: Iterable[Candidate] = ()) -> None:
        self._by_number = {c.number: c for c in candidates}

    def add(self, candidate: Candidate) -> None:
        """Records a candidate; one that is there already stays as it is."""
        self._by_number.setdefault(candidate.number, candidate)

    def __contains__(self, number: object) -> bool:
        return number in self._by_number

    def __getitem__(self, number: int) -> Candidate:
        return self._by_number[number]

    def __iter__(self) -> Iterator[Candidate]:
        return iter([self._by_number[number] for number in sorted(self._by_number)])

    def __len__(self) -> int:
        return len(self._by_number)

    def genomes(self) -> set[Genome]:
        """Everything evaluated; a genome that expresses the same network is the same."""
        return {c.genome for c in self}

    def until(self, generation: int) -> list[Candidate]:
        """Candidates of all generations up to and with this one."""
        return [c for c in self if c.generation <= generation]

    def front(self, generation: int | None = None) -> list[Candidate]:
        """The Pareto front over accuracy, energy and parameters, highest accuracy first."""
        return front(list(self) if generation is None else self.until(generation))


def hypervolume(candidates: Sequence[Candidate], energy_mj: float, parameters: float) -> float:
    """Share of the box (accuracy to 1, energy and parameters to the largest network's) that candidates dominate."""
    found = points(front(candidates))
    if not len(found):
        return 0.0
    scaled = (found + np.array([1.0, 0.0, 0.0])) / np.array([1.0, energy_mj, parameters])
    return pareto.hypervolume(scaled, np.ones(len(OBJECTIVES)))
