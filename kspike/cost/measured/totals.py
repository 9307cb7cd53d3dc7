"""Adds up the statistics of batches, over images and over time steps."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from kspike.cost.measured.recorder import Signal


class Tally:
    """Sums of one quantity in float64: image by image for the spread over images, and by time step."""

    def __init__(self) -> None:
        self._by_image: list[np.ndarray] = []
        self.by_step: Any = 0.0

    def add(self, values: np.ndarray) -> None:
        """Takes in one batch, `(images, steps)`."""
        self._by_image.append(values.sum(axis=1, dtype=np.float64))
        self.by_step = self.by_step + values.sum(axis=0, dtype=np.float64)

    @property
    def by_image(self) -> np.ndarray:
        """Sum over the steps of every image, `(images,)`."""
        return np.concatenate(self._by_image)

    @property
    def total(self) -> float:
        """Sum over everything."""
        return float(np.sum(self.by_step))

    def views(self, images: int, steps: int) -> Views:
        """The mean of an image, the sum of every image, and the mean by time step of a product of so many steps."""
        return Views(self.total / images, self.by_image, _fitted(self.by_step / images, steps))


class Views(NamedTuple):
    """One quantity of an image: on average, image by image `(images,)`, and on average by time step `(steps,)`."""

    mean: float
    by_image: np.ndarray
    by_step: np.ndarray


def _fitted(values: np.ndarray, steps: int) -> np.ndarray:
    """Values by time step; a signal with another number of steps than its product is spread evenly over them."""
    return values[:steps] if len(values) >= steps > 1 or len(values) == steps else np.full(steps, values.sum() / steps)


@dataclasses.dataclass
class Total:
    """Everything known of one signal over all images.

    `spiking` is the part of `touched` from batches whose whole input is -1, 0 or 1. For a possible neuron, `binary` and
    `from_binary` say whether its whole output, and its whole input, is 0 or 1.
    """

    signal: Signal
    sums: Tally = dataclasses.field(default_factory=Tally)
    active: Tally = dataclasses.field(default_factory=Tally)
    touched: Tally = dataclasses.field(default_factory=Tally)
    spiking: Tally = dataclasses.field(default_factory=Tally)
    whole: bool = True
    smallest: float = np.inf
    largest: float = -np.inf
    raster: np.ndarray | None = None
    binary: bool = True
    from_binary: bool = True

    @property
    def counts(self) -> bool:
        """Whether all values are whole numbers of at least 0."""
        return self.whole and self.smallest >= 0

    def views(self, images: int, steps: int) -> dict[str, Views]:
        """Every tally of it, as `Tally.views`."""
        tallies = {"sums": self.sums, "active": self.active, "touched": self.touched, "spiking": self.spiking}
        return {name: tally.views(images, steps) for name, tally in tallies.items()}


class Statistics:
    """Sums over batches of every signal.

    Args:
        timesteps: T of the network that is measured, where known; steps beyond it (of a supernet) are left out.
    """

    def __init__(self, timesteps: int | None = None) -> None:
        self.images = 0
        self.timesteps = timesteps
        self.totals: dict[tuple[str, str], Total] = {}

    def add(self, signals: tuple[Signal, ...], packed: dict[str, np.ndarray], n: int) -> None:
        """Takes in one batch, of which only the first `n` images are real.

        Raises:
            ValueError: a layer received or fired values that are not finite.
        """
        at = product = known = shown = candidate = 0
        for signal in signals:
            total = self.totals.setdefault((signal.tap, signal.of), Total(signal))
            if signal.role == "norm":
                continue
            steps = min(signal.steps, self.timesteps or signal.steps)
            sums = packed["sums"][:n, at : at + steps]
            if signal.role == "possible_neuron":
                binary, from_binary = packed["binary"][candidate]
                total.binary, total.from_binary = total.binary and bool(binary), total.from_binary and bool(from_binary)
                candidate += 1
            elif not np.isfinite(sums).all():
                raise ValueError(
                    f"{signal.tap} sees values that are not finite: the model's weights or statistics hold nan or "
                    "infinity, or its training diverged."
                )
            total.sums.add(sums)
            at += signal.steps
            if signal.role in ("neuron", "possible_neuron"):
                size = signal.shown * signal.steps
                if not self.images:
                    total.raster = packed["raster"][shown : shown + size].reshape(signal.steps, signal.shown)
                shown += size
                continue
            smallest, largest, fraction = (float(v) for v in packed["ranges"][product])
            total.whole &= fraction == 0
            total.smallest, total.largest = min(total.smallest, smallest), max(total.largest, largest)
            touched = packed["touched"][:n, known : known + steps]
            total.active.add(packed["active"][:n, known : known + steps])
            total.touched.add(touched)
            total.spiking.add(touched * (fraction == 0 and smallest >= -1 and largest <= 1))
            known += signal.steps
            product += 1
        self.images += n
