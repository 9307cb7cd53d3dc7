"""Accuracy and energy against the number of time steps, as line charts."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

from kspike.cost.page.parts import MODELS, section
from kspike.cost.rendering import joules

if TYPE_CHECKING:
    from kspike.cost.report import EnergyReport

#: Of a chart in its own units: the whole, and the margins left, right, above, below.
_SIZE, _LEFT, _RIGHT, _ABOVE, _BELOW = (320, 230), 48, 22, 20, 44
_NOTE = (
    "An anytime reading of one pass: after step t the head sees the mean over the first t steps, which is what the "
    "same weights answer with T = t. Weights that were trained for fewer steps may do better there."
)

Series = list[tuple[str, list[tuple[float, float]]]]


def show(reports: tuple[EnergyReport, ...]) -> str:
    """Accuracy by step, energy by step, and the one against the other; nothing for networks of one step."""
    if all(report.timesteps < 2 for report in reports):
        return ""
    marked = list(zip(MODELS, reports, strict=False))
    unit = joules(max(report.energy_mj for report in reports))[1]
    scale = {"mJ": 1.0, "µJ": 1e3, "nJ": 1e6}[unit]
    energy = [(m, [(float(r.step), scale * r.energy_mj) for r in report.readings]) for m, report in marked]
    accuracy = [
        (m, [(float(r.step), 100 * r.accuracy) for r in report.readings if r.accuracy is not None])
        for m, report in marked
    ]
    traded = [
        (m, [(scale * r.energy_mj, 100 * r.accuracy) for r in report.readings if r.accuracy is not None])
        for m, report in marked
    ]
    charts = []
    if any(points for _, points in accuracy):
        charts.append(_chart("Accuracy, %", "time steps", accuracy))
    charts.append(_chart(f"Energy of an image, {unit}", "time steps", energy, zero=True))
    if any(len(points) > 1 for _, points in traded):
        charts.append(_chart("Accuracy, % (points: time steps)", f"energy of an image, {unit}", traded, numbered=True))
    key = ""
    if len(reports) > 1:
        names = "".join(f'<span><i class="{m}"></i>{escape(r.model)}</span>' for m, r in marked)
        key = f'<p class="key">{names}</p>'
    return section("Accuracy and energy against T", f'{key}<div class="charts">{"".join(charts)}</div>', _NOTE)


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round numbers, evenly spaced, the first at or below `low` and the last at or above `high`."""
    if not high > low:
        low, high = low - (abs(low) * 0.1 or 0.5), high + (abs(high) * 0.1 or 0.5)
    raw = (high - low) / about
    size = 10.0 ** math.floor(math.log10(raw))
    step = size * next((m for m in (1, 2, 2.5, 5) if m * size >= raw * (1 - 1e-9)), 10)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [n * step for n in range(first, last + 1)]


def _chart(title: str, below: str, series: Series, zero: bool = False, numbered: bool = False) -> str:
    points = [point for _, each in series for point in each]
    xs, ys = [x for x, _ in points], [y for _, y in points]
    whole = not numbered  # time steps are whole numbers
    across = _steps(int(max(xs))) if whole else ticks(0.0, max(xs))
    up = ticks(0.0 if zero else min(ys), max(ys))
    if not zero and "%" in title and up[-1] > 100:
        up = [y for y in up if y <= 100]
    span = (min(across[0], min(xs)), max(across[-1], max(xs)))
    width, height = _SIZE

    def x_of(x: float) -> float:
        share = (x - span[0]) / ((span[1] - span[0]) or 1.0)
        return _LEFT + share * (width - _LEFT - _RIGHT)

    def y_of(y: float) -> float:
        share = (y - up[0]) / ((up[-1] - up[0]) or 1.0)
        return height - _BELOW - share * (height - _ABOVE - _BELOW)

    out = [f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)} against {below}">']
    for y in up:
        at = f"{y_of(y):.1f}"
        out.append(f'<line class="grid" x1="{_LEFT}" x2="{width - _RIGHT}" y1="{at}" y2="{at}"/>')
        out.append(f'<text class="end" x="{_LEFT - 8}" y="{y_of(y) + 4:.1f}">{_label(y, up)}</text>')
    for x in across:
        out.append(f'<text class="mid" x="{x_of(x):.1f}" y="{height - _BELOW + 20}">{_label(x, across)}</text>')
    out.append(f'<text class="mid" x="{(_LEFT + width - _RIGHT) / 2:g}" y="{height - 6}">{escape(below)}</text>')
    for mark, each in series:
        line = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in each)
        out.append(f'<g class="{mark}"><polyline points="{line}"/>')
        for n, (x, y) in enumerate(each, 1):
            at = f'cx="{x_of(x):.1f}" cy="{y_of(y):.1f}"'
            out.append(f'<circle {at} r="4"><title>{n}: {x:.6g}, {y:.6g}</title></circle>')
            if numbered:
                out.append(f'<text class="mid number" x="{x_of(x):.1f}" y="{y_of(y) - 9:.1f}">{n}</text>')
        out.append("</g>")
    return f'<figure class="chart"><figcaption>{escape(title)}</figcaption>{"".join(out)}</svg></figure>'


def _steps(last: int) -> list[float]:
    """Time steps to label: all of few, else every so many."""
    every = -(-last // 8)
    return [float(t) for t in range(1, last + 1) if t == 1 or t % every == 0]


def _label(value: float, beside: list[float]) -> str:
    """As many digits as tell neighbouring ticks apart."""
    step = abs(beside[1] - beside[0]) if len(beside) > 1 else abs(value) or 1.0
    digits = max(0, -math.floor(math.log10(step) + 1e-9)) if step else 0
    if digits and abs(step * 10**digits - round(step * 10**digits)) > 1e-6:  # 2.5, 0.25
        digits += 1
    return f"{value:.{digits}f}" if digits <= 5 else f"{value:.2g}"
