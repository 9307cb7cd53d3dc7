"""Identifies the process that made a file, so that leftovers of ended processes are told from files in use.

A mark holds the process's number, its start time (numbers are reused) and the machine with its boot and its
process namespace: two containers, or two nodes of a cluster, may have the same numbers and share a disk.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import socket
from pathlib import Path

#: A mark, as a pattern.
PATTERN = r"[1-9][0-9]{0,9}-[0-9]{1,20}-[0-9a-f]{8}"
_UNKNOWN = 0


def mark() -> str:
    """The mark of this process: `<number>-<start>-<machine>`, letters that any file name may have."""
    _, start = _look_up(os.getpid())
    return f"{os.getpid()}-{start}-{_machine()}"


def lives(made_by: str) -> bool | None:
    """A mark -> whether its process is running; None where that cannot be seen from here.

    It cannot be seen for a process of another machine or container, or of an earlier boot, nor where the system does
    not tell start times (the number may be reused).
    """
    if not re.fullmatch(PATTERN, made_by):
        return None
    number, start, machine = made_by.split("-")
    if machine != _machine() or os.name != "posix":  # on Windows os.kill would end the process
        return None
    try:
        os.kill(int(number), 0)
    except PermissionError:  # another user's process: it is running
        pass
    except (ProcessLookupError, OverflowError):
        return False
    state, now = _look_up(int(number))
    if _UNKNOWN in (now, int(start)):
        return None
    return now == int(start) and state not in ("Z", "X")  # Z, X: ended, not yet reaped by its parent


def _look_up(number: int) -> tuple[str, int]:
    """State and start of a process, the latter in ticks since the boot; unknown where there is no /proc."""
    try:
        text = Path(f"/proc/{number}/stat").read_text(encoding="utf-8", errors="replace")
        fields = text.rpartition(")")[2].split()  # a program's name may hold spaces and brackets
        return fields[0], int(fields[19])
    except (OSError, IndexError, ValueError):
        return "", _UNKNOWN


@functools.cache
def _machine() -> str:
    parts = [socket.gethostname()]
    for read in (
        lambda: Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip(),
        lambda: os.readlink("/proc/self/ns/pid"),
    ):
        try:
            parts.append(read())
        except OSError:
            parts.append("")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]
