"""Selection: ranks candidates, best first. Feasible before infeasible, infeasible by how little they violate."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from kspike.tuners.engine.candidate import Candidate
from kspike.tuners.engine.evolution import pareto

#: The objectives of the Pareto front, and which way each is better.
OBJECTIVES = (("accuracy", "max"), ("energy_mj", "min"), ("parameters", "min"))


def points(candidates: Sequence[Candidate], objectives: Sequence[tuple[str, str]] = OBJECTIVES) -> np.ndarray:
    """Objective values (n, d), turned so that less is better; what was not measured counts as worst."""
    rows = [[(-1 if way == "max" else 1) * c.metrics.get(name, np.nan) for name, way in objectives] for c in candidates]
    return np.nan_to_num(np.array(rows, dtype=float).reshape(-1, len(objectives)), nan=np.inf)


def front(candidates: Sequence[Candidate], objectives: Sequence[tuple[str, str]] = OBJECTIVES) -> list[Candidate]:
    """The feasible candidates that no other feasible one dominates, by falling first objective."""
    feasible = [c for c in candidates if c.feasible]
    if not feasible:
        return []
    values = points(feasible, objectives)
    first = pareto.fronts(values)[0]
    order = sorted(first, key=lambda i: (*values[i], feasible[i].number))
    return [feasible[i] for i in order]


def _behind(candidates: Sequence[Candidate]) -> list[Candidate]:
    outside = [c for c in candidates if c.completed and c.violation > 0]
    return sorted(outside, key=lambda c: (c.violation, -c.fitness, c.number))


@dataclasses.dataclass(frozen=True)
class ByScore:
    """Ranks by the objective (Auto-Spikformer's way); the earlier trial first where scores are equal."""

    def __call__(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Returns the completed candidates, best first."""
        feasible = sorted((c for c in candidates if c.feasible), key=lambda c: (-c.fitness, c.number))
        return feasible + _behind(candidates)


@dataclasses.dataclass(frozen=True)
class NSGA2:
    """Ranks by front, and within a front by crowding distance (Deb et al. 2002, NSGA-II).

    Args:
        objectives: pairs of metric name and "max" or "min".
    """

    objectives: tuple[tuple[str, str], ...] = OBJECTIVES

    def __post_init__(self) -> None:
        for pair in self.objectives:
            if len(pair) != 2 or pair[1] not in ("max", "min"):
                raise ValueError(f"objectives must be pairs such as ('energy_mj', 'min'), got {pair!r}.")

    def __call__(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Returns the completed candidates, best first."""
        feasible = [c for c in candidates if c.feasible]
        values = points(feasible, self.objectives)
        ranked: list[Candidate] = []
        for members in pareto.fronts(values):
            distance = pareto.crowding(values[members])
            order = sorted(range(len(members)), key=lambda i: (-distance[i], feasible[members[i]].number))
            ranked += [feasible[members[i]] for i in order]
        return ranked + _behind(candidates)
