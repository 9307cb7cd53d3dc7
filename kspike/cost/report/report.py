"""EnergyReport: where the energy of one image goes, as numbers, a table, CSV, JSON and a web page."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from kspike._csv import as_csv
from kspike._files import write_text
from kspike.cost.conventions.base import Convention, get
from kspike.cost.measured.anytime import recharged
from kspike.cost.report.data import ENERGIES, EnergyData
from kspike.cost.report.findings import advice
from kspike.cost.report.rows import EnergyRow, product_rows, spread


@dataclasses.dataclass(frozen=True)
class EnergyReport(EnergyData):
    """`EnergyData` that can be charged by another convention, shown and written to files.

    `kspike.cost.measure` gives one; its fields are those of `kspike.cost.report.data.EnergyData`.
    """

    def under(self, convention: str | Convention) -> EnergyReport:
        """The same measurement charged by another convention; nothing is run again.

        Raises:
            ValueError: an unknown convention.
        """
        rule = get(convention)
        rows, deviation = product_rows(self.products, rule), spread(self.products, rule)
        readings = recharged(self.readings, self.products, rule)
        return dataclasses.replace(self, convention=rule, rows=rows, energy_std_mj=deviation, readings=readings)

    def advice(self) -> tuple[str, ...]:
        """One sentence for each problem that the numbers show, with what to try; then what was not counted."""
        return advice(self)

    def __str__(self) -> str:
        from kspike.cost.report.text import as_text

        return as_text(self)

    # -- as files -----------------------------------------------------------------------------------------------

    def to_json(self, path: str | Path) -> Path:
        """Writes the report as JSON (atomically: never half a file)."""
        return write_text(path, json.dumps(self.to_dict(), indent=2) + "\n")

    def to_csv(self, path: str | Path, beside: EnergyReport | None = None) -> Path:
        """Writes one line a product (atomically); with another report, its lines too, and the model as first column.

        A convention that charges no energy has no columns of energy.
        """
        reports = (self,) if beside is None else (self, beside)
        left_out = {"rates", "energies_uj", *(ENERGIES if all(r.convention.free for r in reports) else ())}
        columns = [f.name for f in dataclasses.fields(EnergyRow) if f.name not in left_out]
        steps = max((len(row.rates) for report in reports for row in report.rows), default=0)
        lines: list[list[Any]] = [[*(["model"] if beside else []), *columns, *(f"rate_{t}" for t in range(steps))]]
        for report in reports:
            for row in report.rows:
                values = (getattr(row, c) for c in columns)
                lines.append([*([report.model] if beside else []), *values, *row.rates])
        return write_text(path, as_csv(lines))

    def to_html(self, path: str | Path, beside: EnergyReport | None = None) -> Path:
        """Writes one self-contained page that works offline (atomically).

        Args:
            path: of the page.
            beside: another report, shown on the right of this one.

        Raises:
            ValueError: the two were charged by different conventions: their energies do not compare.
        """
        from kspike.cost.page import as_page

        return write_text(path, as_page(self, beside))
