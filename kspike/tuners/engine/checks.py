"""Checks of arguments that searches share."""

from __future__ import annotations

from typing import Any


def whole(name: str, value: Any, least: int) -> int:
    """Returns a whole number of at least `least` as an int.

    Raises:
        ValueError: anything else.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__") or int(value) < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}.")
    return int(value)


def at_most(name: str, value: int, most: int) -> None:
    """Refuses a number too large to be processed.

    Raises:
        ValueError: it is above `most`.
    """
    if value > most:
        raise ValueError(f"{name} must be at most {most:,}, got {value:,}.")
