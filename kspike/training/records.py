"""Writes and restores the state of a run: settings, history, and the newest complete epoch; each atomically."""

from __future__ import annotations

import contextlib
import csv
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kspike import _json, _lock
from kspike._csv import as_csv, uncell
from kspike._files import expanded, folder_aside, sha256, sync, write_bytes
from kspike._messages import shown
from kspike.layers._state import layer_state
from kspike.training import checkpoints
from kspike.training.checkpoints import HISTORY, ROWS, SETTINGS, STATE, WEIGHTS

#: What is known of the data set of a run: for whoever gives the model new images.
DATA = "data.json"
#: Frozen layers, and others that are not as the architecture makes them.
LAYERS = "layers.json"
#: Of the settings of a run, what its card says.
SAID = ("recipe", "precision", "teacher", "from")


def read_history(directory: str | os.PathLike[str]) -> list[dict[str, float]]:
    """Gives one row an epoch of a run in `directory`: loss, accuracy, val_..., learning_rate, seconds.

    Raises:
        ValueError: no run, or a damaged history; names file and line.
    """
    path = expanded(directory) / HISTORY
    if not path.is_file():
        raise ValueError(f"Expected a training run in {os.fspath(directory)!r}; it holds no {HISTORY}.")
    with open(path, newline="", encoding="utf-8") as file:
        lines = csv.reader(file)
        names = [uncell(name) for name in next(lines, [])]
        if not names:
            raise ValueError(f"{path} is damaged: it holds no names of columns. Restore it from a copy.")
        return [_row(path, lines.line_num, names, line) for line in lines]


def _row(path: Path, number: int, names: list[str], line: list[str]) -> dict[str, float]:
    if len(line) == len(names):
        with contextlib.suppress(ValueError):
            return {name: float(value) for name, value in zip(names, line, strict=True) if value != ""}
    raise ValueError(
        f"{path} is damaged in line {number}: expected {len(names)} numbers or empty cells, received "
        f"{shown(line)}. Restore it from a copy."
    )


def check_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Writes the settings of a new run; checks that those of a resumed run are unchanged.

    Raises:
        ValueError: they differ; the message names where.
    """
    path = folder / SETTINGS
    settings = json.loads(json.dumps(settings))
    if not path.exists():
        if found := checkpoints.epochs(folder):
            raise ValueError(
                f"{folder} holds {found[-1].name} of a run, but no {SETTINGS} to tell which: restore it from a copy, "
                "or use another directory, or resume=False to start anew."
            )
        write_bytes(path, json.dumps(settings, indent=2).encode(), durable=True)
        return
    before, now = read_settings(folder), dict(settings)
    if "from" not in before:  # kept by an earlier version, which did not say it
        now.pop("from", None)
    before, now = _flat(before), _flat(now)
    for key in sorted(before.keys() | now.keys()):
        if key in ("images", "validation_images") and before.get(key) != now.get(key):
            part = "training" if key == "images" else "validation"
            raise ValueError(
                f"{folder} holds a run on other {part} images (SHA-256 {str(before.get(key))[:12]}..., these have "
                f"{str(now.get(key))[:12]}...): the data set has changed since the run began, or is another. Go on "
                "with the same images, or use another directory, or resume=False to start anew."
            )
        if before.get(key) != now.get(key):
            raise ValueError(
                f"{folder} holds a run with {key}={before.get(key)!r}, this one has {now.get(key)!r}: go on with the "
                "same settings, or use another directory, or resume=False to start anew."
            )


def keep(folder: Path, model: keras.Model, rows: Sequence[Mapping[str, float]]) -> None:
    """Writes the state after an epoch into a folder, atomically, and removes the older ones."""
    place = folder / checkpoints.name(len(rows))
    folder.mkdir(parents=True, exist_ok=True)
    checkpoints.clear(folder)
    with folder_aside(folder, place.name) as aside:
        model.save_weights(aside / WEIGHTS)
        state: Any = {f"v{i}": np.asarray(keras.ops.convert_to_numpy(v)) for i, v in _state(model)}
        np.savez(aside / STATE, **state)
        hashes = {name: sha256(aside / name) for name in (WEIGHTS, STATE)}
        (aside / ROWS).write_text(json.dumps({"epoch": len(rows), "history": rows, "sha256": hashes}), "utf-8")
        for name in (WEIGHTS, STATE, ROWS):
            sync(aside / name)
        if place in checkpoints.epochs(folder):  # kept just before a kill; its history file was not yet written
            checkpoints.remove(place)
        os.rename(aside, place)
    sync(folder)
    write_bytes(folder / HISTORY, _csv(rows), durable=True)
    for older in checkpoints.epochs(folder):
        if older != place:
            checkpoints.remove(older)


def read_settings(folder: Path) -> dict[str, Any]:
    """Gives what a run in `folder` was started with.

    Raises:
        ValueError: there is no run.
    """
    try:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        settings = None
    if not isinstance(settings, dict):
        raise ValueError(f"Expected a training run in {str(folder)!r}; it holds no readable {SETTINGS}.")
    return settings


def write_data(folder: Path, data: Any) -> None:
    """Writes what is known of a data set beside the run: name, size, range, normalisation and classes of its images."""
    shown = {"shape": data.input_shape, "range": data.input_range, "mean": data.mean, "std": data.std}
    if data.fit is not None:
        shown["fit"] = data.fit
    if data.events is not None:
        shown["events"] = data.stated_events
    found = {"name": data.name, "own": data.is_own, "input": shown, "class_names": data.class_names}
    write_bytes(folder / DATA, json.dumps(found, indent=2).encode())


def read_data(directory: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Gives what `write_data` wrote; None for a run of arrays, or of an older version.

    Raises:
        ValueError: the file is damaged.
    """
    path = expanded(directory) / DATA
    if not path.is_file():
        return None
    found = _json.read_object(path)
    shown = found.get("input")
    if not isinstance(shown, dict) or not {"shape", "range", "mean", "std"} <= set(shown) or "class_names" not in found:
        raise ValueError(f"{path} is damaged: it does not say size, range, mean and std of images. Restore it.")
    return found


