"""Checks the metadata of an entry: its keys, and the type of each value."""

from __future__ import annotations

import math
import re
from typing import Any

from kspike._messages import shown
from kspike.zoo import naming, sealing

FORMAT_VERSION = 1
CONFIG, WEIGHTS = naming.CONFIG, naming.WEIGHTS
_HASH = re.compile(r"[0-9a-f]{64}")
_OPTIONAL_TEXT = ("citation", "source", "notes", "intended_use", "reproduce", "created", "weights_dtype")
_OPTIONAL_DICT = ("data", "evaluation", "energy", "predictions", "versions", "hardware")
_OPTIONAL_NUMBER = ("accuracy", "energy_mj")
#: All optional keys.
_OPTIONAL = (*_OPTIONAL_TEXT, *_OPTIONAL_DICT, *_OPTIONAL_NUMBER, "class_names", "seed", "search", "training", "genome",
             "budget", "runs")  # fmt: skip


def with_all_keys(metadata: dict) -> dict:
    """Checked metadata -> the same with None for every missing optional key."""
    return {**dict.fromkeys(_OPTIONAL), **metadata}


def check(metadata: dict, folder_name: str, what: str) -> None:
    """Raises ValueError unless the metadata is complete, of a known format version and belongs to that folder."""
    version = metadata.get("format_version")
    if version != FORMAT_VERSION or isinstance(version, bool):
        raise ValueError(
            f"Expected format_version {FORMAT_VERSION} in {what}; received {shown(version)}. "
            "A newer entry needs a newer kspike: pip install --upgrade kspike."
        )
    sealing.check(metadata, what)
    reader = _Reader(metadata, what)
    name, number = reader.text("name"), reader.count("version")
    if naming.full_name(name, number) != folder_name:
        raise ValueError(
            f"Expected {what} to describe {folder_name!r}, its folder's name; received {shown(name)} version {number}. "
            "Entries keep their names: rename the folder back."
        )
    files = _Reader(reader.dict("files"), f"files in {what}")
    for file in (CONFIG, WEIGHTS, *([sealing.CARD] if sealing.is_sealed(metadata) else [])):
        record = _Reader(files.dict(file), f"{file} in {what}")
        if not _HASH.fullmatch(record.text("sha256")):
            raise record.wrong("sha256", "64 hexadecimal digits")
        record.count("bytes")
    reader.count("parameters")
    reader.text("license")
    for key in _OPTIONAL_TEXT:
        reader.text(key, optional=True)
    for key in _OPTIONAL_DICT:
        reader.dict(key, optional=True)
    for key in _OPTIONAL_NUMBER:
        reader.number(key, optional=True)
    if metadata.get("data"):
        _Reader(metadata["data"], f"data in {what}").text("name")
    if metadata.get("energy"):
        reader.number("energy_mj")
        _Reader(metadata["energy"], f"energy in {what}").text("convention")
    tested = metadata.get("evaluation")
    if tested is not None:
        evaluation = _Reader(tested, f"evaluation in {what}")
        for key in ("n", "correct", "accuracy"):
            evaluation.number(key)
        for key in ("accuracy", "energy_mj"):
            reader.number(key)
        _check_agreement(metadata, tested, what)
    predictions = metadata.get("predictions")
    if predictions is not None:
        _Reader(predictions, f"predictions in {what}").text("labels_sha256")
    _check_input(_Reader(reader.dict("input"), f"input in {what}"))
    names = metadata.get("class_names")
    if names is not None and not (isinstance(names, list) and all(isinstance(item, str) and item for item in names)):
        raise reader.wrong("class_names", "a list of texts")


def _check_agreement(metadata: dict, tested: dict, what: str) -> None:
    """Checks that the figures shown in lists equal the measured ones elsewhere in the metadata."""
    pairs = [("accuracy", metadata["accuracy"], "evaluation.accuracy", tested["accuracy"])]
    if tested["n"]:
        pairs.append(("evaluation.accuracy", tested["accuracy"], "correct / n", tested["correct"] / tested["n"]))
    energy = metadata.get("energy")
    if isinstance(energy, dict) and "energy_mj" in energy:
        pairs.append(("energy_mj", metadata["energy_mj"], "energy.energy_mj", energy["energy_mj"]))
    for name, value, other, expected in pairs:
        if not isinstance(expected, (int, float)) or not math.isclose(value, expected, rel_tol=1e-9, abs_tol=1e-12):
            raise ValueError(f"Expected {name} in {what} to equal its {other}, {expected!r}; received {value!r}.")


