"""Score: the interface of a training-free score, one number for an untrained network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import keras
import numpy as np

from kspike.models.unrolled import leveled

#: A score bound to a model: call it again whenever the weights have changed.
Bound = Callable[[], Mapping[str, float]]


class Score:
    """A training-free score: predicts how good a network will be, without training it.

    Two kinds. A *counted* score follows from the architecture alone: `kspike.tuners.engine.ranking` ranks whole
    spaces by it, exactly. A *measured* score needs a built network with initial weights, and images: it is taken on a
    shortlist, for several initialisations.

    Your own score is a plain function of a config, or a subclass with a `name`, a `source` and `of` (counted) or `on`
    (measured), given as it is or registered by `kspike.tuners.scores.register`.

    Attributes:
        name: what users call it; the metric's name.
        direction: "max" if a higher score is better, "min" if a lower one is.
        counted: whether it follows from the architecture.
        source: paper, equation, and every departure from it.
    """

    name: ClassVar[str]
    direction: ClassVar[str] = "max"
    counted: ClassVar[bool] = False
    source: ClassVar[str]

    @property
    def metric(self) -> str:
        """What its value is called among a candidate's metrics."""
        return self.name

    def of(self, config: Any) -> float:
        """The value of a counted score.

        Args:
            config: a `SpikformerConfig` or a genome.
        """
        raise NotImplementedError(f"{self.name} is measured on a built network; see kspike.tuners.scores.evaluate.")

    def on(self, model: keras.Model, images: np.ndarray, labels: np.ndarray) -> Bound:
        """Binds a measured score to a model, which it compiles once.

        Args:
            model: a `Spikformer`, whose weights may be replaced between two runs; it is not used for anything else.
            images: one batch, float32, as the model takes them.
            labels: whole numbers `(batch,)`.

        Returns:
            A function that measures the model with its current weights: the score under `name`, and other metrics.
        """
        raise NotImplementedError(f"{self.name} follows from the architecture; see Score.of.")


def layers_of(model: keras.Model, *kinds: type) -> list[Any]:
    """Layers of these classes, whatever they are nested in, in the order in which they were made."""
    return [layer for layer in model._flatten_layers(include_self=False) if isinstance(layer, kinds)]


def refuse_levels(model: keras.Model, score: str) -> None:
    """Refuses, by ValueError, a network whose neurons fire levels, for a score that reads spikes of 0 and 1."""
    neuron = leveled(model)
    if neuron is not None:
        raise ValueError(
            f"The score {score!r} reads spikes of 0 and 1 of an untrained network; the neuron {neuron.label} fires "
            "levels. Take another score, or another neuron."
        )
