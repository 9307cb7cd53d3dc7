"""kspike search --method zero-cost: a space ranked without training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kspike.tuners import ZeroCostSearch


def search(
    space: Any,
    train: Callable[[], Any],
    constraints: dict[str, tuple[float | None, float | None]],
    score: str,
    energy: bool,
    energy_weight: float | None,
    shortlist: int,
    tie_break: str,
    trials: int,
    seed: int,
    directory: Path,
    project: str | None,
    plot: bool,
    listed: bool,
) -> ZeroCostSearch:
    """Ranks a space; reads images only where something is measured on them.

    Args:
        space: a search space.
        train: opens the training images.
        constraints: quantity -> (lower, upper).
        score, energy_weight, shortlist, tie_break, trials, seed: as `kspike.tuners.ZeroCostSearch`.
        energy: whether a shortlist is measured where nothing else asks for it.
        directory, project: where the project is kept.
        plot: whether to draw the front, which needs measured energies.
        listed: whether --shortlist was given.

    Raises:
        ValueError: --plot or --shortlist where nothing is measured; raised before any work.
    """
    from kspike import tuners

    tuner = tuners.ZeroCostSearch(
        space,
        score=score,
        constraints=constraints,
        max_trials=trials,
        energy_weight=energy_weight,
        shortlist=shortlist,
        tie_break=None if tie_break == "none" else tie_break,
        seed=seed,
        directory=directory,
        project_name=project or f"{space.name}_zero_cost",
    )
    measured = energy or tuner.needs_data
    if plot and not measured:
        raise ValueError("--plot draws scores against energy, which is not measured here: give --energy with it.")
    if listed and not measured and not tuner.lists:
        raise ValueError("--shortlist says how many networks are measured, and here none is: give --energy with it.")
    tuner.search(train() if measured else None)
    return tuner
