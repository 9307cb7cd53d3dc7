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
td{white-space:nowrap}td.left,th.left{text-align:left}td.words{white-space:normal;min-width:15rem}
tr+tr td{border-top:1px solid var(--line)}figcaption{font-size:.85rem;color:var(--dim)}
svg text{fill:var(--dim);font-size:11px}svg .axis{stroke:var(--line)}svg .dot{fill:var(--a);fill-opacity:.45}
svg .spread{stroke:var(--a);stroke-opacity:.35}
svg .out{fill:var(--c);fill-opacity:.4}svg .front{fill:none;stroke:var(--b);stroke-width:2}
svg .line{fill:none;stroke:var(--a);stroke-width:2}
.first{background:var(--c)}.last{background:var(--a)}.edge{background:var(--b)}.bars div{height:.55rem;min-width:1px}
.share{display:flex;align-items:center;gap:.6rem}
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

WIDTH, HEIGHT, LEFT, BELOW = 620, 300, 72, 34


class Frame:
    """Maps numbers to places inside a drawing, and draws the axes."""

    def __init__(self, xs: Sequence[float], ys: Sequence[float]) -> None:
        self.ends = (min(xs), max(xs)), (min(ys), max(ys))
        self.x, self.y = _span(*self.ends[0]), _span(*self.ends[1])

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
        """Both axes with their names, and the least and the largest value where they lie."""
        base, up = HEIGHT - BELOW, (HEIGHT - BELOW) / 2
        parts = [
            f'<path class="axis" fill="none" d="M{LEFT},10V{base}H{WIDTH - 10}"/>',
            f'<text x="{(LEFT + WIDTH) / 2}" y="{base + 28}" text-anchor="middle">{html.escape(below)}</text>',
            f'<text x="12" y="{up}" text-anchor="middle" transform="rotate(-90 12 {up})">{html.escape(beside)}</text>',
        ]
        for x in sorted(set(self.ends[0])):
            across, _ = self.at(x, self.ends[1][0])
            parts.append(f'<text x="{across:.1f}" y="{base + 14}" text-anchor="middle">{x:.4g}</text>')
        for y in sorted(set(self.ends[1])):
            _, down = self.at(self.ends[0][0], y)
            parts.append(f'<text x="{LEFT - 4}" y="{down + 4:.1f}" text-anchor="end">{y:.3g}</text>')
        return "".join(parts)


def _span(low: float, high: float) -> tuple[float, float]:
    room = 0.04 * (high - low) or abs(high) * 0.1 or 1.0
    return low - room, high + room


def drawing(inside: str, label: str) -> str:
    """A picture; the label is for those who cannot see it."""
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    return f'<div class="wide"><svg role="img" aria-label="{html.escape(label)}" {size}>{inside}</svg></div>'


# -- tables ----------------------------------------------------------------------------------------------------------


def rows(names: Sequence[str], lines: Sequence[Sequence[str]], raw: bool = False, words: int = 0) -> str:
    """A table; figures stand on the right.

    Args:
        names: of the columns; none, no head.
        lines: texts; HTML where `raw`.
        raw: whether the cells are HTML already: words first, then bars, which stand on the left.
        words: how many of the last columns are words, which stand on the left and may break.
    """

    def cell(tag: str, i: int, n: int, inside: str) -> str:
        kinds = ["left", "words"] if i >= n - words else ["left"] if raw and i > 0 else []
        return f'<{tag} class="{" ".join(kinds)}">{inside}</{tag}>' if kinds else f"<{tag}>{inside}</{tag}>"

    head = [cell("th", i, len(names), html.escape(name)) for i, name in enumerate(names)]
    body = [
        [cell("td", i, len(line), inside if raw else html.escape(inside)) for i, inside in enumerate(line)]
        for line in lines
    ]
    found = "".join(f"<tr>{''.join(line)}</tr>" for line in [*([head] if names else []), *body])
    return f'<div class="wide"><table>{found}</table></div>'


def bar(share: float, kind: str) -> str:
    """A share as a bar, and in figures."""
    inside = f'<div class="{kind}" style="width:{100 * share:.1f}%"></div>'
    return f'<div class="share"><div class="bars" style="width:14rem">{inside}</div>{share:.2f}</div>'


def shown(value: Any) -> str:
    """A value in few characters; "-" for None."""
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
