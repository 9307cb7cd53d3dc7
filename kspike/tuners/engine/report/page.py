"""A search by evolution as one web page: front, history, genes that matter and were chosen, best networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kspike.pages import Chart, Point, Series, chart, render
from kspike.pages.chart import LARGE
from kspike.tuners.engine.candidate import Candidate
from kspike.tuners.engine.report.data import (
    Rows,
    choice_importance,
    chosen_values,
    gene_importance,
    score_chart,
    shown,
)
from kspike.tuners.engine.report.score_axis import ACCURACY
from kspike.tuners.engine.report.wording import genes

#: Of the table of generations.
COLUMNS = ("generation", "evaluations", "failed", "infeasible", "best", "median", "front", "hypervolume", "seconds")


def as_page(
    title: str,
    facts: Sequence[str],
    candidates: Sequence[Candidate],
    front: Sequence[Candidate],
    history: Sequence[Mapping[str, Any]],
    best: Sequence[Candidate],
    picked: Mapping[int, Mapping[str, float]],
    more: Sequence[str] = (),
) -> str:
    """The whole page as text; nothing in it is loaded from anywhere.

    Args:
        title: what was searched.
        facts: lines about the settings of the search.
        candidates: every candidate, those that failed too.
        front: the Pareto front.
        history: one row a finished generation.
        best: the networks to show, best first.
        picked: candidate number -> what the picking half of the validation data said.
        more: further metrics, each a column of the tables of networks.
    """
    inside = [c for c in candidates if c.completed]
    if not inside:
        return render("search.html", title=title, facts=facts, evaluated=0)
    last = max(c.generation for c in inside)
    groups = [
        ("grey", "first generation", [c for c in inside if c.generation == 0]),
        ("blue", "last generation", [c for c in inside if c.generation == last]),
        ("orange", "front", front),
    ]
    return render(
        "search.html",
        title=title,
        facts=facts,
        evaluated=len(inside),
        failed=len(candidates) - len(inside),
        scores=score_chart(ACCURACY, inside, front),
        hypervolume=_hypervolume(history),
        history=generations(history),
        importance=gene_importance(ACCURACY, inside),
        by_choice=choice_importance(ACCURACY, inside),
        groups=[(colour, name) for colour, name, _ in groups],
        chosen=chosen_values(inside[0].genome.space, [members for _, _, members in groups]),
        best=_networks(best, picked, more),
        front=_networks(front, picked, more),
    )


def generations(history: Sequence[Mapping[str, Any]]) -> Rows:
    """Finished generations as a table."""
    return Rows(COLUMNS, [[shown(row[name]) for name in COLUMNS] for row in history])


def _hypervolume(history: Sequence[Mapping[str, Any]]) -> Chart | None:
    known = [Point(row["generation"], row["hypervolume"]) for row in history if row.get("hypervolume") is not None]
    if not known:
        return None
    line = Series("blue", known, line=True, dots="")
    return chart(
        "hypervolume of the front", "generation", [line], label="hypervolume by generation", size=LARGE, whole=True
    )


def _networks(candidates: Sequence[Candidate], picked: Mapping[int, Mapping[str, float]], more: Sequence[str]) -> Rows:
    lines = []
    for c in candidates:
        second = picked.get(c.number, {}).get("accuracy")
        lines.append([
            str(c.number), shown(c.score), f"{c.accuracy:.4f}", "" if second is None else f"{second:.4f}",
            f"{c.energy_mj:.6f}", f"{c.parameters:,}", f"{c.flops:,}", str(c.config.timesteps),
            f"{c.metrics.get('silent_layers', 0):g}", *(shown(c.metrics.get(name)) for name in more), genes(c.genome),
        ])  # fmt: skip
    names = (
        "trial", "score", "accuracy", "picking half", "energy, mJ", "parameters", "operations", "T", "silent layers",
        *more, "genes",
    )  # fmt: skip
    return Rows(names, lines)
