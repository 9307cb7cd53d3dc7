"""Export: candidates as CSV, and fronts as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kspike._csv import as_csv
from kspike._files import write_text
from kspike.space import Gene, Genome
from kspike.tuners.engine.candidate import Candidate
from kspike.tuners.engine.report.score_axis import ScoreAxis

COLUMNS = ("number", "generation", "operator", "parents", "score", "feasible", "violation", "seconds", "message")


def to_csv(candidates: Sequence[Candidate], path: str | Path, front: Sequence[Candidate] = ()) -> Path:
    """Writes one row a candidate: origin, score, every metric, every gene, and whether it is on the front."""
    metrics = sorted({name for c in candidates for name in c.metrics})
    genes = candidates[0].genome.space.genes if candidates else ()
    on_front = {c.number for c in front}
    rows: list[list[Any]] = [[*COLUMNS, "front", *metrics, *(f"gene:{gene.name}" for gene in genes)]]
    for c in candidates:
        parents = " ".join(str(p) for p in c.proposal.parents)
        about = [c.number, c.generation, c.proposal.operator, parents, c.score, c.feasible, c.violation, c.seconds]
        values = [_cell(c.genome, gene) for gene in genes]
        rows.append([*about, c.message or "", c.number in on_front, *(c.metrics.get(m, "") for m in metrics), *values])
    return write_text(path, as_csv(rows, lineterminator="\r\n"))


def _cell(genome: Genome, gene: Gene) -> Any:
    """One value, or one a block ("|" between stages); "-" in a block without use for it, nothing where no block has."""
    if not genome.text(gene):
        return ""
    return genome.joined(gene, " ") if gene.scope == "block" or gene.word else genome.values[gene.name]


def plot(
    candidates: Sequence[Candidate], front: Sequence[Candidate], history: Sequence[Mapping[str, Any]], path: str | Path
) -> Path:
    """Draws accuracy against energy with the front, and the hypervolume by generation (needs matplotlib, extra "plot").

    Raises:
        ImportError: matplotlib is not installed; says how to install it.
    """
    figure = _figure(10)
    left, right = figure.subplots(1, 2, width_ratios=(2, 1))
    shown = [c for c in candidates if c.completed]
    inside = [c for c in shown if c.feasible]
    outside = [c for c in shown if not c.feasible]
    if outside:
        left.scatter(_energies(outside), _accuracies(outside), marker="x", c="0.7", label="outside the constraints")
    dots = left.scatter(
        _energies(inside),
        _accuracies(inside),
        c=[c.generation for c in inside],
        cmap="viridis",
        s=18,
        label="candidates",
    )
    edge = sorted(front, key=lambda c: c.energy_mj)
    left.scatter(
        _energies(edge),
        _accuracies(edge),
        s=70,
        facecolors="none",
        edgecolors="crimson",
        label="front (with parameters)",
    )
    left.set(xlabel="measured energy of one image (mJ)", ylabel="accuracy, inherited weights")
    left.legend(loc="lower right", fontsize=8)
    figure.colorbar(dots, ax=left, label="generation", ticks=range(1 + max((c.generation for c in inside), default=0)))
    rows = [r for r in history if r.get("hypervolume") is not None]
    right.plot([r["generation"] for r in rows], [r["hypervolume"] for r in rows], marker="o")
    right.set(xlabel="generation", ylabel="hypervolume of the front")
    right.locator_params(axis="x", integer=True)
    figure.savefig(path, dpi=120)
    return Path(path)


def plot_score(candidates: Sequence[Candidate], front: Sequence[Candidate], axis: ScoreAxis, path: str | Path) -> Path:
    """Draws the scores of untrained networks against their energy and its spread, with the front (needs matplotlib).

    Raises:
        ImportError: matplotlib is not installed; says how to install it.
    """
    figure = _figure(6.4)
    axes = figure.subplots()
    spreads = [c.metrics.get("energy_mj_std", 0.0) for c in candidates]
    axes.errorbar(
        _energies(candidates), [axis.of(c) for c in candidates], xerr=spreads, fmt="o", color="0.5", ms=4,
        label="shortlist, spread over initialisations",
    )  # fmt: skip
    edge = [axis.of(c) for c in front]
    axes.scatter(_energies(front), edge, s=80, facecolors="none", edgecolors="crimson", zorder=3, label="front")
    axes.set(xlabel="expected energy of one image (mJ), untrained", ylabel=axis.name)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=120)
    return Path(path)


def _figure(width: float) -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("Plots need matplotlib: pip install 'kspike[plot]'.") from error
    return Figure(figsize=(width, 4.2), layout="constrained")


def _energies(candidates: Sequence[Candidate]) -> list[float]:
    return [c.energy_mj for c in candidates]


def _accuracies(candidates: Sequence[Candidate]) -> list[float]:
    return [c.accuracy for c in candidates]
