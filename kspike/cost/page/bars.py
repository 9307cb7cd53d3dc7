"""Energy by layer: bars, and all numbers behind them as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kspike.cost.page.parts import each, path, section
from kspike.cost.rendering import energy, quantity

if TYPE_CHECKING:
    from kspike.cost.report import EnergyReport
    from kspike.cost.rows import EnergyRow

_KEY = (
    '<p class="key"><span><i class="ac"></i>accumulates (spikes, counts)</span>'
    '<span><i class="mac"></i>multiplies (real values)</span></p>'
)


def show(reports: tuple[EnergyReport, ...]) -> str:
    """A bar a product, all on one scale."""
    most = max((row.energy_uj for report in reports for row in report.rows), default=0.0) or 1.0
    return section("Energy by layer", _KEY + each(reports, lambda report: _bars(report, most)))


def _bars(report: EnergyReport, most: float) -> str:
    whole = report.energy_mj * 1e3 or 1.0
    lines = []
    for row in report.rows:
        does = f"input {_rate(row)}, {quantity(row.macs)} MACs, {quantity(row.acs)} ACs"
        kind = "mac" if row.macs > row.acs else "ac"
        share = 100 * row.energy_uj / most
        bar = f'<i class="{kind}" style="width:{share:.2f}%"></i>' if row.energy_uj else ""
        lines.append(
            f'<tr title="{does}"><th scope="row">{path(row.name)}{_mark(row)}</th>'
            f'<td class="bar">{bar}</td>'
            f"<td>{energy(row.energy_uj)}</td><td>{100 * row.energy_uj / whole:.1f}</td></tr>"
        )
    head = "<tr><th>layer</th><th></th><th>µJ</th><th>%</th></tr>"
    return f'<div class="wide"><table class="bars">{head}{"".join(lines)}</table></div>'


def numbers(reports: tuple[EnergyReport, ...]) -> str:
    """The rows of the report, folded up."""
    body = each(reports, _numbers)
    return f"<section><details><summary>All numbers, layer by layer</summary>{body}</details></section>"


def _numbers(report: EnergyReport) -> str:
    lines = "".join(
        f'<tr><th scope="row">{path(row.name)}</th><td>{row.kind}</td><td>{_rate(row)}</td><td>{row.active:.4f}</td>'
        f"<td>{row.largest:g}</td><td>{row.dense:,}</td><td>{row.macs:,.0f}</td><td>{row.acs:,.0f}</td>"
        f"<td>{energy(row.energy_uj)}</td></tr>"
        for row in report.rows
    )
    names = ("layer", "kind", "input rate", "not zero", "largest", "dense", "MACs", "ACs", "µJ")
    head = "".join(f"<th>{name}</th>" for name in names)
    return f'<div class="wide"><table><tr>{head}</tr>{lines}</table></div>'


def _rate(row: EnergyRow) -> str:
    # a mean of real values is no firing rate
    return "silent" if row.silent else "real" if row.macs > row.acs else f"{row.rate:.4f}"


def _mark(row: EnergyRow) -> str:
    kind = "silent" if row.silent else "saturated" if row.saturated else ""
    return f' <b class="tag {kind}">{kind} input</b>' if kind else ""
