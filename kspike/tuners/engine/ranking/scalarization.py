"""Scalarization: one fitness out of a score and the expected energy of each network of a shortlist."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from kspike._registry import nearest
from kspike.tuners.engine.evolution import pareto

FITNESSES = ("normalised", "autost")


@dataclasses.dataclass(frozen=True)
class Scalarization:
    """Gives every network of a shortlist a fitness, the larger the better.

    Without an `energy_weight`, by the Pareto front of (score, energy): front after front, within one by the score. Else

        normalised   fitness = (1 - w) n(score) + w (1 - n(energy))       n: 0 at the shortlist's least, 1 at its most
        autost       fitness = score / 1e9 + ld / energy                  energy in millijoules

    "autost" is the released fitness of AutoST, GFLOPs + ld / energy (its energy's unit is not known: its code is not
    public; its default ld is 0). It trades nothing off: where energy is about c F for FLOPs F, F + ld / (c F) is convex
    in F, so its largest value lies at an end of the range of F, whatever ld is.

    Args:
        energy_weight: w, from 0 (the score alone) to 1 (the energy alone), or None.
        fitness: "normalised" or "autost".
        ld: AutoST's lambda, at least 0; for "autost" alone.

    Example:
        >>> Scalarization(energy_weight=0.5)([1.0, 2.0, 3.0], [1.0, 1.5, 5.0]).round(4).tolist()
        [0.5, 0.6875, 0.5]
    """

    energy_weight: float | None = None
    fitness: str = "normalised"
    ld: float = 0.0

    def __post_init__(self) -> None:
        if self.fitness not in FITNESSES:
            raise ValueError(
                f"fitness must be one of {FITNESSES}, got {self.fitness!r}{nearest(self.fitness, FITNESSES)}."
            )
        w = self.energy_weight
        if w is not None and (isinstance(w, bool) or not hasattr(w, "__float__") or not 0 <= float(w) <= 1):
            raise ValueError(f"energy_weight must be a number from 0 to 1, or None for the Pareto front, got {w!r}.")
        if isinstance(self.ld, bool) or not hasattr(self.ld, "__float__") or not 0 <= float(self.ld) < math.inf:
            raise ValueError(f"ld must be a finite number of at least 0, got {self.ld!r}.")
        if self.fitness == "autost" and w is not None:
            raise ValueError("fitness='autost' weighs energy by ld; leave energy_weight out.")
        if self.fitness != "autost" and self.ld:
            raise ValueError(f"ld={self.ld!r} is AutoST's weight; give fitness='autost' with it.")

    @property
    def needs_energy(self) -> bool:
        """Whether there is no fitness without an energy."""
        return bool(self.ld) or bool(self.energy_weight)

    def __call__(self, scores: Sequence[float], energies: Sequence[float] | None) -> np.ndarray:
        """Fitness of each network.

        Args:
            scores: the more the better.
            energies: millijoules of one image; None where they were not measured.
        """
        score = np.asarray(scores, float)
        if energies is None:
            return score
        energy = np.asarray(energies, float)
        if self.fitness == "autost":
            return score / 1e9 + self.ld / energy
        if self.energy_weight is not None:
            return (1 - self.energy_weight) * _scaled(score) + self.energy_weight * (1 - _scaled(energy))
        places = [
            i
            for members in pareto.fronts(np.stack([-score, energy], axis=1))
            for i in sorted(members, key=lambda i: -score[i])
        ]
        fitness = np.empty(len(places))
        fitness[places] = 1 - np.arange(len(places)) / len(places)
        return fitness


def _scaled(values: np.ndarray) -> np.ndarray:
    spread = values.max() - values.min()
    return (values - values.min()) / spread if spread > 0 else np.zeros_like(values)
