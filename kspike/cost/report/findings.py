"""Problems that the firing rates of a report show, and what to try."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from kspike._messages import counted

if TYPE_CHECKING:
    from kspike.cost.report.data import EnergyData


@dataclasses.dataclass(frozen=True)
class Finding:
    """Neuron layers that do no work, and the remedy.

    Args:
        kind: "silent" or "saturated".
        meaning: what was seen.
        layers: paths of the layers.
        remedy: what to try.
    """

    kind: str
    meaning: str
    layers: tuple[str, ...]
    remedy: str

    def __str__(self) -> str:
        return f"{self.kind.capitalize()} ({self.meaning}): {', '.join(self.layers)}. {self.remedy}"


def findings(report: EnergyData) -> tuple[Finding, ...]:
    """Silent layers first: the products after them do nothing, and their low energy is no merit."""
    found = (
        Finding(
            "silent",
            f"no spike in {counted(report.images, 'image')}",
            report.silent,
            "Try a lower v_threshold or tau there, calibrate the normalisation on training images, or train with "
            "kspike.regularizers.FiringRate(lower=...).",
        ),
        Finding(
            "saturated",
            "firing nearly always",
            report.saturated,
            "Try a higher v_threshold there, calibrate the normalisation on training images, or train with "
            "kspike.regularizers.FiringRate(upper=...).",
        ),
    )
    return tuple(finding for finding in found if finding.layers)


def advice(report: EnergyData) -> tuple[str, ...]:
    """One sentence for each problem that the numbers show, with what to try; then what was not counted."""
    out = [str(finding) for finding in findings(report)]
    if report.convention.free:
        out.append(f"Convention {report.convention.name!r} counts operations and knows no energy: no joules are shown.")
    return (*out, *report.notes)
