"""Journal: an append-only file of JSON lines, each on the disk before the search goes on: what it resumes from."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Journal:
    """Appends records to a file and reads them back.

    A record is one line, written in one call and flushed to the disk. A process killed in mid-write leaves at most a
    torn last line: it is dropped on reading, and cut off before the next record.

    Args:
        path: the file; made on the first record.

    Raises:
        ValueError: a line other than the last is damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def read(self) -> list[dict[str, Any]]:
        """All whole records, oldest first."""
        records, _ = self._read()
        return records

    def append(self, record: Mapping[str, Any]) -> None:
        """Writes one record and waits until it is on the disk."""
        _, good = self._read() if self._torn() else (None, None)
        with open(self.path, "ab") as file:
            if good is not None:
                file.truncate(good)
            file.write((json.dumps(record, allow_nan=False, separators=(",", ":")) + "\n").encode())
            file.flush()
            os.fsync(file.fileno())

    def _torn(self) -> bool:
        if not self.path.exists() or not self.path.stat().st_size:
            return False
        with open(self.path, "rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"

    def _read(self) -> tuple[list[dict[str, Any]], int]:
        if not self.path.exists():
            return [], 0
        records: list[dict[str, Any]] = []
        good = 0
        content = self.path.read_bytes()
        for number, line in enumerate(content.splitlines(keepends=True), start=1):
            whole = line.endswith(b"\n")
            if not whole:
                break  # the torn last line
            try:
                records.append(json.loads(line))
            except ValueError as error:
                raise ValueError(
                    f"{self.path}, line {number} is damaged ({error}); restore the file from a copy, "
                    "or start the project anew with overwrite=True."
                ) from error
            good += len(line)
        return records, good
