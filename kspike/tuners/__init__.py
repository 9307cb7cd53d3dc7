"""Architecture search, with a supernet or without training: as KerasTuner tuners and as a plain engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kspike._lazy import attributes
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

#: Names whose modules import keras_tuner or build networks, which the engine does without.
_LAZY = {
    "AEB": "objectives",
    "EvolutionSearch": "evolution.tuner",
    "EvolutionSearchOracle": "evolution.oracle",
    "FunctionObjective": "objectives",
    "SpikformerHyperModel": "hypermodel",
    "ZeroCostSearch": "zero_cost.tuner",
    "ZeroCostSearchOracle": "zero_cost.oracle",
    "scores": "",
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

__getattr__, __dir__ = attributes(__name__, _LAZY, __all__)
