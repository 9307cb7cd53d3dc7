"""Splits rows into chunks for a thread pool, and folds places with few channels into rows long enough to vectorise.

The split depends on the size of the work alone, not on the number of threads: sums by chunk are the same everywhere.
"""

from __future__ import annotations

import collections
import concurrent.futures
import functools
import math
import os
from collections.abc import Callable, Sequence

import numpy as np

#: The most chunks, and the fewest elements of each: waking a thread pays from some 20 microseconds of work on.
MAX_CHUNKS, MIN_CHUNK = 16, 1 << 14
#: Python's thread pool takes chunks in shares, so many a thread, of at least so many elements: where another library's
#: thread spins on a core, a pool thread wakes milliseconds late, and the threads that run take the next share.
SHARES_PER_THREAD, MIN_SHARE = 4, 1 << 18
#: Rows that are summed in float32 before the sum is added to the float64 one.
BLOCK = 64
#: The longest row, in elements. Each loop over a row has some 30 ns of overhead, so rows are long; what one loop passes
#: to the next should still be in the L1 cache.
ROW = 1536
#: The same where sums by element are reduced to sums by channel afterwards.
SUMMED = 256

#: The backend's own thread pool, used instead of Python's: calls a function on so many threads, the calling one
#: included, and waits. False where it cannot; nothing has been called then.
team: Callable[[Callable[[], None], int], bool] | None = None

#: Whether products are sparse whatever the density, so that their sums have one order.
ordered = False
#: Multiply-accumulates of the dense product below which a sparse one costs more than it saves.
MIN_MACS = 1 << 23


@functools.lru_cache(maxsize=1)
def _pool(process: int, threads: int) -> concurrent.futures.ThreadPoolExecutor:
    # one a process: a pool does not survive a fork
    return concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix="kspike")


def parallel_for(work: Callable[[np.ndarray, int, int], None], rows: int, size: int, threads: int) -> None:
    """Splits rows, of `size` elements together, into chunks, and calls work(bounds, first, last) on several threads.

    Each call works on the chunks from first to last; chunk i is rows bounds[i] to bounds[i + 1]. The compiled loops
    release the GIL.
    """
    count = max(1, min(MAX_CHUNKS, rows, size // MIN_CHUNK))
    bounds = np.arange(count + 1) * rows // count
    threads = min(threads, count)
    if threads < 2:
        work(bounds, 0, count)
        return
    parts = threads
    if team is None:
        parts = max(threads, min(count, SHARES_PER_THREAD * threads, size // MIN_SHARE))
    shares = collections.deque((count * i // parts, count * (i + 1) // parts) for i in range(parts))

    def member() -> None:
        while shares:  # there may be fewer threads than were asked for
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


def parallel_rows(
    work: Callable[..., None],
    arrays: Sequence[np.ndarray],
    by_channel: Sequence[np.ndarray],
    threads: int,
) -> None:
    """Folds arrays and vectors, and calls work(*arrays, *by_channel, bounds, first, last) as `parallel_for` does.

    Rows are the places of the first array, `(places, channels)`, or of all images of `(batch, time, places, channels)`.
    """
    arrays, by_channel = fold(arrays, by_channel)
    x = arrays[0]
    parallel_for(functools.partial(work, *arrays, *by_channel), math.prod(x.shape[:-1:2]), x.size, threads)


def fold(
    arrays: Sequence[np.ndarray], by_channel: Sequence[np.ndarray] = (), row: int = ROW
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Folds several places into one row: a loop over few channels is over before it is fast.

    Args:
        arrays: `(..., places, channels)`, all of the same places and channels; empty ones stay empty.
        by_channel: vectors `(channels,)`, or empty.
        row: about how many elements a folded row has.

    Returns:
        The arrays as `(..., places / n, n * channels)`, and the vectors tiled n times.
    """
    places, channels = arrays[0].shape[-2:]
    most = max(1, row // max(1, channels))
    per_row = next(g for g in range(min(most, max(1, places)), 0, -1) if places % g == 0)
    folded = [a.reshape(*a.shape[:-2], a.shape[-2] // per_row, a.shape[-1] * per_row) for a in arrays]
    return folded, [_tile(a, per_row) for a in by_channel]


def _tile(a: np.ndarray, per_row: int) -> np.ndarray:
    """np.tile of a channel vector, for rows of so many places; three times as fast, which small networks feel."""
    out = np.empty((per_row, a.size), a.dtype)
    out[:] = a
    return out.reshape(-1)
