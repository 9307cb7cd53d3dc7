"""Evaluates one genome on a supernet (calibrated, then measured) and restores the supernet's state."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import keras_tuner
import numpy as np

from kspike import cost
from kspike.models import Spikformer
from kspike.space import Genome
from kspike.supernet import Supernet
from kspike.supernet.validation import undisturbed
from kspike.tuners.engine.constraints import counted
from kspike.tuners.latency import Latency


@dataclasses.dataclass(frozen=True)
class Evaluator:
    """Turns a genome into metrics: accuracy and energy with inherited weights, and counts from its config.

    Args:
        supernet: trained and compiled.
        calibration: training images, which recompute each network's normalisation statistics, unaugmented.
        scoring: images on which accuracy and energy are measured.
        convention: how energy is charged (`kspike.cost.conventions()`).
        calibration_batches: how many batches calibrate.
        energy_batches: how many batches measure energy.
        latency: measures how long an image takes through the extracted network; None where it is not asked for.
    """

    supernet: Supernet
    calibration: Any
    scoring: Any
    convention: str = "spikformer"
    calibration_batches: int | None = None
    energy_batches: int | None = None
    latency: Latency | None = None

    def __call__(self, genome: Genome) -> dict[str, float]:
        """Metrics of a genome.

        Raises:
            keras_tuner.errors.FailedTrialError: its outputs are not finite.
        """
        with undisturbed(self.supernet):
            self.prepare(genome)
            metrics = self.accuracy(self.scoring)
            report = cost.measure(
                self.supernet, self.scoring, convention=self.convention, batches=self.energy_batches, progress=False
            )
            if self.latency is not None:
                image = np.asarray(self.scoring[0][0])[:1]
                metrics["latency_ms"] = self.latency(genome.to_config(), lambda: self.supernet.extract(genome), image)
        metrics["energy_mj"] = float(report.energy_mj)
        metrics["silent_layers"] = float(len(report.silent))
        return {**metrics, **counted(genome.to_config())}

    def prepare(self, genome: Genome) -> None:
        """Activates a genome and recalibrates its normalisation statistics."""
        self.supernet.activate(genome)
        self.supernet.calibrate(self.calibration, batches=self.calibration_batches)

    def accuracy(self, data: Any) -> dict[str, float]:
        """Accuracy and loss of the active network."""
        found = self.supernet.evaluate(data, verbose=0, return_dict=True)
        if not math.isfinite(found["loss"]):
            raise keras_tuner.errors.FailedTrialError(f"The network's outputs are not finite: loss is {found['loss']}.")
        return {"accuracy": float(found["accuracy"]), "loss": float(found["loss"])}

    def extract(self, genome: Genome, data: Any) -> tuple[Spikformer, dict[str, float]]:
        """The genome as a standalone network with its statistics, and its metrics on other images."""
        with undisturbed(self.supernet):
            self.prepare(genome)
            return self.supernet.extract(genome), self.accuracy(data)
