"""Text output of a zero-cost search: facts of the ranking, what was measured, networks as rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kspike._messages import counted
from kspike.tuners.engine import Candidate
from kspike.tuners.engine.ranking.ranking import COUNTED, Ranking
from kspike.tuners.engine.ranking.scalarization import Scalarization
from kspike.tuners.engine.report.score_axis import ScoreAxis
from kspike.tuners.latency import in_words
from kspike.tuners.project.text import genes, metrics_of
from kspike.tuners.scores import Score

#: What the second scores mean, in words.
TIES = {
    "attention": "fewer operations of attention, that is more heads, first",
    "params": "fewer parameters first",
    "flops": "fewer FLOPs first",
}


def standings_lines(ranking: Ranking, seconds: float) -> list[str]:
    """How many networks were ranked, in what time, and what happened to ties."""
    s = ranking.standings
    total = ranking.space.size()
    how = "ranked" if s.exact else "too many costs to rank the whole: a random sample ranked"
    lines = [
        f"space {ranking.space.name}: {total:,} networks, {how} by {ranking.score}{' exactly' * s.exact}; "
        f"{s.networks:,} inside the constraints, in {s.cells:,} different costs ({seconds:.3f} s)"
    ]
    if not s.exact:
        lines.append(f"why a sample: {s.reason}")
    if s.tied > 1:
        second = f"by {ranking.tie_break} ({TIES[ranking.tie_break]})" if ranking.tie_break else "by no second score"
        rest = f", which leaves {s.tied_after:,} equal" if ranking.tie_break and s.tied_after > 1 else ""
        last = "; these come with usual neurons first, then in the order of the genes" if s.tied_after > 1 else ""
        lines.append(f"{s.tied:,} networks tie for the best {ranking.score}: broken {second}{rest}{last}")
    return lines


def summary_lines(
    ranking: Ranking,
    score: Score,
    second: Score | None,
    scalarization: Scalarization,
    seeds: int,
    record: Mapping[str, Any] | None,
) -> list[str]:
    """What was searched, and what the order is by.

    Args:
        ranking: by count.
        score: what ranks, counted or measured.
        second: a measured score that breaks ties on the shortlist, or None.
        scalarization: of the score and the energy.
        seeds: initialisations that a measured score is averaged over.
        record: of the ranking, from the journal; None where there is none yet.
    """
    space = ranking.space
    lines = [f"space {space.name}: {space.size():,} networks; constraints {ranking.constraints}; seed {ranking.seed}"]
    if record is None:
        return [*lines, "not yet ranked"]
    inside = f"{record['networks']:,} networks inside the constraints, ranked by {ranking.score}"
    how = "exact: every network was ranked"
    if not ranking.standings.exact:
        how = "of a random sample"
    elif not record["exact"]:
        asked = "asked of a config" if record["data"] is None else "measured"
        how = f"every one of them; what is {asked}, on a shortlist alone"
    lines += [f"{inside}, {how}", *standings_lines(ranking, 0.0)[1:]]
    if ranking.constraints.functions:
        named = ", ".join(name for name, _ in ranking.constraints.functions)
        lines.append(f"{named}: asked network by network, best first; the numbers above are those before it")
    if record["exact"] or (record["data"] is None and score.name == ranking.score and second is None):
        return lines
    rows = [row["metrics"] for row in record["rows"]]
    how = "by their configs, nothing built"
    if record["data"] is not None:
        how = f"untrained, on {counted(record['images'], 'image')} and {counted(seeds, 'initialisation')}"
    lines.append(f"measured {how}: the {len(rows)} best by {ranking.score} (a shortlist, not the space)")
    if "latency" in record:
        lines.append(in_words(record["latency"]))
    reasons = [row["rejected"] for row in rows if "rejected" in row]
    if reasons:
        lines.append(f"{len(reasons)} of the shortlist rejected; the first: {reasons[0]}")
    equal = f", equal ones by {second.name}" if second else ""
    order = score.name if record["data"] is None else order_in_words(scalarization)
    lines.append(f"in order of {order}{equal}")
    costs = [row.get(COUNTED[ranking.score]) for row in rows if "rejected" not in row]
    if len(costs) > 1 and len(set(costs)) == 1 and score.name == ranking.score and record["data"] is not None:
        lines.append(
            f"{ranking.score} is the same for all of the shortlist, so that energy alone decides: a longer shortlist, "
            "per_cost=1 or tighter constraints bring in others"
        )
    return lines


def order_in_words(scalarization: Scalarization) -> str:
    """What orders a shortlist."""
    if scalarization.fitness == "autost":
        return f"fitness GFLOPs + {scalarization.ld:g} / energy in mJ, as in AutoST's code, whose unit is not known"
    if scalarization.energy_weight is None:
        return "the Pareto front of score and energy"
    w = scalarization.energy_weight
    return f"(1 - {w:g}) score + {w:g} (1 - energy), both normalised over the shortlist"


def score_axis(score: Score) -> ScoreAxis:
    """A score as an axis, in a unit that gives few digits."""
    units = {"flops": ("GFLOPs", 1e9), "parameters": ("million parameters", 1e6), "synops": ("million synops", 1e6)}
    name, unit = units.get(score.metric, (score.name, 1.0))
    return ScoreAxis(name, lambda c: c.metrics[score.metric] / unit, ".6g")


def rows_of(
    candidates: Sequence[Candidate], score: Score, more: Sequence[str] = ()
) -> tuple[list[str], list[list[str]]]:
    """Candidates as rows, and the names of the columns: the score, expected energy with its spread, sizes, genes.

    `more` are further metrics, each a column.
    """
    measured = any("energy_mj" in c.metrics for c in candidates)
    own = score.metric not in ("parameters", "flops", "energy_mj")  # which have columns anyway
    axis = score_axis(score)
    names = [
        "place", *([axis.name] if own else []), *(["energy (mJ)", "fitness", "silent layers"] if measured else []),
        "parameters", "FLOPs", "T", *more, "genes",
    ]  # fmt: skip
    lines = []
    for c in candidates:
        cells = [str(c.number), *([axis.text(c)] if own else [])]
        if measured:
            spread, silent = c.metrics.get("energy_mj_std", 0.0), c.metrics.get("silent_layers", 0.0)
            cells += [f"{c.energy_mj:.6f} ± {spread:.6f}", f"{c.score:.4f}", f"{silent:.3g}"]
        cells += [f"{c.parameters:,}", f"{c.flops:,}", str(c.config.timesteps)]
        lines.append([*cells, *metrics_of(c, more), genes(c.genome)])
    return names, lines
