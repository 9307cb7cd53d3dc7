"""Energy by layer: bars, and all numbers behind them as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kspike.cost.page.marks import mark
from kspike.cost.report.text import energy, quantity

if TYPE_CHECKING:
    from kspike.cost.report.data import EnergyData
    from kspike.cost.report.rows import EnergyRow


def charged(report: EnergyData, row: EnergyRow) -> float:
    """What a product is charged: microjoules, or operations by a convention that knows no energy."""
    return row.acs + row.macs if report.convention.free else row.energy_uj


def layers(report: EnergyData, largest: float) -> list[dict[str, Any]]:
    """One bar a product; `largest`, in microjoules or operations, fills the width."""
    whole = sum(charged(report, row) for row in report.rows) or 1.0
    show = quantity if report.convention.free else energy
    return [
        {
            "name": row.name,
            "mark": mark(row),
            "work": f"input {_rate(row)}, {quantity(row.macs)} MACs, {quantity(row.acs)} ACs",
            "colour": "orange" if row.macs > row.acs else "blue",
            "bar": 100 * charged(report, row) / (largest or 1.0),
            "charged": show(charged(report, row)),
            "share": f"{100 * charged(report, row) / whole:.1f}",
        }
        for row in report.rows
    ]


def numbers(report: EnergyData) -> list[list[str]]:
    """The rows of the report: layer, kind, input rate, not zero, largest, dense, MACs, ACs, and microjoules if any."""
    return [
        [
            row.name, row.kind, _rate(row), f"{row.active:.4f}", f"{row.largest:g}", f"{row.dense:,}",
            f"{row.macs:,.0f}", f"{row.acs:,.0f}", *([] if report.convention.free else [energy(row.energy_uj)]),
        ]
        for row in report.rows
    ]  # fmt: skip


def _rate(row: EnergyRow) -> str:
    # a mean of real values is no firing rate
    return "silent" if row.silent else "real" if row.macs > row.acs else f"{row.rate:.4f}"
