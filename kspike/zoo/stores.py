"""Where the four files of an entry lie: in a folder, or in a zip (kspike/zoo/zips.py), which is read as it is."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Protocol

from kspike.zoo import files


class Store(Protocol):
    """Gives the files of one entry by name, each up to a limit; says where they lie for messages."""

    @property
    def name(self) -> str:
        """The name that the entry has there, `<name>.v<N>`."""

    def place(self, file: str) -> str:
        """Where a file lies, for messages."""

    def has(self, file: str) -> bool:
        """Whether there is such a file, of whatever kind."""

    def size(self, file: str) -> int:
        """The byte count of a file, which is not read; ValueError if it is not there or no plain file."""

    def read(self, file: str, limit: int) -> bytes:
        """The bytes of a file, of which there are at most `limit`; ValueError as of `size`, and if there are more."""


@dataclasses.dataclass(frozen=True)
class Folder:
    """The folder of an entry. Links are refused (`files.opened`)."""

    path: Path
    allow_hard_links: bool = False

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    def place(self, file: str) -> str:
        """The file's path."""
        return str(self.path / file)

    def has(self, file: str) -> bool:
        """Whether the folder has such a file."""
        return os.path.lexists(self.path / file)

    def size(self, file: str) -> int:
        """The byte count of a file, as its folder states it."""
        return files.measure_file(self.path / file, allow_hard_links=self.allow_hard_links)

    def read(self, file: str, limit: int) -> bytes:
        """The bytes of a file, opened once."""
        return files.read_bounded(self.path / file, limit, allow_hard_links=self.allow_hard_links)
