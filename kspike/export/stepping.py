"""A network of one time step as a Keras model: states in, states out."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np

from kspike.export.observing import listening, scaled_pixels
from kspike.models.early_exit import Stepper


@dataclasses.dataclass(frozen=True)
class State:
    """One tensor that goes from step to step.

    Args:
        name: of the input; the output's is "next." before it.
        shape: None is the batch.
        start: what every number of it is before the first step.
    """

    name: str
    shape: tuple[int | None, ...]
    start: float

    def example(self, batch: int) -> np.ndarray:
        """The state before the first step, of a batch."""
        return np.full([batch if n is None else n for n in self.shape], self.start, "float32")


class OneStep(keras.Model):
    """One time step of a network: (images, *states) -> (logits so far, *states, *spikes where `watch` says so).

    The states are "steps", the number of steps so far; "features", their sum; and each neuron's own.
    """

    def __init__(self, network: Any, pixels: Any = None, watch: bool = False) -> None:
        super().__init__(name="network")
        self.network = network
        self.watch = watch
        self.__dict__["stepper"] = Stepper(network)
        self.__dict__["pixels"] = pixels
        self.__dict__["names"] = []

    def states(self, frames: np.ndarray) -> list[State]:
        """All states, their shapes found by a step of two frames."""
        stepper = self.stepper
        total = np.zeros((len(frames), stepper.features), "float32")
        x = frames if self.pixels is None else scaled_pixels(frames, self.pixels)
        _, _, potentials = stepper.step(keras.ops.convert_to_tensor(x), total, np.ones(1, "float32"))
        found = [State("steps", (1,), 0.0), State("features", (None, stepper.features), 0.0)]
        left = list(potentials)
        for neuron in stepper.neurons:
            for i, start in enumerate(neuron.start):
                shape = tuple(left.pop(0).shape)
                found.append(State(f"{neuron.path}.{i}", (None, *shape[1:]), float(start)))
        return found

    def call(self, images: Any, steps: Any, features: Any, *potentials: Any) -> list[Any]:
        x = images if self.pixels is None else scaled_pixels(images, self.pixels)
        steps = steps + 1.0
        with listening(self.network) as seen:
            logits, features, after = self.stepper._step(x, features, steps, *potentials)
        self.names[:] = [name for name, _ in seen]
        return [logits, steps, features, *after, *(spikes for _, spikes in seen if self.watch)]
