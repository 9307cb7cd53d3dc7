"""A search as one self-contained web page: front, history, genes that were chosen, genes that matter, best networks."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from kspike.tuners.engine.candidate import Candidate
from kspike.tuners.engine.importance import histogram, importance

_STYLE = """
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
svg .out{fill:var(--c);fill-opacity:.4}svg .front{fill:none;stroke:var(--b);stroke-width:2}
svg .line{fill:none;stroke:var(--a);stroke-width:2}
.first{background:var(--c)}.last{background:var(--a)}.edge{background:var(--b)}.bars div{height:.55rem;min-width:1px}
.key{display:inline-block;width:.8rem;height:.8rem;margin:0 .3rem 0 .8rem}
"""


def as_page(
    title: str,
    facts: Sequence[str],
    candidates: Sequence[Candidate],
    front: Sequence[Candidate],
    history: Sequence[Mapping[str, Any]],
    best: Sequence[Candidate],
    picked: Mapping[int, Mapping[str, float]],
) -> str:
    """The whole page as text; nothing in it is loaded from anywhere.

    Args:
        title: what was searched.
        facts: lines that say how.
        candidates: every candidate, those that failed too.
        front: the Pareto front.
        history: one row a finished generation.
        best: the networks to show, best first.
        picked: candidate number -> what the picking half of the validation data said.
    """
    inside = [c for c in candidates if c.completed]
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>{_STYLE}</style></head><body><h1>{html.escape(title)}</h1>",
        *(f'<p class="dim">{html.escape(line)}</p>' for line in facts),
    ]
    if not inside:
        parts.append("<p>No network has been evaluated yet.</p></body></html>\n")
        return "\n".join(parts)
    failed = len(candidates) - len(inside)
    parts += [
        f"<p>{len(inside):,} networks evaluated, {failed} failed; {len(front)} on the front.</p>",
        "<h2>Accuracy and energy</h2>",
        '<p class="dim">Inherited weights. Orange: the front over accuracy, energy and parameters; grey: outside the '
        "constraints.</p>",
        _scatter(inside, front),
        "<h2>Generations</h2>",
        _history(history),
        "<h2>Genes that matter</h2>",
        '<p class="dim">Share of the variance among evaluated networks that goes with a gene by itself, corrected for '
        "chance. The search chose these networks: genes that were chosen together share what either does.</p>",
        _importance(inside),
        "<h2>Genes that were chosen</h2>",
        _histograms(inside, front),
        "<h2>Best networks</h2>",
        _table(best, picked),
        "<h2>The front</h2>",
        _table(front, picked),
        "</body></html>\n",
    ]
    return "\n".join(parts)


# -- drawings --------------------------------------------------------------------------------------------------------

WIDTH, HEIGHT, LEFT, BELOW = 620, 300, 56, 34


class _Frame:
    """Maps numbers to places inside a drawing, and draws the axes."""

    def __init__(self, xs: Sequence[float], ys: Sequence[float]) -> None:
        self.x, self.y = _span(xs), _span(ys)

    def at(self, x: float, y: float) -> str:
        across = LEFT + (x - self.x[0]) / (self.x[1] - self.x[0]) * (WIDTH - LEFT - 10)
        down = 10 + (self.y[1] - y) / (self.y[1] - self.y[0]) * (HEIGHT - BELOW - 10)
        return f"{across:.1f},{down:.1f}"

    def dot(self, kind: str, c: Candidate, radius: float, x: float, y: float) -> str:
        across, down = self.at(x, y).split(",")
        sizes = f"{c.energy_mj:.6g} mJ, {c.parameters:,} parameters"
        about = html.escape(f"trial {c.number}: accuracy {c.accuracy:.4f}, {sizes}; {c.genome}")
        return f'<circle class="{kind}" cx="{across}" cy="{down}" r="{radius}"><title>{about}</title></circle>'

    def axes(self, below: str, beside: str) -> str:
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


def _drawing(inside: str, label: str) -> str:
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    return f'<div class="wide"><svg role="img" aria-label="{html.escape(label)}" {size}>{inside}</svg></div>'


def _scatter(candidates: Sequence[Candidate], front: Sequence[Candidate]) -> str:
    frame = _Frame([c.energy_mj for c in candidates], [c.accuracy for c in candidates])
    dots = [frame.dot("dot" if c.feasible else "out", c, 4, c.energy_mj, c.accuracy) for c in candidates]
    dots += [frame.dot("front", c, 6, c.energy_mj, c.accuracy) for c in front]
    return _drawing(frame.axes("energy of an image, mJ", "accuracy") + "".join(dots), "accuracy against energy")


def _history(history: Sequence[Mapping[str, Any]]) -> str:
    rows = [row for row in history if row.get("hypervolume") is not None]
    drawn = ""
    if rows:
        frame = _Frame([row["generation"] for row in rows], [row["hypervolume"] for row in rows])
        line = " ".join(frame.at(row["generation"], row["hypervolume"]) for row in rows)
        axes = frame.axes("generation", "hypervolume of the front")
        drawn = _drawing(f'{axes}<polyline class="line" points="{line}"/>', "hypervolume by generation")
    columns = ("generation", "evaluations", "failed", "infeasible", "best", "median", "front", "hypervolume", "seconds")
    return drawn + _rows(columns, [[_shown(row[name]) for name in columns] for row in history])


def _importance(candidates: Sequence[Candidate]) -> str:
    accuracy, energy = importance(candidates, lambda c: c.accuracy), importance(candidates, lambda c: c.energy_mj)
    lines = [[html.escape(name), _bar(share, "last"), _bar(energy[name], "edge")] for name, share in accuracy.items()]
    return _rows(("gene", "accuracy", "energy"), lines, raw=True)


def _bar(share: float, kind: str) -> str:
    bar = f'<div class="{kind}" style="width:{100 * share:.1f}%"></div>'
    return f'<div class="bars" style="width:14rem">{bar}</div>{share:.2f}'


def _histograms(candidates: Sequence[Candidate], front: Sequence[Candidate]) -> str:
    last = max(c.generation for c in candidates)
    groups = [
        ("first", "first generation", [c for c in candidates if c.generation == 0]),
        ("last", "last generation", [c for c in candidates if c.generation == last]),
        ("edge", "front", list(front)),
    ]
    key = "".join(f'<span class="key {kind}"></span>{name}' for kind, name, _ in groups)
    figures = []
    for gene in candidates[0].genome.space.genes:
        if len(gene.choices) < 2:
            continue
        shares = [(kind, histogram(members, gene)) for kind, _, members in groups]
        lines = [
            [f"{choice:g}", '<div class="bars" style="width:8rem">'
             + "".join(f'<div class="{kind}" style="width:{100 * share[i]:.1f}%"></div>' for kind, share in shares)
             + "</div>"]
            for i, choice in enumerate(gene.choices)
        ]  # fmt: skip
        figures.append(
            f"<figure><figcaption>{html.escape(gene.name)}</figcaption>{_rows((), lines, raw=True)}</figure>"
        )
    return f'<p class="dim">{key}</p><div class="row">{"".join(figures)}</div>'


def _table(candidates: Sequence[Candidate], picked: Mapping[int, Mapping[str, float]]) -> str:
    lines = []
    for c in candidates:
        second = picked.get(c.number, {}).get("accuracy")
        lines.append([
            str(c.number), _shown(c.score), f"{c.accuracy:.4f}", "" if second is None else f"{second:.4f}",
            f"{c.energy_mj:.6f}", f"{c.parameters:,}", f"{c.flops:,}", str(c.config.timesteps),
            f"{c.metrics.get('silent_layers', 0):g}", str(c.genome),
        ])  # fmt: skip
    names = (
        "trial", "score", "accuracy", "picking half", "energy, mJ", "parameters", "operations", "T", "silent layers",
        "genes",
    )  # fmt: skip
    return _rows(names, lines, last="genes")


def _rows(names: Sequence[str], lines: Sequence[Sequence[str]], raw: bool = False, last: str = "") -> str:
    head = f"<tr>{''.join(f'<th>{html.escape(name)}</th>' for name in names)}</tr>" if names else ""
    body = []
    for line in lines:
        cells = [cell if raw else html.escape(cell) for cell in line]
        tags = [f"<td>{cell}</td>" for cell in cells[:-1]]
        tags.append(f'<td class="genes">{cells[-1]}</td>' if last or raw else f"<td>{cells[-1]}</td>")
        body.append(f"<tr>{''.join(tags)}</tr>")
    return f'<div class="wide"><table>{head}{"".join(body)}</table></div>'


def _shown(value: Any) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
