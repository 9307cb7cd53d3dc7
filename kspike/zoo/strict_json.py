"""Reads untrusted JSON into plain values, and writes plain values as JSON.

Stricter than kspike/_json.py, which bounds the depth: one value a key, finite numbers, no control characters (a card is
printed to terminals).
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from typing import Any, NoReturn

import numpy as np

from kspike import _json

_LARGEST = 1 << 63
_NUMBERS = re.compile(r"\[\n[-+0-9.eE,\s]+\]")
# C0 and C1 controls (except tab and newline), bidirectional controls, lone surrogates.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def loads(content: bytes, what: str) -> dict:
    """UTF-8 bytes of one JSON object -> dict; ValueError for anything else."""
    value = _json.loads(content, what, object_pairs_hook=_unique, parse_constant=_no_constant)
    if not isinstance(value, dict):
        raise ValueError(f"Expected {what} to be one JSON object; received a {type(value).__name__}.")
    _check(value, what)
    return value


def dumps(value: dict, what: str) -> bytes:
    """A dict of plain values -> UTF-8 bytes that `loads` reads back equal."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    # Lists of numbers go on one line: search records are mostly those. A text holds no bare newline and is not touched.
    text = _NUMBERS.sub(lambda found: " ".join(found[0].split()).replace("[ ", "[").replace(" ]", "]"), text)
    content = (text + "\n").encode("utf-8")
    loads(content, what)
    return content


def plain(value: Any, what: str, depth: int = 0) -> Any:
    """Nested dicts, sequences, NumPy values and dataclasses -> plain JSON; numbers that are not finite -> None."""
    if depth > _json.DEEPEST:  # a list may even hold itself
        raise ValueError(f"Expected {what[:80]}... to nest at most {_json.DEEPEST} deep; received deeper.")
    depth += 1
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): plain(item, f"{what}[{key!r}]", depth) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, f"{what}[{index}]", depth) for index, item in enumerate(value)]
    if hasattr(value, "to_dict"):
        return plain(value.to_dict(), what, depth)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain(dataclasses.asdict(value), what, depth)
    raise ValueError(
        f"Expected {what} to be JSON-able (numbers, texts, lists, dicts); received a {type(value).__name__}. "
        "Convert it before publishing."
    )


def _unique(pairs: list) -> dict:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON number")


def _check(value: Any, what: str) -> None:
    if isinstance(value, str):
        if _CONTROL.search(value):
            raise ValueError(f"Expected {what} to hold printable text; received a control character in {value[:40]!r}.")
    elif isinstance(value, (int, float)):
        if not abs(value) < _LARGEST:
            raise ValueError(f"Expected the numbers of {what} to be below {_LARGEST:,}; received a larger one.")
    elif isinstance(value, dict):
        for key, item in value.items():
            _check(key, what)
            _check(item, what)
    elif isinstance(value, list):
        for item in value:
            _check(item, what)
