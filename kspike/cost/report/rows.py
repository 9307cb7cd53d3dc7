"""Charges measured products and neurons by a convention: the rows of a report."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from kspike.cost.conventions.activity import Activity
from kspike.cost.conventions.base import Convention
from kspike.cost.measured.collect import Neuron, ProductActivity

#: A neuron layer that fires at this rate or above carries as little information as one that never fires.
SATURATED = 0.95


@dataclasses.dataclass(frozen=True)
class EnergyRow:
    """What one product does for one image, on average, over all time steps.

    Args:
        name, kind: path of the layer; "conv", "dense" or "attention".
        rate: mean of its input: firing rate, or mean spike count.
        rates: the same, one a time step.
        active: share of its input that is not zero.
        largest: largest number of its input.
        dense: multiply-accumulates of the dense product.
        acs, macs: accumulations and multiply-accumulates charged.
        energy_uj: microjoules.
        energy_low_uj, energy_high_uj: 95 % confidence interval of `energy_uj` over images.
        energies_uj: shares of `energy_uj` by time step (one number for what runs once for an image).
        updates: membranes updated by the neurons around it, over all time steps.
        accesses: words of memory that it reads and writes, as the convention counts them.
    """

    name: str
    kind: str
    rate: float
    rates: tuple[float, ...]
    active: float
    largest: float
    dense: int
    acs: float
    macs: float
    energy_uj: float
    energy_low_uj: float = 0.0
    energy_high_uj: float = 0.0
    energies_uj: tuple[float, ...] = ()
    updates: int = 0
    accesses: float = 0.0

    @property
    def silent(self) -> bool:
        """Whether its input is always zero."""
        return self.active == 0.0

    @property
    def saturated(self) -> bool:
        """Whether its input is spikes that are nearly always 1: the work of a dense layer, and little information."""
        return self.acs > 0 and self.largest <= 1 and self.rate >= SATURATED


@dataclasses.dataclass(frozen=True)
class NeuronRow:
    """What one neuron layer fires for one image, on average.

    Args:
        name: path of the layer.
        updates: membranes updated, over all time steps.
        rate: firing rate, spikes a neuron and time step.
        rates: the same, one a time step.
        raster: spikes of the first image, (time steps, some neurons).
    """

    name: str
    updates: int
    rate: float
    rates: tuple[float, ...]
    raster: np.ndarray | None = dataclasses.field(default=None, repr=False, compare=False)

    @property
    def silent(self) -> bool:
        """Whether it never fires."""
        return self.rate == 0.0

    @property
    def saturated(self) -> bool:
        """Whether it fires nearly always."""
        return self.rate >= SATURATED


def product_rows(products: Sequence[ProductActivity], rule: Convention) -> tuple[EnergyRow, ...]:
    """Charges every product by its mean over all images."""
    return tuple(_row(product, rule) for product in products)


def _row(product: ProductActivity, rule: Convention) -> EnergyRow:
    a, steps = product.activity, np.asarray(product.by_step.rate, dtype=np.float64)
    acs, macs, picojoules = rule.charge(a)
    energy = float(picojoules) * 1e-6
    by_image = charged(product.by_image, rule) * 1e-6
    deviation = float(by_image.std(ddof=1)) if by_image.size > 1 else 0.0
    low, high = interval(energy, deviation, by_image.size)
    return EnergyRow(
        name=a.name,
        kind=a.kind,
        rate=float(a.rate),
        rates=tuple(float(r) for r in steps),
        active=float(a.active),
        largest=a.largest,
        dense=int(rule.dense(a)),
        acs=float(acs),
        macs=float(macs),
        energy_uj=energy,
        energy_low_uj=low,
        energy_high_uj=high,
        energies_uj=_shares(energy, charged(product.by_step, rule)),
        updates=int(a.around.updates),
        accesses=float(rule.accesses(a)),
    )


def charged(activity: Activity, rule: Convention) -> np.ndarray:
    """Picojoules of every image, or of every time step."""
    energy = np.asarray(rule.charge(activity)[2], dtype=np.float64)
    return np.broadcast_to(energy, np.shape(activity.rate))


def _shares(energy: float, by_step: np.ndarray) -> tuple[float, ...]:
    """Energies by step, scaled to sum to `energy`: a convention with min(rate, rate) gives another sum step by step."""
    whole = float(by_step.sum())
    return tuple(float(step) * energy / whole if whole else 0.0 for step in by_step)


def neuron_rows(neurons: Sequence[Neuron]) -> tuple[NeuronRow, ...]:
    """The firing of every neuron layer, in the order in which they ran."""
    return tuple(NeuronRow(n.name, n.updates, n.rate, n.rates, n.raster) for n in neurons)


def spread(products: Sequence[ProductActivity], rule: Convention) -> float:
    """Standard deviation of an image's energy over the images, in millijoules (0 for one image)."""
    per_image = sum((charged(p.by_image, rule) for p in products), start=np.zeros(1)) * 1e-9
    return float(per_image.std(ddof=1)) if per_image.size > 1 else 0.0


def interval(mean: float, deviation: float, n: int) -> tuple[float, float]:
    """95 % confidence interval of a mean over n images (normal approximation)."""
    half = 1.959964 * deviation / math.sqrt(n)
    return mean - half, mean + half
