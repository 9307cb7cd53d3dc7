"""Files and folders that are whole or not there: written aside, then renamed into place."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def written_aside(path: str | os.PathLike[str], durable: bool = False) -> Iterator[Path]:
    """Gives a name beside a file's place, with its suffixes; what is written there is renamed into place at the end.

    On every other way out nothing is left, and what was in place stays.

    Args:
        path: the file's place.
        durable: waits until the content is on the disk before it is renamed, so that a power cut leaves no empty file.
    """
    path = Path(path)
    aside = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield aside
        if durable:
            sync(aside)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def write_bytes(path: str | os.PathLike[str], content: bytes, durable: bool = False) -> Path:
    """Writes a file beside its place, then renames it there: never half a file."""
    with written_aside(path, durable) as aside:
        aside.write_bytes(content)
    return Path(path)


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Writes a text file beside its place, then renames it there: never half a file."""
    with written_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")
    return Path(path)


@contextlib.contextmanager
def folder_aside(parent: Path, label: str) -> Iterator[Path]:
    """Gives an empty hidden folder inside `parent`, removed again on every way out unless it was renamed away."""
    aside = parent / f".{label}.{os.getpid()}-{os.urandom(4).hex()}"
    os.mkdir(aside)  # not mkdtemp: the finished folder keeps its mode, and it must be the user's umask
    try:
        yield aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def sync(path: Path) -> None:
    """Has the system put a file, or the names in a folder, on the disk (Windows cannot open folders)."""
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
