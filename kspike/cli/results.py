"""Writes the result files of a search, and prints where they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kspike._files import write_text


def write_results(tuner: Any, data: str | None, top: int, report: bool, plot: bool) -> None:
    """Prints a finished search and writes best.json, search.json, candidates.csv, and the optional report and plot.

    Args:
        tuner: a `kspike.tuners` search.
        data: name of the images, for the line at the end; None where the search had none.
        top: networks in the tables.
        report: whether report.html is written.
        plot: whether pareto.png is drawn.
    """
    tuner.results_summary(num_trials=top)
    folder = Path(tuner.project_dir)
    best = tuner.get_best_configs()[0]
    for name, values in (("best.json", best.to_dict()), ("search.json", tuner.search_record())):
        write_text(folder / name, json.dumps(values, indent=2) + "\n")
    tuner.to_csv(folder / "candidates.csv")
    if report:
        print(f"report: {tuner.report(num_trials=top)}")
    if plot:
        print(f"drawn: {tuner.plot(folder / 'pareto.png')}")
    shape = "x".join(str(size) for size in best.input_shape)
    named = data or f"NAME (the space is for {shape} images of {best.num_classes} classes)"
    print(f"best: {folder / 'best.json'}; train it by: kspike train {folder / 'best.json'} --data {named}")
