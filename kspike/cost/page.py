"""An energy report as one self-contained web page: bars by layer, firing by layer and step, spikes of one image."""

from __future__ import annotations

import base64
import html
import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np

from kspike.cost.rendering import energy, quantity

if TYPE_CHECKING:
    from kspike.cost.report import EnergyReport
    from kspike.cost.rows import NeuronRow

_STYLE = """
:root{color-scheme:light dark;--ink:#1d2430;--dim:#5b6675;--paper:#fff;--line:#d9dee6;--ac:#2f6fb4;--mac:#c8621f}
@media(prefers-color-scheme:dark){
:root{--ink:#e8ebf0;--dim:#9aa5b4;--paper:#14181f;--line:#333b47;--ac:#6aa9e6;--mac:#f09455}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper)}
body{max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}
p{margin:.3rem 0}.dim{color:var(--dim)}.big{font-size:2rem}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}td,th{padding:.15rem .5rem;text-align:right}
td:first-child,th:first-child{text-align:left;white-space:nowrap}tr+tr td{border-top:1px solid var(--line)}
.bar{width:35%}.bar div{height:.8rem;background:var(--ac);min-width:1px}.bar div.mac{background:var(--mac)}
.heat td{border:0;text-align:center}.wide{overflow-x:auto}.rasters{display:flex;flex-wrap:wrap;gap:1rem}figure{margin:0}
figcaption{font-size:.8rem;color:var(--dim)}
svg{background:color-mix(in srgb,var(--ink) 6%,transparent)}svg rect{fill:var(--ink)}
img{image-rendering:pixelated;height:160px}.key{display:inline-block;width:.8rem;height:.8rem}
"""


def as_page(report: EnergyReport) -> str:
    """The whole page as text; nothing in it is loaded from anywhere."""
    title = f"Energy of {html.escape(report.model)}"
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>",
        _summary(report),
        *(f"<p>{html.escape(line)}</p>" for line in report.advice()),
        _bars(report),
        _heat(report.neurons),
        _rasters(report),
        "</body></html>\n",
    ]
    return "\n".join(parts)


def _summary(report: EnergyReport) -> str:
    low, high = report.energy_interval_mj
    ac, mac, dense = (quantity(report.total(kind)) for kind in ("ac", "mac", "dense"))
    rule = report.convention
    return (
        f'<p><span class="big">{report.energy_mj:.4g} mJ</span> <span class="dim">an image, T = {report.timesteps}; '
        f"95 % interval over {report.images:,} images {low:.4g} to {high:.4g} mJ</span></p>"
        f"<p>{ac} accumulations and {mac} multiply-accumulates, of {dense} were every product dense; "
        f"{report.parameters:,} parameters.</p>"
        f'<p class="dim">Convention <b>{html.escape(rule.name)}</b>: {html.escape(rule.source)}</p>'
    )


def _bars(report: EnergyReport) -> str:
    most = max((row.energy_uj for row in report.rows), default=0.0) or 1.0
    lines = []
    for row in report.rows:
        multiplies = row.macs > row.acs
        rate = "silent" if row.silent else "real" if multiplies else f"{row.rate:.4f}"
        numbers = (rate, quantity(row.dense), quantity(row.macs), quantity(row.acs), energy(row.energy_uj))
        bar = f'<div class="{"mac" if multiplies else "ac"}" style="width:{100 * row.energy_uj / most:.2f}%"></div>'
        cells = "".join(f"<td>{n}</td>" for n in numbers)
        lines.append(f'<tr><td>{html.escape(row.name)}</td>{cells}<td class="bar">{bar}</td></tr>')
    head = "".join(f"<th>{c}</th>" for c in ("layer", "input rate", "dense", "MACs", "ACs", "µJ", ""))
    key = (
        '<p class="dim"><span class="key" style="background:var(--ac)"></span> accumulates '
        '<span class="key" style="background:var(--mac)"></span> multiplies</p>'
    )
    return f'<h2>Energy by layer</h2>{key}<div class="wide"><table><tr>{head}</tr>{"".join(lines)}</table></div>'


def _heat(neurons: tuple[NeuronRow, ...]) -> str:
    if not neurons:
        return ""
    steps = max(len(row.rates) for row in neurons)
    lines = []
    for row in neurons:
        cells = "".join(_heat_cell(rate) for rate in row.rates)
        mark = " (silent)" if row.silent else " (saturated)" if row.saturated else ""
        lines.append(f"<tr><td>{html.escape(row.name)}{mark}</td>{cells}<td>{row.rate:.3f}</td></tr>")
    head = "".join(f"<th>t={t}</th>" for t in range(steps))
    table = f'<table class="heat"><tr><th>neurons</th>{head}<th>mean</th></tr>{"".join(lines)}</table>'
    return f'<h2>Firing rate by layer and time step</h2><div class="wide">{table}</div>'


def _heat_cell(rate: float) -> str:
    shade = 100 * min(max(rate, 0.0), 1.0) ** 0.5  # most layers fire below 0.2: a root tells them apart
    return f'<td style="background:color-mix(in srgb,var(--ac) {shade:.0f}%,transparent)">{rate:.3f}</td>'


def _rasters(report: EnergyReport) -> str:
    figures = [_raster(row) for row in report.neurons if row.raster is not None]
    if not figures:
        return ""
    if report.image is not None:
        picture = f'<img alt="the first image" src="{_png(report.image)}">'
        figures.insert(0, f"<figure>{picture}<figcaption>the image</figcaption></figure>")
    text = "Up to 40 neurons a layer, evenly spaced; time runs to the right."
    return f'<h2>Spikes of one image</h2><p class="dim">{text}</p><div class="rasters">{"".join(figures)}</div>'


def _raster(row: NeuronRow) -> str:
    spikes = np.asarray(row.raster)
    steps, neurons = spikes.shape
    width, height = 10, 4
    size = f'width="{width - 2}" height="{height - 1}"'
    dots = "".join(f'<rect x="{t * width + 1}" y="{n * height}" {size}/>' for t, n in np.argwhere(spikes))
    name = html.escape(row.name)
    frame = f'width="{steps * width}" height="{neurons * height}" role="img" aria-label="spikes of {name}"'
    return f"<figure><svg {frame}>{dots}</svg><figcaption>{name}</figcaption></figure>"


def _png(image: np.ndarray) -> str:
    """An image (height, width, channels), or frames, as a PNG inside a data address, scaled to its own range."""
    if image.ndim == 4:
        image = image.mean(axis=0)
    if image.ndim != 3 or image.shape[2] not in (1, 2, 3):
        image = image.reshape(1, -1, 1)
    if image.shape[2] == 2:  # event polarities: red and blue
        image = np.stack([image[..., 0], np.zeros_like(image[..., 0]), image[..., 1]], axis=-1)
    span = float(image.max() - image.min()) or 1.0
    pixels = np.round((image - image.min()) / span * 255).astype(np.uint8)
    height, width, channels = pixels.shape
    raw = b"".join(b"\0" + row.tobytes() for row in pixels)  # 0: the row stands as it is

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0 if channels == 1 else 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    return "data:image/png;base64," + base64.b64encode(png).decode()
