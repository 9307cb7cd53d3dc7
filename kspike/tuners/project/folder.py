"""Finds the files that a search wrote in a project's folder, and removes them when a project starts anew."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from kspike import _lock
from kspike.training import records
from kspike.tuners.engine.report.tensorboard import EventFile

#: Names of a search's own, by folder; whatever else lies there is the user's. KerasTuner's are among them.
FILES = {
    ".": r"journal\.jsonl|supernet\.weights\.h5|chief\.alive|report\.html|oracle\.json|tuner0\.json",
    "finalists": r"trial_[0-9]+\.weights\.h5",
    "tensorboard": EventFile.NAMES.pattern,
}
RUNS = "supernet_training", "retrained/[0-9a-f]*"


def forget(folder: Path) -> None:
    """Removes an earlier project, and nothing else that may be in the folder.

    Raises:
        ValueError: a search or a training in it is at work; says whose.
    """
    if not folder.is_dir():
        return
    with _lock.held(folder, "search"):
        for run in (run for pattern in RUNS for run in folder.glob(pattern) if (run / records.SETTINGS).is_file()):
            records.discard(run)
        for path in list(_own(folder)):
            path.unlink(missing_ok=True)
            if path.parent != folder:
                with contextlib.suppress(OSError):  # it holds something else
                    path.parent.rmdir()
        with contextlib.suppress(OSError):
            (folder / "retrained").rmdir()


def _own(folder: Path) -> Iterator[Path]:
    for name, pattern in FILES.items():
        yield from (path for path in (folder / name).glob("*") if re.fullmatch(pattern, path.name) and path.is_file())
    for trial in folder.glob("trial_*"):
        if re.fullmatch(r"trial_[0-9]+", trial.name):
            yield from trial.glob("trial.json")
