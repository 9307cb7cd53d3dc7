"""Firing rate, layer by time step, as a heat map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kspike.cost.page.marks import mark

if TYPE_CHECKING:
    from kspike.cost.report.data import EnergyData

#: From this share of the darkest shade on, text stands in the colour of the paper.
_DARK = 0.6


def steps(report: EnergyData) -> list[int]:
    """Numbers of the columns: time steps from 1."""
    return list(range(1, 1 + max((len(row.rates) for row in report.neurons), default=0)))


def rates(report: EnergyData) -> list[dict[str, Any]]:
    """A row a neuron layer, a cell a time step."""
    return [
        {"name": row.name, "mark": mark(row), "cells": [_cell(r) for r in row.rates], "mean": f"{row.rate:.3f}"}
        for row in report.neurons
    ]


def scale() -> list[dict[str, Any]]:
    """Rates beside their shades."""
    return [{**_cell(rate), "text": f"{rate:g}"} for rate in (0, 0.05, 0.1, 0.2, 0.4, 0.7, 1)]


def _cell(rate: float) -> dict[str, Any]:
    shade = min(max(rate, 0.0), 1.0) ** 0.5  # most layers fire below 0.2: a root tells them apart
    # a rate of 0.0004 is no silent layer: three digits would not say so
    text = f"{rate:.3f}" if rate == 0 or rate >= 0.001 else "<.001"
    return {"text": text, "exact": f"{rate:.5f}", "shade": f"{100 * shade:.0f}", "dark": shade > _DARK}
