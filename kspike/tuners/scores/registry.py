"""Scores by name."""

from __future__ import annotations

from kspike._registry import Registry
from kspike.tuners.scores.base import Score
from kspike.tuners.scores.counts import Flops, Params
from kspike.tuners.scores.energy import Energy, Synops
from kspike.tuners.scores.grad_norm import GradNorm
from kspike.tuners.scores.naswot import Naswot
from kspike.tuners.scores.synflow import Synflow


def _check(score: Score) -> None:
    if not isinstance(score, Score):
        raise ValueError(f"Expected a kspike.tuners.scores.Score, received {type(score).__name__}.")
    if not getattr(score, "name", "") or not getattr(score, "source", ""):
        raise ValueError("A score needs a name and a source: numbers that nobody can look up are worth nothing.")
    if score.direction not in ("max", "min"):
        raise ValueError(f"The direction of {score.name} must be 'max' or 'min', got {score.direction!r}.")


_REGISTRY: Registry[Score] = Registry("score", _check)


def register(score: Score, *, replace: bool = False) -> None:
    """Makes a score known by its name.

    Raises:
        ValueError: it is no `Score`, lacks a name or a source, or its name is taken (`replace=True` gives it).
    """
    _check(score)
    _REGISTRY.add(score.name, score, replace=replace)


def names() -> list[str]:
    """Names of the known scores."""
    return list(_REGISTRY)


def get(score: str | Score) -> Score:
    """Finds a score by name; a `Score` passes through.

    Raises:
        ValueError: an unknown name; says the known ones and the nearest.
    """
    return score if isinstance(score, Score) else _REGISTRY.find(score)


for _score in (Params(), Flops(), Synflow(), Naswot(), GradNorm(), Synops(), Energy()):
    register(_score)
