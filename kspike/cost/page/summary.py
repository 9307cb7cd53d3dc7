"""The figures that a reader asks for first, as tiles."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING

from kspike.cost.page.parts import MODELS
from kspike.cost.rendering import joules, quantity

if TYPE_CHECKING:
    from kspike.cost.report import EnergyReport


def show(reports: tuple[EnergyReport, ...]) -> str:
    """Tiles; with two models the second's figure below the first's, and how many times it is."""
    tiles = [
        _tile("energy an image", reports, _energy, _interval, lambda r: r.energy_mj),
        _tile("accuracy", reports, _accuracy, lambda r: f"{r.images:,} images"),
        _tile("accumulations", reports, lambda r: quantity(r.total("ac")), _sparse, lambda r: r.total("ac")),
        _tile(
            "multiply-accumulates", reports, lambda r: quantity(r.total("mac")),
            lambda r: f"of {quantity(r.total('dense'))} dense", lambda r: r.total("mac"),
        ),
        _tile(
            "firing rate", reports, _rate, lambda r: f"of all neurons, T = {r.timesteps}",
            lambda r: r.firing_rate,
        ),
        _tile("parameters", reports, lambda r: quantity(r.parameters), lambda r: f"{r.parameters:,}",
              lambda r: r.parameters),
        _tile("ANN twin, float32", reports, _twin, _in_int8, lambda r: r.ann.float32_mj),
    ]  # fmt: skip
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _tile(
    name: str, reports: tuple[EnergyReport, ...], value: Callable, note: Callable, ratio: Callable | None = None
) -> str:
    lines = []
    for report, mark in zip(reports, MODELS, strict=False):
        shown = value(report)
        if shown is None:
            continue
        of = f'<span class="mark {mark}">{escape(report.model)}</span>' if len(reports) > 1 else ""
        times = ""
        if ratio is not None and report is not reports[0] and ratio(reports[0]) > 0:
            share = ratio(report) / ratio(reports[0])
            times = f' <span class="times" title="of the first\'s">× {share:.3g}</span>'
        lines.append(f'{of}<div class="big">{shown}</div><div class="dim">{note(report)}{times}</div>')
    return f'<div class="tile"><h3>{name}</h3>{"".join(lines)}</div>' if lines else ""


def _energy(report: EnergyReport) -> str:
    value, unit = joules(report.energy_mj)
    return f"{value:.4g} <small>{unit}</small>"


def _scaled(report: EnergyReport) -> tuple[float, str]:
    """What a millijoule is in the unit of the report's energy, and that unit: figures that compare share it."""
    unit = joules(report.energy_mj)[1]
    return {"mJ": 1.0, "µJ": 1e3, "nJ": 1e6}[unit], unit


def _twin(report: EnergyReport) -> str:
    scale, unit = _scaled(report)
    return f"{scale * report.ann.float32_mj:.4g} <small>{unit}</small>"


def _in_int8(report: EnergyReport) -> str:
    scale, unit = _scaled(report)
    return f"the same network with ReLU; {scale * report.ann.int8_mj:.4g} {unit} in int8"


def _interval(report: EnergyReport) -> str:
    scale, _ = _scaled(report)
    low, high = (f"{scale * end:.4g}" for end in report.energy_interval_mj)
    return f"95 % interval {low} to {high}"


def _accuracy(report: EnergyReport) -> str | None:
    return None if report.accuracy is None else f"{100 * report.accuracy:.2f} <small>%</small>"


def _rate(report: EnergyReport) -> str:
    return f"{report.firing_rate:.3f}" if report.firing_rate >= 0.001 else f"{report.firing_rate:.2g}"


def _sparse(report: EnergyReport) -> str:
    dense = report.total("dense")
    return f"{100 * report.total('ac') / dense:.1f} % of dense" if dense else ""
