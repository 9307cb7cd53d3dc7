"""Spikes of one image, layer by layer, beside the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kspike.cost.page.parts import each, path, section
from kspike.cost.page.picture import png
from kspike.cost.recording import RASTER

if TYPE_CHECKING:
    from kspike.cost.report import EnergyReport
    from kspike.cost.rows import NeuronRow

#: Pixels of a raster: its width, and its height where the layer fills it.
_WIDTH, _HEIGHT = 112, 120
_NOTE = f"Up to {RASTER} neurons a layer, evenly spaced, one above the other; time steps from left to right."


def show(reports: tuple[EnergyReport, ...]) -> str:
    """The image, and a raster a neuron layer."""
    body = each(reports, _spikes)
    return section("Spikes of one image", body, _NOTE) if body else ""


def _spikes(report: EnergyReport) -> str:
    figures = [_raster(row) for row in report.neurons if row.raster is not None]
    if not figures:
        return ""
    picture = ""
    if report.image is not None:
        shown = f'<img alt="the first image" src="{png(report.image)}">'
        picture = f'<figure class="image">{shown}{_caption(report)}</figure>'
    return f'<div class="spikes">{picture}<div class="rasters">{"".join(figures)}</div></div>'


def _caption(report: EnergyReport) -> str:
    lines = ["the first image" if report.label is None else f"the first image, class {report.label}"]
    answers = [reading.answer for reading in report.readings if reading.answer is not None]
    if answers:
        when = "" if len(answers) < 2 else " after every step" if len(set(answers)) == 1 else ", step by step"
        said = str(answers[0]) if len(set(answers)) == 1 else ", ".join(map(str, answers))
        lines.append(f"read as {said}{when}")
    return f"<figcaption>{'<br>'.join(lines)}</figcaption>"


def _raster(row: NeuronRow) -> str:
    spikes = np.asarray(row.raster)
    steps, neurons = spikes.shape
    width, height = _WIDTH / steps, max(3.0, min(12.0, _HEIGHT / neurons))
    gap = 1 if width > 4 else 0
    dots = "".join(
        f"M{t * width + gap / 2:g} {n * height:g}h{width - gap:g}v{height - 1:g}h-{width - gap:g}z"
        for t, n in np.argwhere(spikes)
    )
    kind = " silent" if row.silent else " saturated" if row.saturated else ""
    frame = f'viewBox="0 0 {_WIDTH} {neurons * height:g}" width="{_WIDTH}" height="{neurons * height:g}"'
    text = f"{int(spikes.sum())} spikes of {spikes.size} neurons and steps shown"
    return (
        f'<figure class="raster{kind}"><svg {frame} role="img" aria-label="{text}"><title>{text}</title>'
        f'<path d="{dots}"/></svg><figcaption>{path(row.name)}</figcaption></figure>'
    )
