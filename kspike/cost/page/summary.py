"""The figures that a reader asks for first, as tiles."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from kspike._messages import counted
from kspike.cost.page.marks import COLOURS
from kspike.cost.report.text import PER_MILLIJOULE, joules, quantity

if TYPE_CHECKING:
    from kspike.cost.report.data import EnergyData


@dataclasses.dataclass(frozen=True)
class Figure:
    """One model's number in a tile; `times` is how many times the first model's it is, "" for the first."""

    model: str
    colour: str
    value: str
    unit: str
    note: str
    times: str


@dataclasses.dataclass(frozen=True)
class Tile:
    """A quantity, and a figure a model that has one."""

    name: str
    figures: Sequence[Figure]


def tiles(reports: tuple[EnergyData, ...]) -> list[Tile]:
    """Tiles; with two models the second's figure below the first's, and how many times it is."""
    charging = tuple(each for each in reports if not each.convention.free)
    found = [
        _tile("energy an image", charging, _energy, _interval, lambda r: r.energy_mj),
        _tile("accuracy", reports, _accuracy, lambda r: counted(r.images, 'image')),
        _tile("accumulations", reports, lambda r: (quantity(r.total("ac")), ""), _sparse, lambda r: r.total("ac")),
        _tile(
            "multiply-accumulates", reports, lambda r: (quantity(r.total("mac")), ""),
            lambda r: f"of {quantity(r.total('dense'))} dense", lambda r: r.total("mac"),
        ),
        _tile(
            "firing rate", reports, _rate, lambda r: f"of all neurons, T = {r.timesteps}",
            lambda r: r.firing_rate,
        ),
        _tile("parameters", reports, lambda r: (quantity(r.parameters), ""), lambda r: f"{r.parameters:,}",
              lambda r: r.parameters),
        _tile("ANN twin, float32", charging, _twin, _in_int8, lambda r: r.ann.float32_mj),
    ]  # fmt: skip
    return [tile for tile in found if tile.figures]


def _tile(
    name: str, reports: tuple[EnergyData, ...], value: Callable[[EnergyData], tuple[str, str] | None],
    note: Callable[[EnergyData], str], ratio: Callable[[EnergyData], float] | None = None,
) -> Tile:  # fmt: skip
    figures = []
    for report, colour in zip(reports, COLOURS, strict=False):
        shown = value(report)
        if shown is None:
            continue
        times = ""
        if ratio is not None and report is not reports[0] and ratio(reports[0]) > 0:
            times = f"{ratio(report) / ratio(reports[0]):.3g}"
        figures.append(Figure(report.model, colour, *shown, note(report), times))
    return Tile(name, figures)


def _energy(report: EnergyData) -> tuple[str, str]:
    value, unit = joules(report.energy_mj)
    return f"{value:.4g}", unit


def _scaled(report: EnergyData) -> tuple[float, str]:
    """What a millijoule is in the unit of the report's energy, and that unit: figures that compare share it."""
    unit = joules(report.energy_mj)[1]
    return PER_MILLIJOULE[unit], unit


def _twin(report: EnergyData) -> tuple[str, str]:
    scale, unit = _scaled(report)
    return f"{scale * report.ann.float32_mj:.4g}", unit


def _in_int8(report: EnergyData) -> str:
    scale, unit = _scaled(report)
    return f"the same network with ReLU; {scale * report.ann.int8_mj:.4g} {unit} in int8"


def _interval(report: EnergyData) -> str:
    scale, _ = _scaled(report)
    low, high = (f"{scale * end:.4g}" for end in report.energy_interval_mj)
    return f"95 % interval {low} to {high}"


def _accuracy(report: EnergyData) -> tuple[str, str] | None:
    return None if report.accuracy is None else (f"{100 * report.accuracy:.2f}", "%")


def _rate(report: EnergyData) -> tuple[str, str]:
    return f"{report.firing_rate:.3f}" if report.firing_rate >= 0.001 else f"{report.firing_rate:.2g}", ""


def _sparse(report: EnergyData) -> str:
    dense = report.total("dense")
    return f"{100 * report.total('ac') / dense:.1f} % of dense" if dense else ""
