"""Pieces that the sections of the page share."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kspike.cost.report import EnergyReport

#: Classes of the first and the second model: their colours.
MODELS = ("first", "second")


def section(title: str, body: str, note: str = "") -> str:
    """A heading, a line that says how to read what follows, and what follows."""
    note = f'<p class="dim note">{note}</p>' if note else ""
    return f"<section><h2>{title}</h2>{note}{body}</section>"


def each(reports: tuple[EnergyReport, ...], show: Callable[[EnergyReport], str]) -> str:
    """One panel a report, side by side where there are two and the window is wide; nothing where none has content."""
    bodies = [show(report) for report in reports]
    if not any(bodies):
        return ""
    if len(reports) == 1:
        return f'<div class="panel">{bodies[0]}</div>'
    panels = (
        f'<div class="panel"><h3 class="{mark}">{escape(report.model)}</h3>{body or "<p>Nothing to show.</p>"}</div>'
        for report, mark, body in zip(reports, MODELS, bodies, strict=True)
    )
    return f'<div class="pair">{"".join(panels)}</div>'


def path(name: str) -> str:
    """A layer's path, its last part set off from what it stands in."""
    inside, _, last = (escape(part).replace("/", "/<wbr>") for part in name.rpartition("/"))
    last = last.replace("_", "_<wbr>")
    return f'<span class="path">{inside}/</span><wbr>{last}' if inside else last
