"""Atomic files and folders: written "aside" (under a temporary name beside their place), then renamed into place."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from kspike import _process
from kspike._messages import shown

#: The end of a temporary name, after its label: the process that made it, and a random number.
_MADE_BY = rf"({_process.PATTERN})-[0-9a-f]{{8}}"
#: The same, as older versions wrote it: the process's number alone.
_MADE_BY_EARLIER = r"([1-9][0-9]*)-[0-9a-f]{8}"
#: Seconds without a change after which a temporary file is a leftover, if its process cannot be seen from here.
ABANDONED = 7 * 24 * 3600


def expanded(path: str | os.PathLike[str]) -> Path:
    """A path that a user gave -> the same, "~" and "~name" replaced by home folders.

    Raises:
        ValueError: no path, or "~name" of nobody.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise ValueError(f"Expected the path of a file or a folder; received {shown(path)}.")
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ValueError(
            f"Expected a path; received {shown(os.fspath(path))}, the home folder of a user whom this machine does not "
            f"know. A file or folder of that name is written './{os.fspath(path)[:40]}'."
        ) from None


def opened_plain(path: str | os.PathLike[str]) -> BinaryIO:
    """A path -> the file there, opened for reading; links are followed.

    Raises:
        ValueError: a folder, or a pipe or device, which would be waited for, or would never end.
        OSError: no such file, or no permission.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    what = "a folder" if os.path.isdir(path) else "a pipe or a device"
    raise ValueError(f"{os.fspath(path)} is {what}; expected a file.")


@contextlib.contextmanager
def written_aside(path: str | os.PathLike[str], durable: bool = False) -> Iterator[Path]:
    """Gives a temporary name beside a file, with its suffixes; what is written there is renamed into place at the end.

    If the block raises, nothing is left, and an existing file stays.

    Args:
        path: the file's place, in a folder that is there; "~" is the user's home.
        durable: waits until the content is on the disk before it is renamed, so that a power cut leaves no empty file.

    Raises:
        ValueError: "~name" of nobody.
        FileNotFoundError: there is no such folder.
    """
    path = expanded(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, f"There is no folder {path.parent} to write {path.name} into")
    _remove_dead(path.parent, re.compile(rf"\.{_MADE_BY}\.{re.escape(path.name)}"))
    aside = path.with_name(f".{_made_by()}.{path.name}")
    try:
        yield aside
        if durable:
            sync(aside)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def write_bytes(path: str | os.PathLike[str], content: bytes, durable: bool = False) -> Path:
    """Writes a file atomically: never half a file."""
    with written_aside(path, durable) as aside:
        aside.write_bytes(content)
    return expanded(path)


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Writes a text file atomically: never half a file."""
    with written_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")
    return expanded(path)


@contextlib.contextmanager
def folder_aside(parent: Path, label: str, mode: int = 0o777) -> Iterator[Path]:
    """Gives an empty hidden folder inside `parent`, removed at the end of the block unless it was renamed.

    A killed process leaves it behind; by its name, `.<label>.<process>`, `remove_leftovers` then finds it.

    Args:
        parent: where it is made.
        label: what it is for.
        mode: of the folder, less the user's umask.
    """
    aside = place_aside(parent, label)
    os.mkdir(aside, mode)  # not mkdtemp: the finished folder keeps its mode, and it must be the user's umask
    try:
        yield aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def place_aside(parent: Path, label: str) -> Path:
    """Gives an unused hidden path inside `parent`; its name tells `remove_leftovers` which process made it."""
    return parent / f".{label}.{_made_by()}"


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """Gives an empty temporary folder that no other user can enter; removed at the end of the block.

    Those that killed processes left behind are removed first.
    """
    parent = Path(tempfile.gettempdir())
    remove_leftovers(parent, "kspike")
    with folder_aside(parent, "kspike", mode=0o700) as folder:
        yield folder


def remove_leftovers(parent: Path, label: str) -> None:
    """Removes what `folder_aside` made inside `parent` for killed processes; that of running ones stays.

    Processes of another machine, or of a container, cannot be seen: their folders stay until nothing in them has
    changed for a week.

    Args:
        parent: the folder; an absent one holds nothing.
        label: the label that was given, as a regular expression.
    """
    for made_by in (_MADE_BY, _MADE_BY_EARLIER):
        _remove_dead(parent, re.compile(rf"\.(?:{label})\.{made_by}"))


def _made_by() -> str:
    return f"{_process.mark()}-{os.urandom(4).hex()}"


def _remove_dead(parent: Path, pattern: re.Pattern[str]) -> None:
    with contextlib.suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            match = pattern.fullmatch(entry.name)
            if match is None or entry.is_symlink() or not _is_left(Path(entry.path), match[1]):
                continue
            if entry.is_dir():
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                Path(entry.path).unlink(missing_ok=True)


def _is_left(path: Path, made_by: str) -> bool:
    alive = _process.lives(made_by)
    if alive is not None:
        return not alive
    inside = path.rglob("*") if path.is_dir() else ()
    return time.time() - max(each.lstat().st_mtime for each in (path, *inside)) >= ABANDONED


def sync(path: Path) -> None:
    """Syncs a file, or the names in a folder, to the disk (Windows cannot open folders)."""
    folder = path.is_dir()
    if folder and os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    except OSError as error:  # some network file systems know no fsync of folders
        if not folder or error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def sha256(path: str | os.PathLike[str]) -> str:
    """Hash of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
