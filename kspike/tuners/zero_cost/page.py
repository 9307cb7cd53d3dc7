"""A zero-cost search as one web page: scores against energy, the front, genes, the best networks, what was rejected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kspike.pages import Chart, Point, Series, chart, render
from kspike.pages.chart import LARGE
from kspike.tuners.engine import Candidate
from kspike.tuners.engine.ranking.ranking import Ranking
from kspike.tuners.engine.report.data import Rows, choice_importance, chosen_values, gene_importance, score_chart
from kspike.tuners.project.text import genes
from kspike.tuners.scores import Score
from kspike.tuners.zero_cost.text import rows_of, score_axis

#: Different costs that are drawn, evenly spaced where a space has more.
DRAWN = 1500


def as_page(
    facts: Sequence[str],
    ranking: Ranking,
    score: Score,
    shortlisted: Sequence[Candidate],
    front: Sequence[Candidate],
    best: Sequence[Candidate],
    rejected: Sequence[tuple[Any, str]],
) -> str:
    """The whole page as text; nothing in it is loaded from anywhere.

    Args:
        facts: lines that say what was ranked, how exactly, and how ties were broken.
        ranking: by count.
        score: what ranks, counted or measured.
        shortlisted: every network that was measured and not rejected; none where nothing was measured.
        front: those on the Pareto front.
        best: the networks to show, best first.
        rejected: (genome, why).
    """
    ranked, more = bool(best or shortlisted), ranking.constraints.beside
    return render(
        "zero_cost.html",
        title=f"Search without training in {ranking.space.name}",
        facts=facts,
        measured=_measured(score, shortlisted, front, more) if shortlisted else None,
        best=Rows(*rows_of(best, score, more)),
        costs=_costs(ranking, [*shortlisted, *best]) if ranked else None,
        rejected=[[genes(genome), why] for genome, why in rejected],
    )


def _measured(
    score: Score, shortlisted: Sequence[Candidate], front: Sequence[Candidate], more: Sequence[str]
) -> dict[str, Any]:
    axis = score_axis(score)
    return {
        "kept": len(shortlisted),
        "score": axis.name,
        "scores": score_chart(axis, shortlisted, front, "place"),
        "front": Rows(*rows_of(front, score, more)),
        "importance": gene_importance(axis, shortlisted),
        "by_choice": choice_importance(axis, shortlisted),
        "groups": [("grey", "shortlist"), ("orange", "front")],
        "chosen": chosen_values(shortlisted[0].genome.space, [shortlisted, front]),
    }


def _costs(ranking: Ranking, chosen: Sequence[Candidate]) -> Chart:
    """The costs that were ranked, as parameters and FLOPs, with the chosen ones marked."""

    def points(costs: Sequence[tuple[int, int]]) -> list[Point]:
        return [Point(p / 1e6, f / 1e9, f"{p:,} parameters, {f:,} FLOPs") for p, f in costs]

    series = [
        Series("blue", points(ranking.costs(DRAWN)), dots="faint", radius=3),
        Series("orange", points(sorted({(c.parameters, c.flops) for c in chosen})), dots="ring", radius=5),
    ]
    return chart("GFLOPs", "million parameters", series, label="FLOPs against parameters", size=LARGE)
