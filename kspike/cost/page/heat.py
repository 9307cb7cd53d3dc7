"""Firing rate, layer by time step, as a heat map."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kspike.cost.page.parts import each, path, section

if TYPE_CHECKING:
    from kspike.cost.report import EnergyReport

#: From this share of the darkest shade on, text stands in the colour of the paper.
_DARK = 0.6
_NOTE = "Spikes a neuron and time step, mean over images and neurons. Shades follow the root of the rate."


def show(reports: tuple[EnergyReport, ...]) -> str:
    """A row a neuron layer, a column a time step."""
    body = each(reports, _map)
    return section("Firing rate by layer and time step", _scale() + body, _NOTE) if body else ""


def _map(report: EnergyReport) -> str:
    if not report.neurons:
        return ""
    steps = max(len(row.rates) for row in report.neurons)
    lines = []
    for row in report.neurons:
        kind = "silent" if row.silent else "saturated" if row.saturated else ""
        tag = f' <b class="tag {kind}">{kind}</b>' if kind else ""
        cells = "".join(_cell(rate) for rate in row.rates) + "<td></td>" * (steps - len(row.rates))
        lines.append(f'<tr><th scope="row">{path(row.name)}{tag}</th>{cells}<td class="mean">{row.rate:.3f}</td></tr>')
    head = "".join(f"<th>{t + 1}</th>" for t in range(steps))
    table = f'<table class="heat"><tr><th>neurons, step</th>{head}<th>mean</th></tr>{"".join(lines)}</table>'
    return f'<div class="wide">{table}</div>'


def _shade(rate: float) -> float:
    return min(max(rate, 0.0), 1.0) ** 0.5  # most layers fire below 0.2: a root tells them apart


def _cell(rate: float) -> str:
    shade = _shade(rate)
    dark = ' class="dark"' if shade > _DARK else ""
    # a rate of 0.0004 is no silent layer: three digits would not say so
    text = f"{rate:.3f}" if rate == 0 or rate >= 0.001 else "&lt;.001"
    return f'<td{dark} style="--s:{100 * shade:.0f}%" title="{rate:.5f}">{text}</td>'


def _scale() -> str:
    marks = "".join(
        f'<span{" class=dark" if _shade(rate) > _DARK else ""} style="--s:{100 * _shade(rate):.0f}%">{rate:g}</span>'
        for rate in (0, 0.05, 0.1, 0.2, 0.4, 0.7, 1)
    )
    return f'<div class="scale">{marks}</div>'
