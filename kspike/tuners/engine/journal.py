"""Journal: an append-only file of JSON lines, each synced to disk before the search goes on; it resumes from them."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from kspike._lock import exclusively

#: A record and its hash: the first half of SHA-256 over the hash of the lines before it and its own record.
_SUM = re.compile(rb'(.*),"sum":"([0-9a-f]{32})"}')


class Journal:
    """Appends records to a file and reads them back.

    A record is one line, written in one call and flushed to the disk. A process killed in mid-write leaves at most a
    torn last line: it is dropped on reading, and cut off before the next record.

    Every line ends with a hash over itself and all lines before it, so altered, missing, doubled and exchanged lines
    are refused (only lines missing at the end cannot be noticed). A journal whose first line has no hash, from an older
    version, goes on without.

    If another process, or another object, has appended since this one last read or wrote, `append` refuses.

    Args:
        path: the file; made on the first record.

    Raises:
        ValueError: a line other than the last is damaged; names file and line.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._known: _Content | None = None

    def read(self) -> list[dict[str, Any]]:
        """All whole records, oldest first; record i stands in line i + 1."""
        self._known = self._read()
        return self._known.records

    def changed(self) -> bool:
        """Whether the file holds other records than this object last read or wrote."""
        return self._known is not None and self._read()[1:] != self._known[1:]

    def grown(self) -> bool:
        """Whether the file's size has changed: a cheap check before `changed`, which reads the file."""
        return self._known is not None and self._size() != self._known.end

    def empty(self) -> bool:
        """Whether no record was there when this object last read or wrote."""
        return (self._known or self._read()).end == 0

    def append(self, record: Mapping[str, Any]) -> None:
        """Writes one record and waits until it is on the disk.

        Raises:
            ValueError: the file has other records than this object has read and written.
        """
        known = self._known or self._read()
        body = json.dumps(record, allow_nan=False, separators=(",", ":")).encode()
        digest = _digest(known.digest, body)
        line = body[:-1] + b',"sum":"' + digest + b'"}' if known.summed else body
        with open(self.path, "ab+") as file, exclusively(file.fileno()):
            file.seek(min(known.end, self._size()))
            if self._size() < known.end or b"\n" in file.read():
                raise ValueError(
                    f"{self.path} was changed by another process, or another object of this one, since it was read: "
                    "one search at a time writes into a project. Open it again to go on from what is there now."
                )
            file.truncate(known.end)  # the torn last line
            file.write(line + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self._known = _Content([], known.end + len(line) + 1, digest, known.summed)

    def refuse(self, line: int, why: str) -> NoReturn:
        """Raises the ValueError that names a line."""
        raise ValueError(
            f"{self.path}, line {line} is damaged ({why}); restore the file from a copy, or start the project anew "
            "with overwrite=True."
        )

    def _size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def _read(self) -> _Content:
        content = self.path.read_bytes() if self.path.exists() else b""
        whole, _, _ = content.rpartition(b"\n")  # what follows the last newline is the torn last line
        lines = whole.split(b"\n") if b"\n" in content else []
        summed = not lines or _SUM.fullmatch(lines[0]) is not None
        records, digest = [], b""
        for number, line in enumerate(lines, start=1):
            parts = _SUM.fullmatch(line) if summed else None
            if summed and parts is None:
                self.refuse(number, "it does not end with a sum, as the first line does")
            body = line if parts is None else parts[1] + b"}"
            digest = _digest(digest, body)
            if parts is not None and parts[2] != digest:
                self.refuse(number, "it, or a line before it, is not what was written")
            records.append(self._parse(number, body))
        return _Content(records, len(whole) + bool(lines), digest, summed)

    def _parse(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            record = json.loads(line, parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            self.refuse(number, f"{type(error).__name__}: {error}")
        if not isinstance(record, dict):
            self.refuse(number, f"it is a {type(record).__name__}, expected an object")
        if "sum" in record:
            self.refuse(number, "it has a sum, which the first line has not, or which is damaged itself")
        return record


class _Content(NamedTuple):
    """The file's content: records, where the last whole one ends, the hash of all, whether lines carry hashes."""

    records: list[dict[str, Any]]
    end: int
    digest: bytes
    summed: bool


def _digest(before: bytes, body: bytes) -> bytes:
    return hashlib.sha256(before + body).hexdigest()[:32].encode()


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON number")
