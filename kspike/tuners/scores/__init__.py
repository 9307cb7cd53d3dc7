"""Training-free scores: predict the quality of an untrained network; by name and behind one interface."""

from kspike.tuners.scores.base import Score
from kspike.tuners.scores.evaluating import Value, evaluate
from kspike.tuners.scores.functions import FunctionScore
from kspike.tuners.scores.registry import get, names, register

__all__ = ["FunctionScore", "Score", "Value", "evaluate", "get", "names", "register"]
