"""Runs the compiled loops of a CPU on the threads of PyTorch's own OpenMP, so that the two do not hinder each other.

An OpenMP thread that has nothing to do spins for some milliseconds before it sleeps. PyTorch's do so after each of its
operations, on the very cores that threads of another pool would want for the loop that comes next; asked for the loop
themselves, they start on it at once.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from pathlib import Path

import torch

from kspike.ops.cpu import threads as cpu_threads

#: What GCC's and, on Linux, LLVM's OpenMP both offer: fn(data) on so many threads, the calling one among them.
_Entry = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def _gomp_parallel() -> Callable | None:
    """GOMP_parallel of the OpenMP that PyTorch is linked with; None where it has none of that name (macOS, Windows)."""
    try:  # a library's name is looked up in what it is linked with, too
        found = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so")).GOMP_parallel
    except (OSError, AttributeError):
        return None
    found.argtypes, found.restype = [_Entry, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint], None
    return found


class ThreadTeam:
    """Calls a function on threads of OpenMP; what one of them raises is raised here, once all have ended.

    A forked process has none of its parent's threads, and libgomp waits for them for ever: False there, and nothing is
    called.
    """

    def __init__(self, parallel: Callable):
        self.parallel, self.process = parallel, os.getpid()

    def __call__(self, member: Callable[[], None], threads: int) -> bool:
        if os.getpid() != self.process:
            return False
        raised: list[BaseException] = []

        def entry(_: int | None) -> None:
            try:
                member()
            except BaseException as error:  # ctypes would print it and go on
                raised.append(error)

        self.parallel(_Entry(entry), None, threads, 0)
        if raised:
            raise raised[0]
        return True


def install() -> None:
    """Makes the loops run on PyTorch's threads from now on, if they can."""
    parallel = _gomp_parallel()
    cpu_threads.team = ThreadTeam(parallel) if parallel else None
