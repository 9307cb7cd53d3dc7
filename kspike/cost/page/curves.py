"""Accuracy and energy against the number of time steps, as line charts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kspike.cost.page.marks import COLOURS
from kspike.cost.report.text import PER_MILLIJOULE, joules
from kspike.pages import Chart, Point, Series, chart

if TYPE_CHECKING:
    from kspike.cost.measured.anytime import Reading
    from kspike.cost.report.data import EnergyData


def charts(reports: tuple[EnergyData, ...]) -> list[Chart]:
    """Accuracy by step, energy by step, and accuracy against energy; nothing for networks of one step.

    A convention that charges no energy has accuracy alone.
    """
    if all(report.timesteps < 2 for report in reports):
        return []
    unit = joules(max(report.energy_mj for report in reports))[1]
    scale = PER_MILLIJOULE[unit]

    def series(x: Callable[[Reading], float], y: Callable[[Reading], float | None], marked: bool = False) -> list:
        found = []
        for report, colour in zip(reports, COLOURS, strict=False):
            values = [(x(reading), y(reading)) for reading in report.readings]
            known = [(across, up) for across, up in values if up is not None]
            points = [
                Point(across, up, f"{n}: {across:.6g}, {up:.6g}", str(n) if marked else "")
                for n, (across, up) in enumerate(known, 1)
            ]
            found.append(Series(colour, points, line=True))
        return found

    def step(reading: Reading) -> float:
        return float(reading.step)

    def energy(reading: Reading) -> float:
        return scale * reading.energy_mj

    def accuracy(reading: Reading) -> float | None:
        return None if reading.accuracy is None else 100 * reading.accuracy

    found = []
    by_step, traded = series(step, accuracy), series(energy, accuracy, marked=True)
    if any(each.points for each in by_step):
        found.append(chart("Accuracy, %", "time steps", by_step, whole=True, most=100))
    if any(report.convention.free for report in reports):
        return found
    found.append(chart(f"Energy of an image, {unit}", "time steps", series(step, energy), from_zero="y", whole=True))
    if any(len(each.points) > 1 for each in traded):
        title = "Accuracy, % (points: time steps)"
        found.append(chart(title, f"energy of an image, {unit}", traded, from_zero="x", most=100))
    return found