def write_layers(folder: Path, model: keras.Model) -> None:
    """Writes which layers are frozen, or otherwise not as the architecture makes them; nothing where none is."""
    found = layer_state(model, getattr(model, "_policy_of", None))
    path = folder / LAYERS
    if found:
        write_bytes(path, json.dumps(found, indent=2).encode())
    else:
        path.unlink(missing_ok=True)


def read_layers(folder: Path) -> dict[str, Any] | None:
    """Gives what `write_layers` wrote, for `kspike.layers._state.restore`."""
    return _json.read_object(folder / LAYERS) if (folder / LAYERS).is_file() else None


def restore(folder: Path, model: keras.Model) -> list[dict[str, float]]:
    """Loads the newest complete epoch into a compiled model; returns its history, empty if there is none.

    Raises:
        ValueError: a file is not the one that was written.
    """
    if not checkpoints.epochs(folder):
        return []
    place, rows = restore_weights(folder, model)
    with np.load(place / STATE, allow_pickle=False) as stored:
        variables = dict(_state(model))
        if len(stored.files) != len(variables):
            raise ValueError(f"{place / STATE} holds {len(stored.files)} values, expected {len(variables)}.")
        for i, variable in variables.items():
            variable.assign(stored[f"v{i}"])
    write_bytes(folder / HISTORY, _csv(rows), durable=True)
    return rows


def restore_weights(folder: Path, model: keras.Model) -> tuple[Path, list[dict[str, float]]]:
    """Loads the weights of the newest complete epoch into a model; returns its folder and history.

    Raises:
        ValueError: no epoch is kept, or a file is not the one that was written.
    """
    while True:
        found = checkpoints.epochs(folder)
        if not found:
            raise ValueError(f"The run in {folder} has kept no epoch yet; let it train for at least one.")
        place = found[-1]
        try:
            record = checkpoints.read(place)
            for name, digest in record["sha256"].items():
                if not (place / name).is_file() or sha256(place / name) != digest:
                    raise ValueError(
                        f"{place / name} is not the file that this run wrote (its SHA-256 differs): restore it from a "
                        "copy, or start anew with resume=False."
                    )
            model.load_weights(place / WEIGHTS)
        except (OSError, ValueError):
            if place not in checkpoints.epochs(folder):  # a run in progress has kept a newer one meanwhile
                continue
            raise
        return place, record["history"]


def forget(folder: Path) -> None:
    """Removes an earlier run, and nothing else that may be in the folder."""
    for old in checkpoints.epochs(folder):
        checkpoints.remove(old)
    checkpoints.clear(folder)
    for name in (SETTINGS, HISTORY, DATA, LAYERS):
        (folder / name).unlink(missing_ok=True)


def discard(folder: Path) -> None:
    """Removes a run, and its folder if that held nothing else.

    Raises:
        ValueError: a process trains in it; says which.
    """
    with _lock.held(folder, "removal"):
        forget(folder)
    with contextlib.suppress(OSError):  # something else lies in it
        if {path.name for path in folder.iterdir()} <= {_lock.LOCK}:
            (folder / _lock.LOCK).unlink(missing_ok=True)
            folder.rmdir()


def _state(model: keras.Model) -> list[tuple[int, Any]]:
    """The optimizer's variables, and those of the model that its weight file leaves out: random states."""
    weights = {id(v) for v in model.weights}
    return list(enumerate([*model.optimizer.variables, *(v for v in model.variables if id(v) not in weights)]))


def _csv(rows: Sequence[Mapping[str, float]]) -> bytes:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return as_csv([names, *([row.get(name, "") for name in names] for row in rows)]).encode()


def _flat(values: Any, above: str = "") -> dict[str, Any]:
    if not isinstance(values, dict):
        return {above: values}
    return {k: v for key, value in values.items() for k, v in _flat(value, f"{above}.{key}" if above else key).items()}
