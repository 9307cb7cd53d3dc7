"""A lock on a folder for one process at a time: it says who holds it, and ends with its process.

The lock is the system's own (flock) on `kspike.lock` in the folder, so that it ends with its process, however that
ends; a child made by fork does not inherit it. The file records the holder: process, host, since when. It is empty
while nobody holds the lock, and is never removed, or two processes could lock two files of one name.

On network file systems: NFS passes flock on to its server, Lustre does when mounted with `flock`, and both then hold
across machines. Where the file system has no locks, a file `kspike.held` takes their place: if its process died on
this machine, that is detected and the lock is freed; on another machine it cannot be known, and the message says which
file to remove. Where a mount locks on its own machine alone (Lustre's `localflock`, NFS' `nolock` and
`local_lock`), two machines do not see each other.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import socket
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from kspike import _process

LOCK, HELD = "kspike.lock", "kspike.held"
#: Error numbers of a file system without locks.
UNKNOWN = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL}
#: Windows locks bytes against reading too, so a byte beyond the content is locked.
BEYOND = 1 << 30
#: Locks of this process, by file descriptor.
_ours: set[int] = set()


class Held(ValueError):
    """Another process, or object, holds the folder."""


@contextlib.contextmanager
def held(folder: Path, what: str) -> Iterator[str]:
    """Locks a folder while the block runs; gives a token that is unique to this lock.

    Args:
        folder: where; made if it is not there.
        what: the kind of work, for the error message of a second process.

    Raises:
        Held: another process, or another object of this one, holds it; says who and since when.
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    record = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now().astimezone().isoformat(timespec="seconds"),
        "mark": _process.mark(),
        "work": what,
        "token": secrets.token_hex(8),
    }
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        given = _flock(lock)
        if given:
            _ours.add(lock)
            content = json.dumps(record).encode()
            os.lseek(lock, 0, os.SEEK_SET)
            os.ftruncate(lock, os.write(lock, content))  # in this order: never empty while it is held
        elif given is None:
            _create(folder, record)
        else:
            raise Held(_refusal(folder, holder(folder)))
        try:
            yield str(record["token"])
        finally:
            if given is None:
                _remove(folder / HELD, record)
            elif lock in _ours:  # not in a child made by fork, whose parent still holds it
                os.ftruncate(lock, 0)
    finally:
        if lock in _ours or not given:
            _ours.discard(lock)
            os.close(lock)


def holder(folder: Path) -> dict[str, Any] | None:
    """The recorded holder of a folder: pid, host, since, work, token; None where there is none."""
    for name in (LOCK, HELD):
        with contextlib.suppress(OSError, ValueError):
            record = json.loads((folder / name).read_bytes())
            if isinstance(record, dict):
                return record
    return None


@contextlib.contextmanager
def exclusively(descriptor: int) -> Iterator[None]:
    """Locks an open file for one write, waiting for others; without effect where there are no locks."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    yield  # closing the file releases the lock


def _flock(descriptor: int) -> bool | None:
    """Whether the lock was given; None where there are none."""
    try:
        if os.name == "nt":
            import msvcrt

            os.lseek(descriptor, BEYOND, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in UNKNOWN:
            return None
        if error.errno in (errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK, errno.EDEADLK):
            return False
        raise
    return True


def _create(folder: Path, record: dict[str, Any]) -> None:
    """Makes the file that replaces a lock; takes it over from a dead process of this machine."""
    path = folder / HELD
    for _ in range(3):
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            before = _read(path)
            if before is None or not _dead(before):
                break
            _remove(path, before)
            continue
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(json.dumps(record))
        return
    raise Held(_refusal(folder, _read(path), path))


def _remove(path: Path, record: dict[str, Any]) -> None:
    """Removes the file of this record: renamed first (only one process can), then read again to be sure."""
    aside = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    with contextlib.suppress(FileNotFoundError):
        os.rename(path, aside)
        if (_read(aside) or record)["token"] != record["token"]:
            os.rename(aside, path)  # another process was faster, and holds it now
        else:
            aside.unlink()


def _read(path: Path) -> dict[str, Any] | None:
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and "token" in record else None


def _dead(record: dict[str, Any]) -> bool:
    """Whether a process of this machine has surely ended; unknown (False) for other machines and on Windows."""
    return _process.lives(str(record.get("mark"))) is False


def _refusal(folder: Path, record: dict[str, Any] | None, path: Path | None = None) -> str:
    who = "another process"
    if record is not None:
        here = (record.get("pid"), record.get("host")) == (os.getpid(), socket.gethostname())
        who = f"{'this very process' if here else 'process'} {record.get('pid')} on {record.get('host')}"
        who += f" ({record.get('work')}, since {record.get('since')})"
    advice = "wait until it has ended, or take another folder"
    if path is not None:
        advice += f"; if that process is surely dead, remove {path}"
    return f"{folder} is held by {who}: {advice}. What is there may be read meanwhile."


def _forget() -> None:
    """Closes a forked child's copies: they would keep the lock after the parent's death."""
    for descriptor in _ours:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _ours.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
