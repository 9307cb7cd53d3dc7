"""Checks what a user passes, before anything is read or decoded."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def whole(name: str, value: Any, least: int) -> int:
    """Reads a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name}: expected a whole number of at least {least}, received {value!r}.")
    return int(value)


def image_size(value: Any) -> tuple[int, int] | None:
    """Reads an `image_size=` argument: None, one number for a square, or (height, width)."""
    if value is None:
        return None
    try:
        height, width = (value, value) if not isinstance(value, Sequence) else value
        return whole("height", height, 1), whole("width", width, 1)
    except ValueError:
        raise ValueError(
            f"image_size: expected a positive number of pixels, or (height, width); received {value!r}."
        ) from None


def channel_values(name: str, value: Any, channels: int) -> tuple[float, ...] | None:
    """Reads a `mean=` or `std=` argument: None, or one finite number a channel; std above zero."""
    if value is None:
        return None
    numbers = np.asarray(value, np.float64)
    if numbers.shape != (channels,) or not np.isfinite(numbers).all() or (name == "std" and (numbers <= 0).any()):
        positive = ", above zero" if name == "std" else ""
        raise ValueError(f"{name}: expected {channels} finite number(s), one a channel{positive}; received {value!r}.")
    return tuple(numbers.tolist())


def text(name: str, value: Any) -> str:
    """Reads a text of one line that is not empty."""
    if not isinstance(value, str) or not value.strip() or "\n" in value:
        raise ValueError(f"{name}: expected a text of one line, received {value!r}.")
    return value
