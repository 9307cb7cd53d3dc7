"""The epoch folders (checkpoints) of a training run: finds, reads and removes them, and nothing else in its folder."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from kspike._files import place_aside, remove_leftovers

SETTINGS, HISTORY = "settings.json", "history.csv"
WEIGHTS, STATE, ROWS = "model.weights.h5", "state.npz", "epoch.json"
_EPOCH = re.compile(r"epoch_([0-9]{5,})")


def name(epoch: int) -> str:
    """The folder of an epoch, counted from 1."""
    return f"epoch_{epoch:05d}"


def epochs(folder: Path) -> list[Path]:
    """The epochs kept in a folder, in order; damaged ones too, which are refused when they are read."""
    found = ((number, path) for path in folder.glob("epoch_*") if (number := _number(path)) is not None)
    return [path for number, path in sorted(found) if _is_ours(path, number)]


def read(place: Path) -> dict[str, Any]:
    """Reads the record of a kept epoch: its number, the history up to it, the hashes of its files.

    Raises:
        ValueError: it is missing or damaged; names the file.
    """
    path = place / ROWS
    try:
        record = json.loads(path.read_bytes())
        hashes = {file: record["sha256"][file] for file in (WEIGHTS, STATE)}
        record = {"epoch": int(record["epoch"]), "history": [dict(row) for row in record["history"]], "sha256": hashes}
        if len(record["history"]) != record["epoch"]:
            raise ValueError(f"{len(record['history'])} rows of history for epoch {record['epoch']}")
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{path} is missing or damaged ({type(error).__name__}: {error}): restore it from a copy, or start anew "
            "with resume=False."
        ) from None
    return record


def check_places(folder: Path, last: int, anew: bool = False) -> None:
    """Checks that every epoch can be kept, before the first is trained, or an earlier run is removed.

    Args:
        folder: of the run.
        last: the last epoch that is to be kept.
        anew: whether an existing run will be removed.

    Raises:
        ValueError: a path where an epoch would be kept is taken by something that no run wrote.
    """
    ours = epochs(folder)
    first = 1 + (_number(ours[-1]) or 0) if ours and not anew else 1
    for path in sorted(folder.glob("epoch_*")):
        if path not in ours and first <= (_number(path) or 0) <= last:
            raise ValueError(
                f"{path} is no epoch that a run in {folder} kept (it holds no {ROWS} of that number), and lies where "
                "one would be kept: move it, or use another directory."
            )


def remove(place: Path) -> None:
    """Removes an epoch: renamed first, so that a kill in between leaves no half of one under its name."""
    aside = place_aside(place.parent, place.name)
    place.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


def clear(folder: Path) -> None:
    """Removes the leftovers of processes that were killed while they wrote or removed an epoch."""
    remove_leftovers(folder, _EPOCH.pattern.replace("(", "(?:"))


def _number(path: Path) -> int | None:
    """The epoch number in a folder name of our form, else None: epoch_00007 is ours, epoch_7 is not."""
    match = _EPOCH.fullmatch(path.name)
    return int(match[1]) if match and path.name == name(int(match[1])) else None


def _is_ours(path: Path, number: int) -> bool:
    """Whether a run wrote this: by its record, or if that is lost or unreadable, by the two other files."""
    if path.is_symlink() or not path.is_dir():
        return False
    try:
        return read(path)["epoch"] == number
    except ValueError:
        return all((path / file).is_file() for file in (WEIGHTS, STATE))
