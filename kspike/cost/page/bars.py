"""Energy by layer: bars, and all numbers behind them as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kspike.cost.page.marks import mark
from kspike.cost.report.text import energy, quantity

if TYPE_CHECKING:
    from kspike.cost.report.data import EnergyData
    from kspike.cost.report.rows import EnergyRow


def layers(report: EnergyData, largest: float) -> list[dict[str, Any]]:
    """One bar a product; `largest`, in microjoules, fills the width."""
    whole = report.energy_mj * 1e3 or 1.0
    return [
        {
            "name": row.name,
            "mark": mark(row),
            "work": f"input {_rate(row)}, {quantity(row.macs)} MACs, {quantity(row.acs)} ACs",
            "colour": "orange" if row.macs > row.acs else "blue",
            "bar": 100 * row.energy_uj / (largest or 1.0),
            "energy": energy(row.energy_uj),
            "share": f"{100 * row.energy_uj / whole:.1f}",
        }
        for row in report.rows
    ]


def numbers(report: EnergyData) -> list[list[str]]:
    """The rows of the report: layer, kind, input rate, not zero, largest, dense, MACs, ACs, microjoules."""
    return [
        [
            row.name, row.kind, _rate(row), f"{row.active:.4f}", f"{row.largest:g}", f"{row.dense:,}",
            f"{row.macs:,.0f}", f"{row.acs:,.0f}", energy(row.energy_uj),
        ]
        for row in report.rows
    ]  # fmt: skip


def _rate(row: EnergyRow) -> str:
    # a mean of real values is no firing rate
    return "silent" if row.silent else "real" if row.macs > row.acs else f"{row.rate:.4f}"
