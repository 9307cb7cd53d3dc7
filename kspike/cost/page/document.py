"""Puts the sections of the page together, for one report or for two side by side."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from kspike.cost.findings import findings
from kspike.cost.page import bars, curves, heat, raster, summary
from kspike.cost.page.parts import MODELS, each, path, section
from kspike.cost.page.style import STYLE

if TYPE_CHECKING:
    from kspike.cost.report import EnergyReport


def as_page(report: EnergyReport, beside: EnergyReport | None = None) -> str:
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
    names = " and ".join(escape(r.model) for r in reports)
    title = f"Energy of {names}"
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<style>{STYLE}</style></head><body><main class="{"two" if beside else "one"}">',
        f"<header><h1>{title}</h1>",
        '<p class="dim">All figures are for one image and all its time steps, the mean over the images measured.</p>',
        "</header>",
        summary.show(reports),
        _findings(reports),
        bars.show(reports),
        heat.show(reports),
        raster.show(reports),
        curves.show(reports),
        bars.numbers(reports),
        _foot(reports),
        "</main></body></html>\n",
    ]
    return "\n".join(part for part in parts if part)


def _findings(reports: tuple[EnergyReport, ...]) -> str:
    boxes = []
    for report, mark in zip(reports, MODELS, strict=False):
        for finding in findings(report):
            layers = "".join(f"<li>{path(name)}</li>" for name in finding.layers)
            of = f' in <b class="{mark}">{escape(report.model)}</b>' if len(reports) > 1 else ""
            many = f"{len(finding.layers)} {finding.kind} neuron layer{'s' if len(finding.layers) > 1 else ''}"
            boxes.append(
                f'<aside class="finding {finding.kind}"><h3>{many}{of}</h3><p>{escape(finding.meaning.capitalize())}: '
                f"</p><ul>{layers}</ul><p>{escape(finding.remedy)}</p></aside>"
            )
    return "".join(boxes)


def _foot(reports: tuple[EnergyReport, ...]) -> str:
    rule = reports[0].convention
    notes = each(reports, lambda r: "".join(f"<p>{escape(note)}</p>" for note in r.notes))
    text = f"<p><b>Convention {escape(rule.name)}.</b> {escape(rule.source)}</p>"
    return section("How it was counted", f'<div class="dim">{text}{notes}</div>')
