"""A zero-cost search as one web page: scores against energy, the front, genes, the best networks, what was rejected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kspike.tuners.engine import Candidate
from kspike.tuners.engine.drawing import Frame, document, drawing, rows, section
from kspike.tuners.engine.ranking import Ranking
from kspike.tuners.engine.sections import genes_that_matter, genes_that_were_chosen, scatter
from kspike.tuners.scores import Score
from kspike.tuners.tuner_report import genes
from kspike.tuners.tuner_zero_cost_lines import promise_of, rows_of

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
    title = f"Search without training in {ranking.space.name}"
    if not best and not shortlisted:
        return document(title, facts, ["<p>No network has been ranked yet.</p>"])
    best_networks = section("Best networks", _table(best, score))
    if shortlisted:
        told = f"{len(shortlisted):,} networks measured and kept, {len(rejected)} rejected; {len(front)} on the front."
        scores, *others = _measured(score, shortlisted, front)
        parts = [f"<p>{told}</p>", scores, best_networks, *others]
    else:
        parts = [best_networks]
    parts += [
        section(
            "What was ranked",
            _costs(ranking, [*shortlisted, *best]),
            "Every dot is a cost that networks inside the constraints have, not one network. Orange: those on the "
            "shortlist, or handed out.",
        ),
    ]
    if rejected:
        lines = [[genes(genome), why] for genome, why in rejected]
        parts.append(section("Rejected", rows(("genes", "why"), lines, words=2)))
    return document(title, facts, parts)


def _measured(score: Score, shortlisted: Sequence[Candidate], front: Sequence[Candidate]) -> list[str]:
    promise = promise_of(score)
    return [
        section(
            "Score and expected energy",
            scatter(promise, shortlisted, front, "place"),
            "Untrained networks, means over initialisations; the lines: a standard deviation to either side. Orange: "
            "the front. None of this says how accurate a network becomes.",
        ),
        section("The front", _table(front, score)),
        genes_that_matter(promise, shortlisted, "networks of the shortlist"),
        genes_that_were_chosen(
            shortlisted[0].genome.space, [("first", "shortlist", shortlisted), ("edge", "front", front)]
        ),
    ]


def _table(candidates: Sequence[Candidate], score: Score) -> str:
    names, lines = rows_of(candidates, score)
    return rows(names, lines, words=1)


def _costs(ranking: Ranking, chosen: Sequence[Candidate]) -> str:
    """The costs that were ranked, as parameters and FLOPs, and the chosen among them."""
    costs = ranking.costs(DRAWN)
    marked = sorted({(c.parameters, c.flops) for c in chosen})
    both = [*costs, *marked]
    frame = Frame([p / 1e6 for p, _ in both], [f / 1e9 for _, f in both])
    dots = []
    for kind, radius, members in (("dot", 3, costs), ("front", 5, marked)):
        for p, f in members:
            dots.append(frame.dot(kind, radius, p / 1e6, f / 1e9, f"{p:,} parameters, {f:,} FLOPs"))
    return drawing(frame.axes("million parameters", "GFLOPs") + "".join(dots), "FLOPs against parameters")
