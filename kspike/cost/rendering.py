"""An energy report as a table for the terminal."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from kspike.cost.report import EnergyReport

#: Wide enough for the longest path and all numbers; a narrower terminal folds the text, and every number stays.
WIDTH = 110


def quantity(value: float) -> str:
    """A count in three digits with its unit: 1327104 -> '1.33 M'."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g}"


def energy(microjoules: float) -> str:
    """Microjoules in three digits, or as many as an energy below 0.001 needs."""
    return f"{microjoules:,.3f}" if microjoules >= 0.001 or microjoules == 0 else f"{microjoules:.2e}"


def as_text(report: EnergyReport) -> str:
    """The table, the totals and what they point at."""
    out = io.StringIO()
    console = Console(file=out, width=WIDTH, highlight=False)
    console.print(_table(report))
    low, high = report.energy_interval_mj
    ac, mac, dense = (quantity(report.total(kind)) for kind in ("ac", "mac", "dense"))
    lines = (
        f"{report.energy_mj:.6g} mJ an image, T={report.timesteps} "
        f"(mean of {report.images:,} images, 95 % interval {low:.6g} to {high:.6g})",
        f"{ac} accumulations, {mac} multiply-accumulates, of {dense} dense; {report.parameters:,} parameters",
        f"Convention {report.convention.name!r}: {report.convention.source}",
        *report.advice(),
    )
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def _table(report: EnergyReport) -> Table:
    table = Table(box=None, pad_edge=False, title=f"Energy of {report.model}, one image", title_justify="left")
    table.add_column("layer")
    for column in ("rate", "dense", "MACs", "ACs", "µJ", "%"):
        table.add_column(column, justify="right")
    whole = report.energy_mj * 1e3
    for row in report.rows:
        share = 100 * row.energy_uj / whole if whole else 0.0
        numbers = [quantity(row.dense), quantity(row.macs), quantity(row.acs), energy(row.energy_uj), f"{share:.1f}"]
        # a mean of real values is no firing rate
        rate = "silent" if row.silent else "real" if row.macs and not row.acs else f"{row.rate:.4f}"
        table.add_row(row.name, rate, *numbers)
    return table
