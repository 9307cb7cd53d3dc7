"""EnergyData: what was measured on images and what a convention charges for it; pages and texts read it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from kspike._registry import unknown
from kspike.cost.analytic.ann import AnnTwin, twin_of
from kspike.cost.conventions.base import Convention
from kspike.cost.measured.anytime import Reading
from kspike.cost.measured.products import ProductActivity
from kspike.cost.report.rows import EnergyRow, NeuronRow, interval

KINDS = ("ac", "mac", "dense", "syops")
#: Fields of rows and readings that hold joules.
ENERGIES = ("energy_uj", "energy_low_uj", "energy_high_uj", "energies_uj", "energy_mj")


@dataclasses.dataclass(frozen=True)
class EnergyData:
    """What a model did on images, and what a convention charges for it. All numbers are for one image, all time steps.

    Args:
        model: its name.
        convention: how operations were charged.
        images: how many images were run, n.
        timesteps: T.
        rows: one `EnergyRow` a product, in the order in which they ran.
        neurons: one `NeuronRow` a neuron layer.
        energy_std_mj: standard deviation over images, millijoules.
        parameters: trainable parameters of the network.
        notes: what this report does not count.
        image: the first image, as the model saw it.
        still: whether its input is a still image, which it repeats.
        products: what was measured at every product, before anything is charged.
        label: class of the first image, if the data has labels.
        readings: one `Reading` a time step, of a network that is read and stopped after it.
    """

    model: str
    convention: Convention
    images: int
    timesteps: int
    rows: tuple[EnergyRow, ...]
    neurons: tuple[NeuronRow, ...]
    energy_std_mj: float
    parameters: int
    notes: tuple[str, ...] = ()
    image: np.ndarray | None = dataclasses.field(default=None, repr=False, compare=False)
    label: int | None = None
    readings: tuple[Reading, ...] = ()
    still: bool = False
    products: tuple[ProductActivity, ...] = dataclasses.field(default=(), repr=False, compare=False)

    @property
    def ann(self) -> AnnTwin:
        """The same architecture as an ordinary network: the baseline to compare the energy with."""
        macs = (p.activity.dense // (p.activity.geometry.steps if self.still else 1) for p in self.products)
        return twin_of(sum(macs))

    @property
    def accuracy(self) -> float | None:
        """Share of the images that the model classifies as labelled; None where there were no labels."""
        return self.readings[-1].accuracy if self.readings else None

    @property
    def firing_rate(self) -> float:
        """Spikes a neuron and time step, over all neurons of the network."""
        updates = sum(row.updates for row in self.neurons)
        return sum(row.rate * row.updates for row in self.neurons) / updates if updates else 0.0

    @property
    def energy_mj(self) -> float:
        """Millijoules of one image, mean over the images."""
        return sum(row.energy_uj for row in self.rows) * 1e-3

    @property
    def energy_interval_mj(self) -> tuple[float, float]:
        """95 % confidence interval of `energy_mj` over images: what other images of the same kind would give."""
        return interval(self.energy_mj, self.energy_std_mj, self.images)

    def total(self, kind: str) -> float:
        """Operations of one image: "ac", "mac", "dense" (all products computed densely), or "syops" (ac and mac).

        Raises:
            ValueError: another kind.
        """
        if kind not in KINDS:
            raise unknown("kind of operation", kind, KINDS)
        if kind == "dense":
            return float(sum(row.dense for row in self.rows))
        acs, macs = sum(row.acs for row in self.rows), sum(row.macs for row in self.rows)
        return {"ac": acs, "mac": macs, "syops": acs + macs}[kind]

    @property
    def silent(self) -> tuple[str, ...]:
        """Neuron layers that never fire: the product after them does nothing."""
        return tuple(row.name for row in self.neurons if row.silent)

    @property
    def saturated(self) -> tuple[str, ...]:
        """Neuron layers that fire nearly always."""
        return tuple(row.name for row in self.neurons if row.saturated)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain JSON values (without the raster and the image).

        Energies are None where the convention counts operations and charges none: no zero that reads as joules.
        """
        low, high = self.energy_interval_mj
        free = self.convention.free

        def rows(each: Any) -> list[dict[str, Any]]:
            found = [_plain(dataclasses.asdict(row)) for row in each]
            return [{k: None if free and k in ENERGIES else v for k, v in row.items()} for row in found]

        return {
            "model": self.model,
            "convention": {
                **{f.name: _plain(getattr(self.convention, f.name)) for f in dataclasses.fields(self.convention)},
                "integers": self.convention.integers,
            },
            "images": self.images,
            "timesteps": self.timesteps,
            "parameters": self.parameters,
            "accuracy": self.accuracy,
            "firing_rate": self.firing_rate,
            "energy_mj": None if free else self.energy_mj,
            "energy_std_mj": None if free else self.energy_std_mj,
            "energy_interval_mj": None if free else [low, high],
            "ann_twin": {"macs": self.ann.macs, **{f"{name}_mj": mj for name, mj in self.ann.energies_mj.items()}},
            "total": {kind: self.total(kind) for kind in KINDS},
            "rows": rows(self.rows),
            "neurons": [
                {f.name: _plain(getattr(row, f.name)) for f in dataclasses.fields(row) if f.name != "raster"}
                for row in self.neurons
            ],
            "readings": rows(self.readings),
            "silent": list(self.silent),
            "saturated": list(self.saturated),
            "notes": list(self.notes),
        }


def _plain(value: Any) -> Any:
    """JSON has no infinity: None stands for "no limit"."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
