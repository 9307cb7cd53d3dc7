"""Objectives: turn the metrics of a candidate into one number to search by."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import keras_tuner

from kspike._registry import nearest, unknown
from kspike.tuners.engine.of_network import NoNumber, as_number

#: Metrics that every evaluation gives, and which way each is better.
DIRECTIONS = {
    "accuracy": "max",
    "energy_mj": "min",
    "parameters": "min",
    "flops": "min",
    "timesteps": "min",
}


#: What every evaluation gives, in all: no objective may go by one of these names and be something else.
_GIVEN = (*DIRECTIONS, "latency_ms", "loss", "seconds", "silent_layers")


class AEB(keras_tuner.Objective):
    """Balances accuracy and energy: score = accuracy * (energy / reference)^(-beta), to be maximised.

    The energy is measured on real images; the reference is that of the space's largest network, measured once at the
    start of a search and recorded with it. It only fixes the scale: no reference changes the ranking.

    This formula is ours. Auto-Spikformer names its fitness AEB (accuracy and energy balanced), but its papers could not
    be read and its code has no such term; the form is that of AutoSNN's published search. A larger beta pays more
    accuracy for energy: at 0.02 half the energy is worth about 1.2 points, at AutoSNN's 0.08 a fifth of the energy
    is worth 11 points, which rewards collapsed networks.

    Args:
        beta: exponent of the energy, from 0 (accuracy alone) up.
        name: name of the score in reports.

    Example:
        >>> from kspike.tuners import AEB
        >>> round(AEB(beta=0.02).value({"accuracy": 0.9, "energy_mj": 0.05}, {"energy_mj": 0.1}), 4)
        0.9126
    """

    def __init__(self, beta: float = 0.02, name: str = "aeb") -> None:
        if isinstance(beta, bool) or not hasattr(beta, "__float__") or not 0 <= float(beta) < math.inf:
            raise ValueError(f"beta must be a finite number of at least 0, got {beta!r}.")
        super().__init__(name=name, direction="max")
        self.beta = float(beta)

    def value(self, metrics: Mapping[str, float], reference: Mapping[str, float]) -> float:
        """The score of a candidate's metrics.

        A network that never fires costs nearly nothing; where the convention charges it exactly nothing, its energy is
        taken as a millionth of the reference, so that zero does not become an infinite score.
        """
        energy = max(metrics["energy_mj"] / reference["energy_mj"], 1e-6)
        return metrics["accuracy"] * energy**-self.beta

    def describe(self) -> dict[str, Any]:
        """Plain JSON values that tell this objective from another."""
        return {"name": self.name, "direction": self.direction, "beta": self.beta}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AEB) and self.describe() == other.describe()

    def __hash__(self) -> int:
        return hash((self.name, self.beta))

    def __str__(self) -> str:
        return f"AEB(beta={self.beta:g})"


class FunctionObjective(keras_tuner.Objective):
    """Scores by any function of a candidate's metrics.

    Args:
        function: takes the metrics (accuracy, energy_mj, parameters, flops, timesteps, ...) and the same of the space's
            largest network, returns a number.
        direction: "max" or "min".
        name: name of the score; it tells one project from another, so name different functions differently.

    Raises:
        ValueError: it is no function, another direction, or the name of a metric.

    Example:
        >>> from kspike.tuners import FunctionObjective
        >>> FunctionObjective(lambda m, largest: m["accuracy"] - m["parameters"] / 1e8, "max", "small").name
        'small'
    """

    def __init__(self, function: Callable[[Mapping, Mapping], float], direction: str, name: str = "objective") -> None:
        if direction not in ("max", "min"):
            raise ValueError(f"direction must be 'max' or 'min', got {direction!r}.")
        if not callable(function):
            raise ValueError(f"Expected a function of metrics and those of the largest network, got {function!r}.")
        if not isinstance(name, str) or not name or name in _GIVEN:
            raise ValueError(f"The name of an objective must be a text other than {', '.join(_GIVEN)}, got {name!r}.")
        super().__init__(name=name, direction=direction)
        self.function = function

    def value(self, metrics: Mapping[str, float], reference: Mapping[str, float]) -> float:
        """The function's value.

        Raises:
            TypeError: it gave no number.
        """
        try:
            return as_number(self.function(metrics, reference), f"The objective {self.name} must return a number")
        except NoNumber as error:
            raise TypeError(str(error)) from None  # a mistake in code, which ends a search: no bad candidate


def resolve(objective: Any) -> keras_tuner.Objective:
    """Resolves an `objective=` argument: an objective, the name of a metric, or None for `AEB()`.

    Raises:
        ValueError: an unknown metric, or a list (KerasTuner would add accuracy and energy up without weights).
    """
    if objective is None:
        return AEB()
    if isinstance(objective, keras_tuner.Objective):
        if not hasattr(objective, "value") and objective.name not in DIRECTIONS:
            raise ValueError(
                f"No evaluation gives the metric {objective.name!r}{nearest(objective.name, list(DIRECTIONS))}; "
                f"known: {', '.join(DIRECTIONS)}. For a function of them, use kspike.tuners.FunctionObjective."
            )
        return objective
    if isinstance(objective, (list, tuple)):
        raise ValueError(
            "Give one objective: KerasTuner adds several up without weights, which is meaningless for accuracy and "
            "millijoules. Use kspike.tuners.AEB, a FunctionObjective, or selection=kspike.tuners.NSGA2() for a front."
        )
    if objective == "aeb":
        return AEB()
    if objective not in DIRECTIONS:
        known = [*DIRECTIONS, "aeb"]
        raise unknown("objective", objective, known)
    return keras_tuner.Objective(objective, DIRECTIONS[objective])


def describe(objective: keras_tuner.Objective) -> dict[str, Any]:
    """Plain JSON values that tell one objective from another."""
    if hasattr(objective, "describe"):
        return objective.describe()
    return {"name": objective.name, "direction": objective.direction}


def value(objective: keras_tuner.Objective, metrics: Mapping[str, float], reference: Mapping[str, float]) -> float:
    """The score of metrics under an objective."""
    return objective.value(metrics, reference) if hasattr(objective, "value") else metrics[objective.name]
