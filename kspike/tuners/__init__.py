"""Architecture search, with a supernet or without training: as KerasTuner tuners and as a plain engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kspike._lazy import attributes
from kspike.space import Genome, SearchSpace
from kspike.tuners.engine import NSGA2, ByScore, Candidate, Constraints, Crossover, Evolution, Mutation

if TYPE_CHECKING:
    from kspike.tuners import constraints, scores
    from kspike.tuners.evolution.oracle import EvolutionSearchOracle
    from kspike.tuners.evolution.tuner import EvolutionSearch
    from kspike.tuners.hypermodel import SpikformerHyperModel
    from kspike.tuners.latency import Latency
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
    "Latency": "latency",
    "constraints": "",
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
    "Latency",
    "Mutation",
    "SearchSpace",
    "SpikformerHyperModel",
    "ZeroCostSearch",
    "ZeroCostSearchOracle",
    "constraints",
    "scores",
]

__getattr__, __dir__ = attributes(__name__, _LAZY, __all__)
