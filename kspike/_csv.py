"""CSV that is safe in a spreadsheet: a user's text never becomes a formula, numbers stay numbers."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any

#: First characters of a formula in a spreadsheet (OWASP, "CSV injection"); a quote in front makes the cell a text.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def as_csv(rows: Iterable[Iterable[Any]], lineterminator: str = "\n") -> str:
    """Rows of values, the header first -> CSV, every cell written by `cell`."""
    text = io.StringIO()
    csv.writer(text, lineterminator=lineterminator).writerows([cell(value) for value in row] for row in rows)
    return text.getvalue()


def cell(value: Any) -> Any:
    """A text that a spreadsheet would run gets a quote in front; any other value comes back as it is."""
    if not isinstance(value, str) or not value.startswith(_FORMULA) or _is_number(value):
        return value
    return f"'{value}"


def uncell(text: str) -> str:
    """The inverse of `cell`."""
    return text[1:] if text.startswith("'") and cell(text[1:]) == text else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text == text.strip()  # float("\t1") is 1.0, too
