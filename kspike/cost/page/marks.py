"""What sections of the page share: the models' colours, and the mark of a silent or saturated row."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kspike.cost.report.rows import EnergyRow, NeuronRow

#: Of the first and of the second model.
COLOURS = ("blue", "violet")


def mark(row: EnergyRow | NeuronRow) -> str:
    """The word "silent" or "saturated"; "" where a row is neither."""
    return "silent" if row.silent else "saturated" if row.saturated else ""
