"""The search engine: population, operators, ranking, archive, journal; plain Python, without KerasTuner."""

from kspike.tuners.engine.archive import Archive
from kspike.tuners.engine.candidate import Candidate, Proposal
from kspike.tuners.engine.constraints import Constraints
from kspike.tuners.engine.evolution.evolution import Evolution
from kspike.tuners.engine.evolution.operators import Crossover, Mutation
from kspike.tuners.engine.evolution.selection import NSGA2, ByScore
from kspike.tuners.engine.journal import Journal
from kspike.tuners.engine.state import SearchState

__all__ = [
    "NSGA2",
    "Archive",
    "ByScore",
    "Candidate",
    "Constraints",
    "Crossover",
    "Evolution",
    "Journal",
    "Mutation",
    "Proposal",
    "SearchState",
]
