"""An energy report as a table for the terminal, and two of them side by side."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from kspike._messages import counted
from kspike.cost.report.findings import advice

if TYPE_CHECKING:
    from kspike.cost.report.data import EnergyData

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


#: What a millijoule is in every unit that `joules` chooses from.
PER_MILLIJOULE = {"mJ": 1.0, "µJ": 1e3, "nJ": 1e6}


def joules(millijoules: float) -> tuple[float, str]:
    """An energy in the unit that leaves few zeros in front: (value, unit). Cards and reports hold millijoules."""
    unit = "mJ" if millijoules >= 0.01 or millijoules == 0 else "µJ" if millijoules >= 1e-5 else "nJ"
    return millijoules * PER_MILLIJOULE[unit], unit


def as_text(report: EnergyData) -> str:
    """The table, the totals and the advice."""
    out = io.StringIO()
    console = Console(file=out, width=WIDTH, highlight=False)
    console.print(_table(report))
    ac, mac, dense = (quantity(report.total(kind)) for kind in ("ac", "mac", "dense"))
    lines = (
        _energy(report),
        *_readings(report),
        f"{ac} accumulations, {mac} multiply-accumulates, of {dense} dense; {report.parameters:,} parameters",
        f"ANN twin: {quantity(report.ann.macs)} multiply-accumulates{_twin(report)}",
        f"Convention {report.convention.name!r}: {report.convention.source}",
        f"An integer above 1 is {report.convention.integers}.",
        *advice(report),
    )
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def _energy(report: EnergyData) -> str:
    """Joules with their interval; a convention that charges none has operations alone."""
    if report.convention.free:
        return f"Operations of an image, T={report.timesteps} (mean of {counted(report.images, 'image')})"
    low, high = report.energy_interval_mj
    return (
        f"{report.energy_mj:.6g} mJ an image, T={report.timesteps} "
        f"(mean of {counted(report.images, 'image')}, 95 % interval {low:.6g} to {high:.6g})"
    )


def _twin(report: EnergyData) -> str:
    if report.convention.free:
        return ""
    return f", {report.ann.float32_mj:.6g} mJ in float32, {report.ann.int8_mj:.6g} mJ in int8"


def _table(report: EnergyData) -> Table:
    free = report.convention.free
    title = f"{'Operations' if free else 'Energy'} of {report.model}, one image"
    table = Table(box=None, pad_edge=False, title=Text(title), title_justify="left")
    marked = any(row.silent or row.saturated for row in report.rows)
    table.add_column("layer")
    for column in ("rate", "dense", "MACs", "ACs", *(() if free else ("µJ", "%"))):
        table.add_column(column, justify="right")
    if marked:
        table.add_column("")
    whole = report.energy_mj * 1e3
    for row in report.rows:
        share = 100 * row.energy_uj / whole if whole else 0.0
        numbers = [quantity(row.dense), quantity(row.macs), quantity(row.acs)]
        numbers += [] if free else [energy(row.energy_uj), f"{share:.1f}"]
        # a mean of real values is no firing rate
        rate = "silent" if row.silent else "real" if row.macs and not row.acs else f"{row.rate:.4f}"
        mark = "nothing arrives" if row.silent else "saturated input" if row.saturated else ""
        table.add_row(Text(row.name), rate, *numbers, *([mark] if marked else []))
    return table


def _readings(report: EnergyData) -> list[str]:
    """Accuracy at the end, and accuracy and energy after every step before it."""
    lines = [] if report.accuracy is None else [f"{100 * report.accuracy:.2f} % of the images classified as labelled"]
    early = [r for r in report.readings[:-1] if r.accuracy is not None]
    if early:
        joules = "" if report.convention.free else ", {:.4g} mJ"
        parts = (f"t={r.step}: {100 * r.accuracy:.2f} %{joules.format(r.energy_mj)}" for r in early)  # type: ignore[operator]
        lines.append(f"Read after fewer steps (running mean of the logits): {'; '.join(parts)}")
    return lines


def as_comparison(first: EnergyData, second: EnergyData) -> str:
    """Two reports side by side, total by total."""
    table = Table(box=None, pad_edge=False)
    for column in ("", first.model, second.model, "times"):
        table.add_column(Text(column), justify="left" if not column else "right")
    lines: tuple[tuple[str, Callable[[Any], Any], Callable[[Any], str]], ...] = (
        ("energy, mJ", lambda r: None if r.convention.free else r.energy_mj, lambda v: f"{v:.6g}"),
        ("accuracy, %", lambda r: None if r.accuracy is None else 100 * r.accuracy, lambda v: f"{v:.2f}"),
        ("accumulations", lambda r: r.total("ac"), quantity),
        ("multiply-accumulates", lambda r: r.total("mac"), quantity),
        ("dense", lambda r: r.total("dense"), quantity),
        ("firing rate", lambda r: r.firing_rate, lambda v: f"{v:.4f}"),
        ("parameters", lambda r: r.parameters, lambda v: f"{v:,}"),
        ("time steps", lambda r: r.timesteps, str),
    )
    for name, value, show in lines:
        values = [value(report) for report in (first, second)]
        if None in values:
            continue
        times = f"{values[1] / values[0]:.3g}" if values[0] else ""
        table.add_row(name, *map(show, values), times)
    out = io.StringIO()
    Console(file=out, width=WIDTH, highlight=False).print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())
