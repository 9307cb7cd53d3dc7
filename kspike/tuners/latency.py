"""Latency: how long one image takes through a network on this machine."""

from __future__ import annotations

import dataclasses
import os
import statistics
import time
from collections.abc import Callable
from typing import Annotated, Any

import keras
import numpy as np

from kspike._machine import processor
from kspike.config import SpikformerConfig
from kspike.models import Spikformer
from kspike.ops import jit
from kspike.tuners.engine.checks import whole


@dataclasses.dataclass
class Latency:
    """Measures the milliseconds from an image in memory to its logits in memory, once for a network.

        latency_ms = 1000 * median of `calls` times of one image, after `warm` calls that do not count

    One image at a time, at inference, compiled where the backend compiles. It is this machine's and this backend's
    number: other programs beside it, its threads (`OMP_NUM_THREADS`) and its heat are in it, and a search whose
    constraint it is does not repeat bit for bit. Spikes are sparse products, so that the weights and the image matter.

    Args:
        calls: times of which the median is taken.
        warm: calls before them, which compile.
        clock: gives seconds.

    Attributes:
        known: config -> milliseconds, of all networks measured so far.
    """

    calls: int = 20
    warm: int = 3
    clock: Callable[[], float] = time.perf_counter
    known: dict[SpikformerConfig, float] = dataclasses.field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        whole("calls", self.calls, 1)
        whole("warm", self.warm, 0)

    def __call__(
        self, config: SpikformerConfig, make: Callable[[], Spikformer], image: Annotated[np.ndarray, "1 *image"]
    ) -> float:
        """Milliseconds of a network; what was measured is not measured again.

        Args:
            config: which network.
            make: gives it, where it is measured.
            image: one image, as a batch of one.
        """
        found = self.known.get(config)
        if found is None:
            found = self.known[config] = self._measure(make(), image)
        return found

    def _measure(self, model: Spikformer, image: np.ndarray) -> float:
        call = jit(lambda x: model(x, training=False), model.variables)
        run = lambda: keras.ops.convert_to_numpy(call(keras.ops.convert_to_tensor(image)))
        times = []
        for _ in range(self.warm + self.calls):
            start = self.clock()
            run()
            times.append(self.clock() - start)
        return 1000.0 * statistics.median(times[self.warm :])

    def describe(self) -> dict[str, Any]:
        """What the numbers were measured with, as plain JSON values: numbers of two machines are never compared."""
        return {
            "calls": self.calls,
            "processor": processor(),
            "cores": os.cpu_count() or 1,
            "backend": keras.backend.backend(),
        }


def in_words(said: dict[str, Any]) -> str:
    """What `Latency.describe` said, as a line of a report."""
    return (
        f"latency_ms: one image at a time, median of {said['calls']} calls, {said['backend']} on {said['processor']} "
        f"({said['cores']} cores)"
    )
