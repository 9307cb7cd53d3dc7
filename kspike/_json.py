"""Reads untrusted JSON: anything wrong with it is a ValueError that names the file and the place.

Deep nesting is refused first. Python's parser gives up at some depth with a RecursionError, which is no ValueError, and
what it lets through would exhaust the stack of whoever walks over the values later.
"""

from __future__ import annotations

import json
import os
from typing import Any

from kspike._files import expanded

#: Far deeper than anything kspike writes.
DEEPEST = 32


def loads(content: str | bytes, what: str, **hooks: Any) -> Any:
    """JSON in UTF-8 -> plain values, nested at most `DEEPEST` deep.

    Args:
        content: a text, or its bytes.
        what: where it stands, for the message: the file, or the file and the line.
        **hooks: of `json.loads`.

    Raises:
        ValueError: anything else.
    """
    try:
        value = json.loads(content if isinstance(content, str) else content.decode("utf-8"), **hooks)
        deep = _is_deep(value)
    except RecursionError:
        deep = True
    except ValueError as error:  # also what is no UTF-8, and numbers of thousands of digits
        raise ValueError(f"Expected {what} to be JSON in UTF-8; received: {error}.") from None
    if deep:
        raise ValueError(f"Expected {what} to nest at most {DEEPEST} deep; received deeper.")
    return value


def read_object(path: str | os.PathLike[str], largest: int | None = None) -> dict[str, Any]:
    """A file -> the one JSON object in it.

    Args:
        path: the file.
        largest: bytes above which it is not read.

    Raises:
        ValueError: no such file, one that is larger, or another content.
    """
    path = expanded(path)
    try:
        size = path.stat().st_size
        if largest is not None and size > largest:
            raise ValueError(f"Expected {path} to hold at most {largest:,} bytes; received {size:,}. It was not read.")
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{str(path)!r} cannot be read: {error.strerror}.") from None
    value = loads(content, str(path))
    if not isinstance(value, dict):
        raise ValueError(f"Expected {path} to hold one JSON object; received a {type(value).__name__}.")
    return value


def _is_deep(value: Any) -> bool:
    level = [value]  # level by level, without recursion: a deep value must not exhaust the stack
    for _ in range(DEEPEST + 1):
        nested = [item for item in level if isinstance(item, (dict, list))]
        if not nested:
            return False
        level = [below for item in nested for below in (item.values() if isinstance(item, dict) else item)]
    return True
