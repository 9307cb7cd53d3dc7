"""kspike search --method zero-cost: a space ranked without training, and its best architecture as a file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kspike._files import write_text


def search(
    space: Any,
    train: Callable[[], Any],
    constraints: dict[str, tuple[float | None, float | None]],
    score: str,
    energy_weight: float | None,
    shortlist: int,
    tie_break: str,
    trials: int,
    seed: int,
    directory: Path,
    project: str | None,
    top: int,
    plot: bool,
    data: str,
) -> None:
    """Ranks a space; reads images only where something is measured on them.

    Args:
        space: a search space.
        train: opens the training images.
        constraints: quantity -> (lower, upper).
        score, energy_weight, shortlist, tie_break, trials, seed: as `kspike.tuners.ZeroCostSearch`.
        directory, project: where the project is kept.
        top: networks in the tables.
        plot: whether front.png is drawn.
        data: name of the images, for the line at the end.
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
    tuner.search(train() if tuner.needs_data else None)
    tuner.results_summary(num_trials=top)
    folder = Path(tuner.project_dir)
    for name, values in (("best.json", tuner.get_best_configs()[0].to_dict()), ("search.json", tuner.search_record())):
        write_text(folder / name, json.dumps(values, indent=2) + "\n")
    tuner.to_csv(folder / "candidates.csv")
    if plot and tuner.needs_data:
        print(f"drawn: {tuner.plot(folder / 'front.png')}")
    print(f"best: {folder / 'best.json'}; train it by: kspike train {folder / 'best.json'} --data {data}")
