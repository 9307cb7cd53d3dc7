"""Reads files of an entry with a size limit, and writes folders atomically.

An entry may come from anyone. A file is therefore opened once, without following links, measured on the open
descriptor and read into memory; the bytes that are hashed are then the bytes that are used, even if the path changes.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from kspike import _names
from kspike._files import sync

_CHUNK = 1 << 20
#: What hidden folders in a zoo are for, as a pattern: an entry that is written there, or the try whether it fits.
ASIDE = rf"{_names.ENTRY}\.(?:publishing|trying|importing)"


def sha256(content: bytes) -> str:
    """Bytes -> their SHA-256 as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def measure_file(path: Path, *, allow_hard_links: bool = False) -> int:
    """A path -> the byte count of the plain file there, which is not opened; ValueError if it is no plain file."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        raise ValueError(f"Expected the file {path}; received a folder without it: the entry is incomplete.") from None
    _check_plain(path, status, allow_hard_links)
    return status.st_size


def read_bounded(path: Path, limit: int, *, allow_hard_links: bool = False) -> bytes:
    """A path -> the bytes of the plain file there, of which there are at most `limit`; links as in `opened`."""
    with opened(path, allow_hard_links=allow_hard_links) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise ValueError(f"Expected {path} to hold at most {limit:,} bytes; received {size:,}. It was not read.")
        content = file.read(size + 1)
    if len(content) != size:
        raise ValueError(f"Expected {path} to keep its {size:,} bytes; it changed while it was read. Try again.")
    return content


@contextlib.contextmanager
def opened(path: Path, *, allow_hard_links: bool = False) -> Iterator[BinaryIO]:
    """A path -> the plain file there, opened once for reading; ValueError if it is no plain file.

    Links of both kinds are refused: a symbolic link can point anywhere, and a hard-linked file can be changed through
    its other name. `allow_hard_links` is for the folder that travels with the package, because installers (uv, conda)
    hard-link the files of a wheel out of their caches.
    """
    measure_file(path, allow_hard_links=allow_hard_links)
    # O_NONBLOCK: a named pipe put in the file's place after the check above must not hang us.
    flags = os.O_RDONLY
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):
        flags |= getattr(os, name, 0)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ValueError(_link_message(path, "a symbolic link")) from None
        raise
    with os.fdopen(descriptor, "rb") as file:
        _check_plain(path, os.fstat(file.fileno()), allow_hard_links)
        yield file


def _check_plain(path: Path, status: os.stat_result, allow_hard_links: bool) -> None:
    if stat.S_ISLNK(status.st_mode):
        raise ValueError(_link_message(path, "a symbolic link"))
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(
            f"Expected {path} to be a plain file; received something else. Restore the entry from its source."
        )
    if status.st_nlink > 1 and not allow_hard_links:
        raise ValueError(_link_message(path, f"a hard link ({status.st_nlink} names for one file)"))


def _link_message(path: Path, kind: str) -> str:
    return (
        f"Expected {path} to be a file of its own; received {kind}, whose content can change from elsewhere. "
        "Copy the file itself into the entry's folder."
    )


def write_synced(path: Path, content: bytes) -> None:
    """Bytes -> a new file that is on the disk when this returns."""
    with open(path, "xb") as file:
        for start in range(0, len(content), _CHUNK):
            file.write(content[start : start + _CHUNK])
        file.flush()
        os.fsync(file.fileno())


def reserve(path: Path, size: int) -> None:
    """Allocates a file of that many bytes on the disk; OSError where there is no space.

    Tried before work starts: free space does not show quotas, and HDF5 does not fail cleanly when a disk fills up.
    """
    with open(path, "xb") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
            return
        for start in range(0, size, _CHUNK):
            file.write(b"\0" * min(_CHUNK, size - start))


def rename_into_place(aside: Path, candidates: Callable[[], Path]) -> Path:
    """Renames a finished folder to its final name, never onto something that exists.

    `candidates` is called again for the next name if another process took the first in the meantime.
    """
    while True:
        target = candidates()
        if os.path.lexists(target):
            raise ValueError(
                f"Expected a free place for the entry; received {target}, which exists. Entries never change."
            )
        try:
            os.rename(aside, target)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR) and not os.path.lexists(target):
                raise
            continue
        sync(target.parent)
        return target
