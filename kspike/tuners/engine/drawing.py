"""What a page of a search is drawn with: its frame, tables, bars and scatters; nothing is loaded from anywhere."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

STYLE = """
:root{color-scheme:light dark;--ink:#1d2430;--dim:#5b6675;--paper:#fff;--line:#d9dee6;--a:#2f6fb4;--b:#c8621f}
:root{--c:#8a94a3}
@media(prefers-color-scheme:dark){
:root{--ink:#e8ebf0;--dim:#9aa5b4;--paper:#14181f;--line:#333b47;--a:#6aa9e6;--b:#f09455;--c:#6b7686}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:64rem;margin:2rem auto}
body{padding:0 1rem}h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}p{margin:.3rem 0}
.dim{color:var(--dim)}.wide{overflow-x:auto}.row{display:flex;flex-wrap:wrap;gap:1.5rem}figure{margin:0}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}td,th{padding:.15rem .6rem;text-align:right}
td.genes{text-align:left}tr+tr td{border-top:1px solid var(--line)}figcaption{font-size:.85rem;color:var(--dim)}
svg text{fill:var(--dim);font-size:11px}svg .axis{stroke:var(--line)}svg .dot{fill:var(--a);fill-opacity:.45}
svg .spread{stroke:var(--a);stroke-opacity:.35}
svg .out{fill:var(--c);fill-opacity:.4}svg .front{fill:none;stroke:var(--b);stroke-width:2}
svg .line{fill:none;stroke:var(--a);stroke-width:2}
.first{background:var(--c)}.last{background:var(--a)}.edge{background:var(--b)}.bars div{height:.55rem;min-width:1px}
.key{display:inline-block;width:.8rem;height:.8rem;margin:0 .3rem 0 .8rem}
"""


def document(title: str, facts: Sequence[str], parts: Sequence[str]) -> str:
    """A whole page.

    Args:
        title: its heading.
        facts: lines below it.
        parts: HTML, from top to bottom.
    """
    shown = html.escape(title)
    return "\n".join(
        [
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{shown}</title>',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<style>{STYLE}</style></head><body><h1>{shown}</h1>",
            *(f'<p class="dim">{html.escape(line)}</p>' for line in facts),
            *parts,
            "</body></html>\n",
        ]
    )


def section(heading: str, inside: str, note: str = "") -> str:
    """A heading, what is to be known of what follows, and that."""
    about = f'<p class="dim">{html.escape(note)}</p>' if note else ""
    return f"<h2>{html.escape(heading)}</h2>{about}{inside}"


# -- drawings --------------------------------------------------------------------------------------------------------

WIDTH, HEIGHT, LEFT, BELOW = 620, 300, 56, 34


class Frame:
    """Maps numbers to places inside a drawing, and draws the axes."""

    def __init__(self, xs: Sequence[float], ys: Sequence[float]) -> None:
        self.x, self.y = _span(xs), _span(ys)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Pixels from the left and from the top."""
        across = LEFT + (x - self.x[0]) / (self.x[1] - self.x[0]) * (WIDTH - LEFT - 10)
        down = 10 + (self.y[1] - y) / (self.y[1] - self.y[0]) * (HEIGHT - BELOW - 10)
        return across, down

    def dot(self, kind: str, radius: float, x: float, y: float, about: str) -> str:
        """A circle that says what it is where the pointer rests on it."""
        across, down = self.at(x, y)
        circle = f'class="{kind}" cx="{across:.1f}" cy="{down:.1f}" r="{radius}"'
        return f"<circle {circle}><title>{html.escape(about)}</title></circle>"

    def spread(self, x: float, y: float, width: float) -> str:
        """A line to both sides of a place."""
        (left, down), (right, _) = self.at(max(x - width, self.x[0]), y), self.at(min(x + width, self.x[1]), y)
        return f'<path class="spread" fill="none" d="M{left:.1f},{down:.1f}H{right:.1f}"/>'

    def line(self, points: Sequence[tuple[float, float]]) -> str:
        """A line through places."""
        places = " ".join("{:.1f},{:.1f}".format(*self.at(*point)) for point in points)
        return f'<polyline class="line" points="{places}"/>'

    def axes(self, below: str, beside: str) -> str:
        """Both axes with their ends and names."""
        base = HEIGHT - BELOW
        return (
            f'<path class="axis" fill="none" d="M{LEFT},10V{base}H{WIDTH - 10}"/>'
            f'<text x="{LEFT}" y="{base + 14}">{self.x[0]:.4g}</text>'
            f'<text x="{WIDTH - 10}" y="{base + 14}" text-anchor="end">{self.x[1]:.4g}</text>'
            f'<text x="{(LEFT + WIDTH) / 2}" y="{base + 28}" text-anchor="middle">{html.escape(below)}</text>'
            f'<text x="{LEFT - 4}" y="{base}" text-anchor="end">{self.y[0]:.3g}</text>'
            f'<text x="{LEFT - 4}" y="18" text-anchor="end">{self.y[1]:.3g}</text>'
            f'<text x="12" y="{base / 2}" text-anchor="middle" transform="rotate(-90 12 {base / 2})">'
            f"{html.escape(beside)}</text>"
        )


def _span(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = 0.04 * (high - low) or abs(high) * 0.1 or 1.0
    return low - room, high + room


def drawing(inside: str, label: str) -> str:
    """A picture; the label is for those who cannot see it."""
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    return f'<div class="wide"><svg role="img" aria-label="{html.escape(label)}" {size}>{inside}</svg></div>'


# -- tables ----------------------------------------------------------------------------------------------------------


def rows(names: Sequence[str], lines: Sequence[Sequence[str]], raw: bool = False, last: str = "") -> str:
    """A table.

    Args:
        names: of the columns; none, no head.
        lines: texts; HTML where `raw`.
        raw: whether the cells are HTML already.
        last: not empty where the last column is words, which stand on the left.
    """
    head = f"<tr>{''.join(f'<th>{html.escape(name)}</th>' for name in names)}</tr>" if names else ""
    body = []
    for line in lines:
        cells = [cell if raw else html.escape(cell) for cell in line]
        tags = [f"<td>{cell}</td>" for cell in cells[:-1]]
        tags.append(f'<td class="genes">{cells[-1]}</td>' if last or raw else f"<td>{cells[-1]}</td>")
        body.append(f"<tr>{''.join(tags)}</tr>")
    return f'<div class="wide"><table>{head}{"".join(body)}</table></div>'


def bar(share: float, kind: str) -> str:
    """A share as a bar, and in figures."""
    inside = f'<div class="{kind}" style="width:{100 * share:.1f}%"></div>'
    return f'<div class="bars" style="width:14rem">{inside}</div>{share:.2f}'


def shown(value: Any) -> str:
    """A value in few characters; "-" for None."""
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
