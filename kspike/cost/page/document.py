"""Assembles the data of the page, for one report or for two side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kspike.cost.measured.recorder import RASTER
from kspike.cost.page import bars, curves, heat, raster, summary
from kspike.cost.page.marks import COLOURS
from kspike.cost.report.findings import findings
from kspike.pages import render

if TYPE_CHECKING:
    from kspike.cost.report.data import EnergyData


def as_page(report: EnergyData, beside: EnergyData | None = None) -> str:
    """The whole page as text; nothing in it is loaded from anywhere.

    Raises:
        ValueError: two reports by different conventions.
    """
    reports = (report,) if beside is None else (report, beside)
    first, last = reports[0], reports[-1]
    if first.convention != last.convention:
        raise ValueError(
            f"{first.model} was charged by {first.convention.name!r}, {last.model} by {last.convention.name!r}: "
            "energies of two conventions do not compare. Measure both with the same convention=."
        )
    largest = max((bars.charged(each, row) for each in reports for row in each.rows), default=0.0)
    free = first.convention.free
    return render(
        "energy.html",
        title=f"{'Operations' if free else 'Energy'} of {' and '.join(each.model for each in reports)}",
        facts=["All figures are for one image and all its time steps, the mean over the images measured."],
        layout="one" if beside is None else "two",
        models=[_model(each, colour, largest) for each, colour in zip(reports, COLOURS, strict=False)],
        model_key=[(colour, each.model) for each, colour in zip(reports, COLOURS, strict=False)],
        tiles=summary.tiles(reports),
        scale=heat.scale(),
        raster_neurons=RASTER,
        charts=curves.charts(reports),
        convention=first.convention,
        charged="operations" if free else "energy",
        unit="operations" if free else "µJ",
    )


def _model(report: EnergyData, colour: str, largest: float) -> dict[str, Any]:
    """One model's column of every section; a section that it has nothing for is empty."""
    return {
        "name": report.model,
        "colour": colour,
        "findings": findings(report),
        "layers": bars.layers(report, largest),
        "steps": heat.steps(report),
        "rates": heat.rates(report),
        **raster.first_image(report),
        "numbers": bars.numbers(report),
        "notes": report.notes,
    }