def _check_input(reader: _Reader) -> None:
    shape = reader.numbers("shape")
    if len(shape) not in (3, 4) or any(not isinstance(size, int) or size < 1 for size in shape):
        raise reader.wrong("shape", "(height, width, channels) or (time, height, width, channels)")
    span = reader.numbers("range", optional=True)
    if span is not None and (len(span) != 2 or not span[0] < span[1]):
        raise reader.wrong("range", "[lowest, highest]")
    if reader.text("fit", optional=True) not in (None, "crop", "resize"):
        raise reader.wrong("fit", "'crop' or 'resize'")
    for key in ("mean", "std"):
        values = reader.numbers(key, optional=True)
        if values is not None and len(values) != shape[-1]:
            raise reader.wrong(key, f"{shape[-1]} numbers, one a channel")
        if key == "std" and values is not None and min(values) <= 0:
            raise reader.wrong(key, "positive numbers")
    if reader.values.get("events") is not None:
        _check_events(_Reader(reader.dict("events"), f"events of {reader.what}"), list(shape))


def _check_events(reader: _Reader, shape: list) -> None:
    """Checks that what a card says of recordings makes frames of the shape that it says."""
    from kspike.data.events.framing import Framing
    from kspike.data.events.mending import sensor_size

    reader.text("split")
    reader.number("largest")
    for key in ("counts", "simulated", "normalised"):
        if not isinstance(reader.values.get(key), bool):
            raise reader.wrong(key, "true or false")
    channels = reader.values.get("polarities")
    if not isinstance(channels, list) or not all(isinstance(item, str) for item in channels):
        raise reader.wrong("polarities", "a list of texts")
    if not isinstance(reader.values.get("absent"), str):
        raise reader.wrong("absent", "a text")
    size = sensor_size(reader.numbers("sensor_size"), f"sensor_size in {reader.what}")
    try:
        made = Framing.from_dict(reader.dict("framing")).shape(size)
    except (TypeError, ValueError) as error:
        raise ValueError(f"Expected 'framing' of {reader.what} to be a kspike.events.Framing: {error}") from None
    if list(made) != shape:
        raise ValueError(f"Expected 'framing' of {reader.what} to give the shape {shape}; it gives {list(made)}.")


class _Reader:
    """Reads values of an expected type from a dict; ValueError says what was there instead."""

    def __init__(self, values: dict, what: str) -> None:
        self.values, self.what = values, what

    def wrong(self, key: str, expected: str) -> ValueError:
        return ValueError(f"Expected {key!r} of {self.what} to be {expected}; received {shown(self.values.get(key))}.")

    def _get(self, key: str, kinds: type | tuple, expected: str, optional: bool) -> Any:
        value = self.values.get(key)
        if value is None and optional:
            return None
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise self.wrong(key, expected)
        return value

    def text(self, key: str, optional: bool = False) -> str:
        return self._get(key, str, "a text", optional)

    def dict(self, key: str, optional: bool = False) -> dict:
        return self._get(key, dict, "an object", optional)

    def number(self, key: str, optional: bool = False) -> float:
        return self._get(key, (int, float), "a number", optional)

    def count(self, key: str) -> int:
        value = self._get(key, int, "a whole number above 0", False)
        if value < 1:
            raise self.wrong(key, "a whole number above 0")
        return value

    def numbers(self, key: str, optional: bool = False) -> Any:
        values = self._get(key, list, "a list of numbers", optional)
        if values is not None and (
            not values or any(not isinstance(value, (int, float)) or isinstance(value, bool) for value in values)
        ):
            raise self.wrong(key, "a list of numbers")
        return values
