"""Architecture search, with a supernet or without training: as KerasTuner tuners and as a plain engine."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from kspike.space import Genome, SearchSpace
from kspike.tuners.engine import NSGA2, ByScore, Candidate, Constraints, Crossover, Evolution, Mutation

if TYPE_CHECKING:
    from kspike.tuners import scores
    from kspike.tuners.evolution.oracle import EvolutionSearchOracle
    from kspike.tuners.evolution.tuner import EvolutionSearch
    from kspike.tuners.hypermodel import SpikformerHyperModel
    from kspike.tuners.objectives import AEB, FunctionObjective
    from kspike.tuners.zero_cost.oracle import ZeroCostSearchOracle
    from kspike.tuners.zero_cost.tuner import ZeroCostSearch

#: Names whose modules import keras_tuner, which the engine does without.
_LAZY = {
    "AEB": "objectives",
    "EvolutionSearch": "tuner",
    "EvolutionSearchOracle": "oracle",
    "FunctionObjective": "objectives",
    "SpikformerHyperModel": "hypermodel",
    "ZeroCostSearch": "tuner_zero_cost",
    "ZeroCostSearchOracle": "oracle_zero_cost",
}

__all__ = [
    "AEB",
    "NSGA2",
    "ByScore",
    "Candidate",
    "Constraints",
    "Crossover",
    "Evolution",
    "EvolutionSearch",
    "EvolutionSearchOracle",
    "FunctionObjective",
    "Genome",
    "Mutation",
    "SearchSpace",
    "SpikformerHyperModel",
    "ZeroCostSearch",
    "ZeroCostSearchOracle",
    "scores",
]


def __getattr__(name: str) -> Any:
    if name == "scores":  # builds networks, which the engine does without
        return importlib.import_module("kspike.tuners.scores")
    if name not in _LAZY:
        raise AttributeError(f"module 'kspike.tuners' has no attribute {name!r}; public names: {', '.join(__all__)}")
    value = getattr(importlib.import_module(f"kspike.tuners.{_LAZY[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
