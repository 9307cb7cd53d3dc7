"""Runs the compiled CPU loops on PyTorch's own OpenMP threads, so that two thread pools do not compete for the cores.

An idle OpenMP thread spins for some milliseconds before it sleeps. PyTorch's do so after each operation, on the cores
that another thread pool would need for the next loop; given the loop themselves, they start at once.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from pathlib import Path

import torch

from kspike.ops.cpu import threads as cpu_threads

#: GOMP_parallel's argument, in GCC's OpenMP and, on Linux, LLVM's: fn(data), run on every thread, the caller's too.
_Entry = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def _gomp_parallel() -> Callable | None:
    """GOMP_parallel of the OpenMP that PyTorch is linked with; None where there is none (macOS, Windows)."""
    try:  # symbols are looked up in the libraries that it is linked with, too
        found = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so")).GOMP_parallel
    except (OSError, AttributeError):
        return None
    found.argtypes, found.restype = [_Entry, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint], None
    return found


class ThreadTeam:
    """OpenMP's thread pool: calls a function on its threads, and raises what one of them raised once all have ended.

    A forked process has none of its parent's threads, for which libgomp would wait for ever: there it returns False and
    calls nothing.
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
    """Makes the compiled loops run on PyTorch's threads from now on, where that is possible."""
    parallel = _gomp_parallel()
    cpu_threads.team = ThreadTeam(parallel) if parallel else None
