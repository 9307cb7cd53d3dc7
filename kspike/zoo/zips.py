"""Reads an entry that lies in a zip, and writes one.

    <name>.v<N>/config.json  metadata.json  model.weights.h5  README.md        as in its folder, and nothing else

Nothing is unpacked to be read. A zip may come from anyone: its end is read first, so that no list of millions of
members is; then every member's name, kind and stated size, before any content; and of a member never more than it
states. What the files hold is checked as in a folder (kspike/zoo/entry.py).
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from kspike import _zip
from kspike._messages import shown
from kspike.zoo import files, naming, sealing

#: What an entry consists of; the README is absent from the oldest.
FILES = (naming.CONFIG, naming.METADATA, naming.WEIGHTS, sealing.CARD)
#: A zip without the extensions for larger ones.
MAX_BYTES = (1 << 32) - 1
# Signature, disks, members here and in all, bytes and place of their list, letters of a comment.
_END = struct.Struct("<4s4H2LH")
_LARGE = b"PK\6\7"
_MAX_MEMBERS, _MAX_LIST = 2 * len(FILES), 1 << 16
_ENCRYPTED = 0x1 | 0x40 | 0x2000
#: The time that a zip can state at the earliest: the same entry gives the same bytes.
_TIME = (1980, 1, 1, 0, 0, 0)
#: What Python's reader raises for a damaged zip.
_DAMAGED = (
    zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, EOFError, OSError, OverflowError,
    UnicodeError, struct.error, zlib.error,
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Zip:
    """An entry in a zip. Opened anew for each file: the hashes tell if it changed in the meantime."""

    path: Path
    name: str

    @classmethod
    def open(cls, path: Path) -> Zip:
        """A path -> the zip there, its members checked and none of them read.

        Raises:
            ValueError: no such file, or another than one entry as `write` makes it.
        """
        with _members(path) as (_, name, _):
            return cls(path, name)

    def place(self, file: str) -> str:
        """The zip's path, and the file's place in it."""
        return f"{self.path}/{self.name}/{file}"

    def has(self, file: str) -> bool:
        """Whether the zip has such a file."""
        with _members(self.path) as (_, _, members):
            return file in members

    def size(self, file: str) -> int:
        """The byte count that the zip states."""
        with _members(self.path) as (_, _, members):
            return self._member(members, file).file_size

    def read(self, file: str, limit: int) -> bytes:
        """The bytes of a file, as many as the zip states and no more."""
        with _members(self.path) as (archive, _, members):
            member = self._member(members, file)
            if member.file_size > limit:
                raise ValueError(
                    f"Expected {self.place(file)} to hold at most {limit:,} bytes; received {member.file_size:,}. It "
                    "was not read."
                )
            with archive.open(member) as opened:
                content = opened.read(member.file_size + 1)
        if len(content) != member.file_size:
            raise ValueError(
                f"Expected {self.place(file)} to hold the {member.file_size:,} bytes that the zip states; received "
                f"{len(content):,}. Get the zip again from its source."
            )
        return content

    def _member(self, members: Mapping[str, zipfile.ZipInfo], file: str) -> zipfile.ZipInfo:
        if file not in members:
            raise ValueError(f"Expected the file {self.place(file)}; the zip has none: the entry is incomplete.")
        return members[file]


def write(path: Path, name: str, contents: Mapping[str, bytes]) -> None:
    """Writes the files of an entry as a new zip, uncompressed (weights hardly compress): the same bytes every time."""
    with zipfile.ZipFile(path, "x", zipfile.ZIP_STORED, allowZip64=False) as archive:
        for file in sorted(contents):
            member = zipfile.ZipInfo(f"{name}/{file}", _TIME)
            member.create_system = 3
            member.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(member, contents[file])


@contextlib.contextmanager
def _members(path: Path) -> Iterator[tuple[zipfile.ZipFile, str, dict[str, zipfile.ZipInfo]]]:
    """The open zip, the entry's name and its files, checked; what else is wrong with it is a ValueError too."""
    path = Path(os.path.realpath(path))
    if not path.exists():
        raise ValueError(f"{str(path)!r} cannot be read: there is no such file.")
    with files.opened(path, allow_hard_links=True) as file:  # a path that the user named; what is in it is not trusted
        try:
            _check_end(file, path)
            with zipfile.ZipFile(file) as archive:
                name, members = _check(archive.infolist(), os.fstat(file.fileno()).st_size, path)
                yield archive, name, members
        except _DAMAGED as error:
            said = str(error) or type(error).__name__
            raise ValueError(
                f"Expected {path} to be a whole zip; it cannot be read: {said}. Get it again from its source."
            ) from None


