"""What is said to a user: a value, enough to recognise it and never pages of it; a warning, at the line of the call."""

from __future__ import annotations

import sys
import warnings
from typing import Any

_LONGEST = 80


def shown(value: Any) -> str:
    """A value -> a few words: a short text or number as Python writes it, an array by its shape, others by their type.

    Example:
        >>> import numpy as np
        >>> shown(np.zeros((3, 8, 8, 1)))
        'an array of shape (3, 8, 8, 1)'
        >>> shown(2.5), shown([1] * 1000)
        ('2.5', 'a list')
    """
    if isinstance(value, str):
        return repr(value) if len(value) <= _LONGEST else f"{value[:_LONGEST]!r}... ({len(value):,} letters)"
    if value is None or isinstance(value, (bool, float)):
        return repr(value)
    if isinstance(value, int) and value.bit_length() <= 64:
        return repr(value)
    shape = getattr(value, "shape", None)
    if shape is not None and hasattr(value, "dtype"):
        return f"an array of shape {tuple(shape)}"
    return f"a {type(value).__name__}"


def counted(n: int, what: str, several: str | None = None) -> str:
    """A number and what is counted, as it is said: "1 epoch", "2,000 epochs"; `several` where that is no s more."""
    return f"{n:,} {what if n == 1 else several or f'{what}s'}"


def warn(text: str, kind: type[Warning] = UserWarning) -> None:
    """Warns at the first line outside kspike that led here, however deep inside it is: that of the user's call."""
    frame, level = sys._getframe(1), 2
    inside = ("kspike", "functools")  # cached properties
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] in inside:
        frame, level = frame.f_back, level + 1
    warnings.warn(text, kind, stacklevel=level)
