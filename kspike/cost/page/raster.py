"""Spikes of one image, layer by layer, beside the image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kspike.cost.page.marks import mark
from kspike.pages import png

if TYPE_CHECKING:
    from kspike.cost.report.data import EnergyData
    from kspike.cost.report.rows import NeuronRow

#: Pixels of a raster: its width, and its height where the layer fills it.
_WIDTH, _HEIGHT = 112, 120


def first_image(report: EnergyData) -> dict[str, Any]:
    """The image as an address, what is said below it, and a raster a neuron layer."""
    rasters = [_raster(row) for row in report.neurons if row.raster is not None]
    # no picture without spikes: the section is theirs
    image = png(report.image) if rasters and report.image is not None else None
    return {"rasters": rasters, "image": image, "caption": _caption(report)}


def _caption(report: EnergyData) -> list[str]:
    lines = ["the first image" if report.label is None else f"the first image, class {report.label}"]
    answers = [reading.answer for reading in report.readings if reading.answer is not None]
    if answers:
        when = "" if len(answers) < 2 else " after every step" if len(set(answers)) == 1 else ", step by step"
        said = str(answers[0]) if len(set(answers)) == 1 else ", ".join(map(str, answers))
        lines.append(f"read as {said}{when}")
    return lines


def _raster(row: NeuronRow) -> dict[str, Any]:
    spikes = np.asarray(row.raster)
    steps, neurons = spikes.shape
    width, height = _WIDTH / steps, max(3.0, min(12.0, _HEIGHT / neurons))
    gap = 1 if width > 4 else 0
    dots = "".join(
        f"M{t * width + gap / 2:g} {n * height:g}h{width - gap:g}v{height - 1:g}h-{width - gap:g}z"
        for t, n in np.argwhere(spikes)
    )
    return {
        "name": row.name,
        "mark": mark(row),
        "text": f"{int(spikes.sum())} spikes of {spikes.size} neurons and steps shown",
        "width": _WIDTH,
        "height": f"{neurons * height:g}",
        "spikes": dots,
    }
