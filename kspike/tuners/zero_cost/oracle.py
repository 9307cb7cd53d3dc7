"""ZeroCostSearchOracle: the exact ranking of a space as a KerasTuner Oracle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras_tuner

from kspike.space import SearchSpace
from kspike.tuners import objectives
from kspike.tuners.engine import Constraints
from kspike.tuners.engine.ranking.ranked_trials import RankedTrials
from kspike.tuners.engine.ranking.ranking import Ranking
from kspike.tuners.evolution.oracle import EvolutionSearchOracle

#: What a trial of `ZeroCostSearch` reports.
FITNESS = keras_tuner.Objective("fitness", "max")


class ZeroCostSearchOracle(EvolutionSearchOracle):
    """Proposes the best Spikformers of a whole space by operations or parameters, best first; nothing is built for it.

    All trials are one generation, known from the start, so any number of workers may take them. The journal, the
    fingerprint and the workarounds for KerasTuner's faults are those of `EvolutionSearchOracle`.

    Given to a `keras_tuner.Tuner` with `SpikformerHyperModel`, it has the top of the ranking trained.

    Args:
        space: a `SearchSpace`, the name of a published one, or a JSON file.
        score: "flops" (AutoST's) or "params"; the more the better.
        constraints: quantity -> (lower, upper), None for an open side: "parameters", "flops", "timesteps", "memory_mb",
            and plain functions of a `SpikformerConfig` as keys.
            "nir": True and "integer": True take from the space what .nir files cannot say, and what needs more than
            int8 weights, additions and shifts.
        max_trials: how many networks are proposed.
        tie_break: what ranks networks of equal score: "attention", "params" or "flops" (fewer first), or None.
        objective: what trials report: an objective, or the name of a metric; None is the fitness of `ZeroCostSearch`.
        per_cost: at most so many networks of the same parameters, FLOPs and time steps; None for all.
        seed: of the sample that is ranked where a space has too many costs to be enumerated.
        lease: seconds after which a silent worker counts as dead.

    Example:
        >>> from kspike.tuners import ZeroCostSearchOracle
        >>> oracle = ZeroCostSearchOracle("autost_small", constraints={"parameters": (11e6, 12e6)})
        >>> oracle.ranking.standings.networks
        238439260
    """

    def __init__(
        self,
        space: Any,
        score: str = "flops",
        constraints: Mapping[Any, Any] | Constraints | None = None,
        max_trials: int = 10,
        tie_break: str | None = "attention",
        objective: Any = None,
        per_cost: int | None = None,
        seed: int = 0,
        lease: float = 3600.0,
    ) -> None:
        bounds = Constraints.of(constraints)
        ranking = Ranking(bounds.narrowed(SearchSpace.load(space)), score, tie_break, bounds, seed, per_cost)
        if isinstance(objective, str) and objective in objectives.DIRECTIONS:
            objective = objectives.resolve(objective)
        #: Further settings that tell one project from another.
        self.settings: dict[str, Any] = {}
        trials = RankedTrials(ranking, max_trials)
        self._start(trials, FITNESS if objective is None else objective, lease)

    @property
    def ranking(self) -> Ranking:
        """The ranking that trials come from."""
        return self.evolution.ranking

    def _fingerprint(self) -> dict[str, Any]:
        return {**self.evolution.describe(), "objective": objectives.describe(self.objective), **self.settings}
