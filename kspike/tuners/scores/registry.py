"""Scores by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kspike._registry import Registry
from kspike.tuners.engine.of_network import free_name
from kspike.tuners.scores.base import Score
from kspike.tuners.scores.counts import Flops, Params
from kspike.tuners.scores.energy import Energy, Synops
from kspike.tuners.scores.functions import FunctionScore
from kspike.tuners.scores.grad_norm import GradNorm
from kspike.tuners.scores.naswot import Naswot
from kspike.tuners.scores.synflow import Synflow

_OURS = (Params, Flops, Synflow, Naswot, GradNorm, Synops, Energy)


def _check(score: Score) -> None:
    if not isinstance(score, Score):
        raise ValueError(f"Expected a kspike.tuners.scores.Score, received {type(score).__name__}.")
    if not getattr(score, "name", "") or not getattr(score, "source", ""):
        raise ValueError("A score needs a name and a source: numbers that nobody can look up are worth nothing.")
    if score.direction not in ("max", "min"):
        raise ValueError(f"The direction of {score.name} must be 'max' or 'min', got {score.direction!r}.")
    if not isinstance(score, _OURS):
        free_name(score.name, "score")


_REGISTRY: Registry[Score] = Registry("score", _check, "; kspike.tuners.scores.register adds one")


def register(score: Score | Callable[[Any], float], *, replace: bool = False) -> Any:
    """Makes a score known by its name, so that searches, the command line and `evaluate` find it; gives it back.

    A plain function of a `SpikformerConfig` is a score by its own name, the more the better (`FunctionScore` says
    otherwise); `register` is then a decorator.

    Raises:
        ValueError: it is no `Score` and no function, lacks a name or a source, results have its name already, or its
            name is another score's (`replace=True` gives it).
    """
    made = get(score) if callable(score) else score
    _check(made)
    _REGISTRY.add(made.name, made, replace=replace)
    return score


def names() -> list[str]:
    """Names of the known scores."""
    return list(_REGISTRY)


def get(score: str | Score | Callable[[Any], float]) -> Score:
    """Finds a score by name; a `Score` passes through, a plain function of a config becomes a `FunctionScore`.

    Raises:
        ValueError: an unknown name; says the known ones and the nearest. Or a score that `register` would refuse.
    """
    if isinstance(score, Score):
        _check(score)
        return score
    return FunctionScore(score) if callable(score) else _REGISTRY.find(score)


for _score in _OURS:
    register(_score())
