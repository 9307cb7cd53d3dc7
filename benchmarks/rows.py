"""Tables that grow by a row: CSV files that are whole at any moment."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from kspike._files import write_bytes


def read(path: Path) -> list[dict[str, str]]:
    """The rows that are there."""
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def append(path: Path, row: dict[str, Any]) -> None:
    """Adds a row; it names the columns."""
    write(path, [*read(path), row])


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """Writes a whole table aside, to the disk, and renames it into place: it is never half there."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[-1]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, text.getvalue().encode(), durable=True)
