"""What a zero-cost search shows: how the ranking came about, tables, and a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from kspike.space import SearchSpace
from kspike.tuners.engine import Candidate, Constraints, Proposal
from kspike.tuners.engine.constraints import counted
from kspike.tuners.engine.ranking import Ranking
from kspike.tuners.tuner_report import genes

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
    how = "exactly" if s.exact else "a random sample of which was ranked, since it is too rich for every one to be"
    lines = [
        f"space {ranking.space.name}: {total:,} networks, ranked by {ranking.score} {how}; "
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


def summary_lines(tuner: Any, record: Mapping[str, Any] | None) -> list[str]:
    """What was searched, and by what the order is."""
    ranking = tuner.ranking
    lines = [
        f"space {ranking.space.name}: {ranking.space.size():,} networks; "
        f"constraints {ranking.constraints.to_dict() or 'none'}; seed {ranking.seed}"
    ]
    if record is None:
        return [*lines, "not yet ranked"]
    lines += standings_lines(ranking, record["seconds"])[1:]
    if record["data"] is None:
        what = "exact: every network was ranked" if record["exact"] else "of a random sample"
        return [*lines, f"{record['networks']:,} networks inside the constraints, ranked by {ranking.score}, {what}"]
    weighing = tuner.weighing
    by = (
        f"fitness GFLOPs + {weighing.ld:g} / energy in mJ, as in AutoST's code"
        if weighing.fitness == "autost"
        else "the Pareto front of score and energy"
        if weighing.energy_weight is None
        else f"(1 - {weighing.energy_weight:g}) score + {weighing.energy_weight:g} (1 - energy), normalised over it"
    )
    rejected = sum("rejected" in row["metrics"] for row in record["rows"])
    lines.append(
        f"measured untrained, on {tuner._shortlist.images} images and {tuner._shortlist.seeds} initialisations: the "
        f"{len(record['rows'])} best by {ranking.score} (a shortlist, not the space); {rejected} rejected; "
        f"in order of {by}"
    )
    costs = {row["metrics"].get(ranking.score) for row in record["rows"]}
    if len(record["rows"]) > 1 and len(costs) == 1 and tuner.score.name == ranking.score:
        lines.append(
            f"{ranking.score} is the same for all of the shortlist, so that energy alone decides: a longer shortlist, "
            "per_cost=1 or tighter constraints bring in others"
        )
    return lines


def candidates_of(record: Mapping[str, Any], space: SearchSpace, constraints: Constraints) -> list[Candidate]:
    """The rows of a ranking that were not rejected, as candidates, best first."""
    out = []
    for place, i in enumerate(record["order"]):
        row = record["rows"][i]
        genome = space.decode(row["indices"])
        metrics = {**{k: v for k, v in row["metrics"].items() if k != "flops"}, **counted(genome.to_config())}
        fitness = row["metrics"]["fitness"]
        out.append(Candidate(Proposal(place, 0, genome, "ranking"), metrics, fitness, fitness))
    return out


def table(title: str, candidates: Sequence[Candidate], score: str) -> Table:
    """Candidates as rows: score, expected energy with its spread, sizes, genes."""
    found = Table(title=title, title_justify="left", title_style="bold")
    measured = any("energy_mj" in c.metrics for c in candidates)
    own = () if score in ("flops", "params", "energy_mj") else (score,)
    columns = ["place", "parameters", "FLOPs", *own, *(("energy (mJ)", "fitness") if measured else ()), "T"]
    for name in columns:
        found.add_column(name, justify="right")
    found.add_column("genes", overflow="fold", ratio=1)
    for c in candidates:
        spread = c.metrics.get("energy_mj_std", 0.0)
        energy = [f"{c.energy_mj:.6f} ± {spread:.6f}", f"{c.score:.4f}"] if measured else []
        values = [str(c.number), f"{c.parameters:,}", f"{c.flops:,}", *(f"{c.metrics[s]:.4f}" for s in own), *energy]
        found.add_row(*values, str(c.config.timesteps), genes(c.genome))
    return found


def plot(candidates: Sequence[Candidate], front: Sequence[Candidate], score: str, path: str | Path) -> Path:
    """Draws energy at initialisation against the score (needs matplotlib, extra "plot").

    Raises:
        ImportError: matplotlib is not installed; says how to install it.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("Plots need matplotlib: pip install 'kspike[plot]'.") from error
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    value = lambda c: c.metrics["energy_mj" if score == "energy" else "parameters" if score == "params" else score]
    spreads = [c.metrics.get("energy_mj_std", 0.0) for c in candidates]
    axes.errorbar(
        [c.energy_mj for c in candidates], [value(c) for c in candidates], xerr=spreads, fmt="o", color="0.5", ms=4,
        label="shortlist, spread over initialisations",
    )  # fmt: skip
    edge = [c.energy_mj for c in front], [value(c) for c in front]
    axes.scatter(*edge, s=80, facecolors="none", edgecolors="crimson", zorder=3, label="front")
    axes.set(xlabel="expected energy of one image (mJ), untrained", ylabel=score)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=120)
    return Path(path)
