"""A search by evolution as one web page: front, history, genes that matter and were chosen, best networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kspike.tuners.engine.candidate import Candidate
from kspike.tuners.engine.drawing import Frame, document, drawing, rows, section, shown
from kspike.tuners.engine.sections import ACCURACY, genes_that_matter, genes_that_were_chosen, scatter


def as_page(
    title: str,
    facts: Sequence[str],
    candidates: Sequence[Candidate],
    front: Sequence[Candidate],
    history: Sequence[Mapping[str, Any]],
    best: Sequence[Candidate],
    picked: Mapping[int, Mapping[str, float]],
) -> str:
    """The whole page as text; nothing in it is loaded from anywhere.

    Args:
        title: what was searched.
        facts: lines that say how.
        candidates: every candidate, those that failed too.
        front: the Pareto front.
        history: one row a finished generation.
        best: the networks to show, best first.
        picked: candidate number -> what the picking half of the validation data said.
    """
    inside = [c for c in candidates if c.completed]
    if not inside:
        return document(title, facts, ["<p>No network has been evaluated yet.</p>"])
    failed, last = len(candidates) - len(inside), max(c.generation for c in inside)
    groups = [
        ("first", "first generation", [c for c in inside if c.generation == 0]),
        ("last", "last generation", [c for c in inside if c.generation == last]),
        ("edge", "front", list(front)),
    ]
    parts = [
        f"<p>{len(inside):,} networks evaluated, {failed} failed; {len(front)} on the front.</p>",
        section(
            "Accuracy and energy",
            scatter(ACCURACY, inside, front),
            "Inherited weights. Orange: the front over accuracy, energy and parameters; grey: outside the constraints.",
        ),
        section("Generations", _history(history)),
        genes_that_matter(ACCURACY, inside, "evaluated networks"),
        genes_that_were_chosen(inside[0].genome.space, groups),
        section("Best networks", _table(best, picked)),
        section("The front", _table(front, picked)),
    ]
    return document(title, facts, parts)


def _history(history: Sequence[Mapping[str, Any]]) -> str:
    known = [(row["generation"], row["hypervolume"]) for row in history if row.get("hypervolume") is not None]
    drawn = ""
    if known:
        frame = Frame(*zip(*known, strict=True))
        axes = frame.axes("generation", "hypervolume of the front")
        drawn = drawing(axes + frame.line(known), "hypervolume by generation")
    columns = ("generation", "evaluations", "failed", "infeasible", "best", "median", "front", "hypervolume", "seconds")
    return drawn + rows(columns, [[shown(row[name]) for name in columns] for row in history])


def _table(candidates: Sequence[Candidate], picked: Mapping[int, Mapping[str, float]]) -> str:
    lines = []
    for c in candidates:
        second = picked.get(c.number, {}).get("accuracy")
        lines.append([
            str(c.number), shown(c.score), f"{c.accuracy:.4f}", "" if second is None else f"{second:.4f}",
            f"{c.energy_mj:.6f}", f"{c.parameters:,}", f"{c.flops:,}", str(c.config.timesteps),
            f"{c.metrics.get('silent_layers', 0):g}", str(c.genome),
        ])  # fmt: skip
    names = (
        "trial", "score", "accuracy", "picking half", "energy, mJ", "parameters", "operations", "T", "silent layers",
        "genes",
    )  # fmt: skip
    return rows(names, lines, words=1)
