"""Cuts rows of numbers into pieces for threads, and places of few channels into rows long enough to be quick.

Work is cut by its size, whatever the number of threads: what is summed piece by piece does not depend on the machine.
"""

from __future__ import annotations

import collections
import concurrent.futures
import functools
import os
from collections.abc import Callable, Sequence

import numpy as np

#: At most so many pieces, of no fewer than so many numbers: a thread is worth waking for some 20 microseconds of work.
CHUNKS, PIECE = 16, 1 << 14
#: Shares a thread of Python's pool, of no fewer than so many numbers: it wakes milliseconds late where a thread of
#: another library's spins on its core, and whoever is there goes on with the next share.
SHARES, SHARE = 4, 1 << 18
#: Rows whose float32 sums are added to the float64 ones.
BLOCK = 64
#: Numbers walked through at a time. Each loop over a row costs some 30 ns before it begins; what several loops hand on
#: to each other is quicker in the first-level cache.
ROW = 1536
#: The same where what is summed by number has to be added up by channel afterwards.
SUMMED = 256

#: Threads of the backend's own, which loops run on rather than on a pool of Python's: calls a function on so many of
#: them, the calling one among them, and waits; False where it cannot, having called nothing.
team: Callable[[Callable[[], None], int], bool] | None = None

#: Whether products go through loops however much is not 0, so that their sums have one order.
ordered = False


@functools.lru_cache(maxsize=1)
def _pool(process: int, threads: int) -> concurrent.futures.ThreadPoolExecutor:
    # for each process its own: a pool does not survive a fork
    return concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix="kspike")


def run(work: Callable[[np.ndarray, int, int], None], rows: int, size: int, threads: int) -> None:
    """Cuts rows, `size` numbers, into pieces, and calls work(bounds, first, last) once a thread for some of them.

    Piece i is rows bounds[i] to bounds[i + 1]; the loops hold no lock.
    """
    count = max(1, min(CHUNKS, rows, size // PIECE))
    bounds = np.arange(count + 1) * rows // count
    threads = min(threads, count)
    if threads < 2:
        work(bounds, 0, count)
        return
    parts = threads
    if team is None:
        parts = max(threads, min(count, SHARES * threads, size // SHARE))
    shares = collections.deque((count * i // parts, count * (i + 1) // parts) for i in range(parts))

    def member() -> None:
        while shares:  # a team may have fewer threads than were asked for
            try:
                share = shares.popleft()
            except IndexError:  # another thread took it in between
                return
            work(bounds, *share)

    if team is None or not team(member, threads):
        others = [_pool(os.getpid(), threads - 1).submit(member) for _ in range(threads - 1)]
        member()
        for other in others:
            other.result()


def side_by_side(
    arrays: Sequence[np.ndarray], numbers: Sequence[np.ndarray] = (), row: int = ROW
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Takes several places as one long row: few channels alone make loops that are over before they are fast.

    Args:
        arrays: `(..., places, channels)`, all of the same places and channels; empty ones stay empty.
        numbers: by channel, `(channels,)`, or empty.
        row: about how many numbers a long row has.

    Returns:
        The arrays as `(..., places / n, n * channels)`, and the numbers n times over.
    """
    places, channels = arrays[0].shape[-2:]
    most = max(1, row // max(1, channels))
    together = next(g for g in range(min(most, max(1, places)), 0, -1) if places % g == 0)
    wide = [a.reshape(*a.shape[:-2], a.shape[-2] // together, a.shape[-1] * together) for a in arrays]
    return wide, [_repeated(a, together) for a in numbers]


def _repeated(a: np.ndarray, together: int) -> np.ndarray:
    """np.tile in a third of its time, which small networks feel."""
    out = np.empty((together, a.size), a.dtype)
    out[:] = a
    return out.reshape(-1)