def _check_end(file: BinaryIO, path: Path) -> None:
    """Reads how many members there are, and how long their list is, before anything reads that list."""
    size = os.fstat(file.fileno()).st_size
    if size > MAX_BYTES:
        raise ValueError(f"Expected {path} to hold at most {MAX_BYTES:,} bytes; received {size:,}. It was not read.")
    file.seek(max(0, size - _END.size - 20))
    tail = file.read()
    end = tail[-_END.size :]
    signature, *_, members, listed, _, comment = _END.unpack(end) if len(end) == _END.size else (b"", 0, 0, 0, 0)
    if signature != b"PK\5\6" or comment:
        raise ValueError(
            f"Expected {path} to be a zip; it does not end as one does: it was cut, or is another kind of file. Get it "
            "again from its source."
        )
    if tail[:4] == _LARGE or members > _MAX_MEMBERS or listed > _MAX_LIST:
        raise ValueError(
            f"Expected {path} to hold one entry of the zoo, {len(FILES)} files; it lists more. It was not read."
        )


def _check(found: list[zipfile.ZipInfo], size: int, path: Path) -> tuple[str, dict[str, zipfile.ZipInfo]]:
    """Members -> the entry's name and its files by name; ValueError for any member that does not belong to it."""
    folders: set[str] = set()
    members: dict[str, zipfile.ZipInfo] = {}
    seen: set[str] = set()
    for member in found:
        text = member.orig_filename
        folder, _, file = text.partition("/")
        problem = _problem(member)
        if problem is None and (file and file not in FILES or not naming.is_full(folder) or "/" not in text):
            problem = "is no file of an entry (the folder <name>.v<N> with " + ", ".join(FILES) + ")"
        elif problem is None and text in seen:
            problem = "stands twice"
        if problem is not None:
            raise ValueError(
                f"Expected {path} to hold one entry of the zoo and nothing else; its member {shown(text)} {problem}. "
                "Nothing of it was unpacked. `kspike zoo export` writes such zips."
            )
        seen.add(text)
        folders.add(folder)
        if file:
            members[file] = member
    if len(folders) != 1:
        there = ", ".join(sorted(folders)) or "nothing"
        raise ValueError(f"Expected {path} to hold one entry of the zoo; it holds {there}. Nothing was unpacked.")
    stated, most = sum(member.file_size for member in found), _zip.most(size)
    if stated > most:
        raise ValueError(
            f"Expected {path} to unpack to at most {most:,} bytes, for its {size:,}; it states {stated:,}. Nothing "
            "was unpacked."
        )
    return folders.pop(), members


def _problem(member: zipfile.ZipInfo) -> str | None:
    """What is wrong with one member, whatever the others are; None where nothing is."""
    name, kind = member.orig_filename, stat.S_IFMT(member.external_attr >> 16)
    if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name):
        return "has an absolute path"
    if ".." in re.split(r"[/\\]", name):
        return "climbs out of the folder"
    if member.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if kind == stat.S_IFLNK:
        return "is a symbolic link"
    if kind not in (0, stat.S_IFDIR if name.endswith("/") else stat.S_IFREG):
        return "is no plain file"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is compressed by a method that entries do not use"  # LZMA takes the memory that its header asks for
    return None
