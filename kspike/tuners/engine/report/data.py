"""Plain data for the pages of all searches: scores against energy, gene importance, chosen gene values.

`kspike/pages/templates` lays it out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from kspike.pages import Chart, Point, Series, chart
from kspike.pages.chart import LARGE
from kspike.space import SearchSpace
from kspike.tuners.engine.candidate import Candidate
from kspike.tuners.engine.report.importance import by_choice, histogram, importance
from kspike.tuners.engine.report.score_axis import ScoreAxis


@dataclasses.dataclass(frozen=True)
class Rows:
    """A table: names of its columns, and texts."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def score_chart(
    axis: ScoreAxis, candidates: Sequence[Candidate], front: Sequence[Candidate], number: str = "trial"
) -> Chart:
    """Candidates by score and energy, with the energy's spread where it is known, and the front.

    Args:
        axis: the vertical axis.
        candidates: all that were measured.
        front: those on the front.
        number: what a candidate's number counts.
    """

    def point(c: Candidate, spread: float = 0.0) -> Point:
        sizes = f"{c.energy_mj:.6g} mJ, {c.parameters:,} parameters; {c.genome}"
        about = f"{number} {c.number}: {axis.name} {axis.text(c)}, {sizes}"
        return Point(c.energy_mj, axis.of(c), about, spread=spread)

    inside, outside = (
        [point(c, c.metrics.get("energy_mj_std", 0.0)) for c in candidates if c.feasible is feasible]
        for feasible in (True, False)
    )
    series = [
        Series("grey", outside, dots="faint"),
        Series("blue", inside, dots="faint"),
        Series("orange", [point(c) for c in front], dots="ring", radius=6),
    ]
    return chart(axis.name, "energy of an image, mJ", series, label=f"{axis.name} against energy", size=LARGE)


def gene_importance(axis: ScoreAxis, candidates: Sequence[Candidate]) -> list[tuple[str, float, float]]:
    """(gene, share of the score's variance that it explains, share of the energy's), the first share descending."""
    of_score, of_energy = importance(candidates, axis.of), importance(candidates, lambda c: c.energy_mj)
    return [(name, share, of_energy[name]) for name, share in of_score.items()]


def choice_importance(axis: ScoreAxis, candidates: Sequence[Candidate]) -> list[tuple[str, str, float, float]]:
    """(gene, choice, how the score goes with it, how the energy does), gene by gene, for words alone."""
    of_score, of_energy = by_choice(candidates, axis.of), by_choice(candidates, lambda c: c.energy_mj)
    return [(*which, value, of_energy[which]) for which, value in of_score.items()]


def chosen_values(
    space: SearchSpace, groups: Sequence[Sequence[Candidate]]
) -> list[tuple[str, list[tuple[str, list[float]]]]]:
    """How often each choice of a gene is in groups of candidates: (gene, [(choice, [its share in every group])])."""
    found = []
    for gene in space.genes:
        if len(gene.choices) > 1:
            shares = zip(*(histogram(members, gene) for members in groups), strict=True)
            choices = [(label, list(each)) for label, each in zip(gene.labels, shares, strict=True)]
            found.append((gene.name, choices))
    return found


def shown(value: Any) -> str:
    """A value in few characters; "-" for None."""
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
