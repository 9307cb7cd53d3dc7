"""Output of a search: a line a generation, tables for the terminal, and a JSON record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from kspike.tuners.engine import Candidate, SearchState
from kspike.tuners.engine.report.page import generations
from kspike.tuners.engine.report.wording import genes


def generation_line(row: Mapping[str, Any], generations: int, objective: str) -> str:
    """One finished generation on one line."""
    parts = [f"generation {row['generation']}/{generations}:"]
    for name in ("best", "median"):
        parts.append(f"{name} {objective} {row[name]:.4f}," if row[name] is not None else f"{name} -,")
    parts.append(f"front {row['front']}")
    if row["hypervolume"] is not None:
        parts.append(f"(hypervolume {row['hypervolume']:.4f}),")
    for name in ("failed", "infeasible"):
        if row[name]:
            parts.append(f"{row[name]} {name},")
    parts.append(f"{row['seconds']:.1f} s, {row['left']} evaluations left")
    return " ".join(parts)


def scalars(row: Mapping[str, Any]) -> dict[str, float]:
    """One finished generation as numbers for TensorBoard; what is not known is left out."""
    names = ("best", "median", "front", "hypervolume", "failed", "infeasible", "seconds")
    return {f"search/{name}": float(row[name]) for name in names if row[name] is not None}


def metrics_of(candidate: Candidate, names: Sequence[str]) -> list[str]:
    """Metrics of a candidate as they are written; "-" for one that it has not."""
    return [f"{candidate.metrics[name]:.4g}" if name in candidate.metrics else "-" for name in names]


def candidates_table(
    title: str,
    candidates: Sequence[Candidate],
    picked: Mapping[int, Mapping[str, float]],
    more: Sequence[str] = (),
) -> Table:
    """Candidates as rows: accuracy on the scoring and the picking half, energy, sizes, silent layers, genes.

    `more` are further metrics, each a column.
    """
    lines = []
    for c in candidates:
        second = picked.get(c.number, {}).get("accuracy")
        lines.append(
            [
                str(c.number) + ("" if c.feasible else " (outside)"),
                f"{c.score:.4f}" if c.score is not None else "-",
                f"{c.accuracy:.4f}",
                f"{second:.4f}" if second is not None else "",
                f"{c.energy_mj:.6f}",
                f"{c.parameters:,}",
                str(c.config.timesteps),
                f"{c.metrics['silent_layers']:g}" if "silent_layers" in c.metrics else "-",
                *metrics_of(c, more),
                genes(c.genome),
            ]
        )
    sizes = ("energy (mJ)", "parameters", "T", "silent")
    names = ("trial", "score", "accuracy", "picking half", *sizes, *more, "genes")
    return table(title, names, lines)


def table(title: str, names: Sequence[str], lines: Sequence[Sequence[str]]) -> Table:
    """A table; figures stand on the right, genes on the left and as wide as there is room."""
    found = Table(title=title, title_justify="left", title_style="bold")
    for name in names:
        if name == "genes":
            found.add_column(name, overflow="fold", ratio=1)
        else:
            found.add_column(name, justify="right")
    for line in lines:
        found.add_row(*line)
    return found


def history_table(history: Sequence[Mapping[str, Any]]) -> Table:
    """Generations as rows."""
    found = generations(history)
    return table("Generations", found.columns, found.rows)


def print_head(out: Console, what: str, folder: Path) -> None:
    """Prints a heading with the folder as plain text: brackets in its name are no markup."""
    out.print(Text.assemble((what, "bold"), f" in {folder}"))


def summary(
    folder: Path, objective: Any, state: SearchState, history: Sequence[Mapping[str, Any]],
    best: Sequence[Candidate], picked: Mapping[int, Mapping[str, float]], most: int, facts: Sequence[str] = (),
) -> None:  # fmt: skip
    """Prints what was searched, the generations, the front and the best networks, as tables; facts are lines."""
    out, evolution = console(), state.evolution
    more = evolution.constraints.beside
    print_head(out, "Search", folder)
    out.print(
        f"space {evolution.space.name}: {evolution.space.size():,} networks; objective {objective}; "
        f"constraints {evolution.constraints}; seed {evolution.seed}",
        markup=False,
    )
    for line in facts:
        out.print(line, markup=False)
    out.print(
        f"{len(state.archive)} of {evolution.trials} trials evaluated"
        + ("" if state.done() else f", {state.left()} to come")
    )
    if not len(state.archive):
        return
    out.print(history_table(history))
    front = state.archive.front()
    title = f"Pareto front: accuracy, energy, parameters ({len(front[:most])} of {len(front)})"
    out.print(candidates_table(title, front[:most], picked, more))
    out.print(candidates_table("Best first", best, picked, more))


def record(
    objective: Any, state: SearchState, best: Sequence[Candidate], supernet: Mapping[str, Any]
) -> dict[str, Any]:
    """A whole search as plain JSON values, for a model card: space, settings, best genome, cost, every trial."""
    evolution, settings = state.evolution, supernet.get("settings")
    return {
        "space": evolution.space.to_dict(),
        "objective": str(objective),
        "constraints": evolution.constraints.to_dict(),
        "seed": int(evolution.seed),
        "generations": int(evolution.generations),
        "population_size": int(evolution.population_size),
        "supernet": settings,
        "genome": best[0].genome.to_dict() if best else None,
        "budget": {
            "supernet_epochs": (settings or {}).get("epochs"),
            "supernet_seconds": round(sum(row.get("seconds", 0.0) for row in supernet.get("history", [])), 1),
            "trials": len(state.archive),
            "search_seconds": round(sum(c.seconds for c in state.archive), 1),
        },
        "trials": [
            {"number": c.number, "generation": c.generation, "indices": list(c.genome.indices),
             "score": c.score, "metrics": dict(c.metrics)}
            for c in state.archive
        ],
    }  # fmt: skip


def console() -> Console:
    """Where tables go; wide enough for genes where the output is no terminal."""
    found = Console()
    return found if found.is_terminal else Console(width=150)
