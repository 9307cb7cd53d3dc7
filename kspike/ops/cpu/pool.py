"""The 3x3 max-pool of stride 2 as compiled loops over a CPU's memory (numba), which keep a byte an output.

PyTorch's own keeps the whole input and eight bytes an output. Arrays are `(images, height, width, channels)`,
contiguous, float32, or bfloat16 as uint16.

Few channels make short loops, so that what surrounds them counts: arrays are walked through flat, for a view of one
costs tens of nanoseconds, by unsigned indices, for a signed one may count from the end, and then nothing vectorises.
"""

from __future__ import annotations

import numpy as np

from kspike.ops.cpu.compiling import F, compiled, load, store
from kspike.ops.cpu.threads import run

U = np.uintp
#: Row of a column that is not there: no place beside it comes later.
NOWHERE = 100


@compiled
def _down(x, at, first, best, place, start, count):
    """Takes a row of the image into the largest of its columns: `place` is 3 times the window's row that it is from."""
    for c in range(count):
        v = load(x[at + c])
        taken = (v > best[start + c]) | (v != v)
        best[start + c] = v if taken else best[start + c]
        place[start + c] = first if taken else place[start + c]


@compiled
def _across(best, place, at, channels, out, places, to):
    """The largest of three columns, and which of the nine numbers it is: the first of equals; nan wins."""
    middle, right = at + channels, at + U(2) * channels
    for c in range(channels):
        v, k = best[middle + c], place[middle + c] + np.int32(1)
        w, other = best[at + c], place[at + c]
        taken = (w > v) | ((w == v) & (other < k)) | (w != w)
        v = w if taken else v
        k = other if taken else k
        w, other = best[right + c], place[right + c] + np.int32(2)
        taken = (w > v) | ((w == v) & (other < k)) | (w != w)
        store(out, to + c, w if taken else v)
        places[to + c] = other if taken else k


@compiled
def _pool_rows(x, shape, out, places, first, last):
    height, width, channels = shape
    rows, columns, size = (height + 1) // 2, (width + 1) // 2, width * channels
    # a column before the first and, where the width is odd, one after the last
    best, place = np.empty((2 * columns + 1) * channels, F), np.empty((2 * columns + 1) * channels, np.int32)
    for r in range(first, last):
        image, row = r // rows, r % rows
        best[:] = F(-np.inf)
        place[:] = NOWHERE
        place[channels : channels + size] = 3  # the middle row, which is always there
        for i in range(3):
            y = 2 * row + i - 1
            if 0 <= y < height:
                _down(x, U((image * height + y) * size), np.int32(3 * i), best, place, U(channels), U(size))
        for column in range(columns):
            to = U((r * columns + column) * channels)
            _across(best, place, U(2 * column * channels), U(channels), out, places, to)


@compiled
def _back_across(upstream, places, at, first, total, to, channels):
    """Adds an output's gradient where its largest number was, if that was in the window's row of `first`."""
    middle, right = to + channels, to + U(2) * channels
    for c in range(channels):
        g, column = load(upstream[at + c]), np.int32(places[at + c]) - first
        total[to + c] += g if column == 0 else F(0)
        total[middle + c] += g if column == 1 else F(0)
        total[right + c] += g if column == 2 else F(0)


@compiled
def _write(total, start, grad, at, count):
    for c in range(count):
        store(grad, at + c, total[start + c])


@compiled
def _gradient_rows(upstream, places, shape, grad, first, last):
    height, width, channels = shape
    rows, columns, size = (height + 1) // 2, (width + 1) // 2, width * channels
    total = np.empty((2 * columns + 1) * channels, F)
    for r in range(first, last):
        image, y = r // height, r % height
        total[:] = F(0)
        # an even row is the middle of one window; an odd one the last of a window and the first of the next
        for i in range(1 if y % 2 == 0 else 0, 2 if y % 2 == 0 else 3, 2):
            row = (y + 1 - i) // 2
            if row < rows:
                for column in range(columns):
                    at = U(((image * rows + row) * columns + column) * channels)
                    to = U(2 * column * channels)
                    _back_across(upstream, places, at, np.int32(3 * i), total, to, U(channels))
        _write(total, U(channels), grad, U(r * size), U(size))


def pool(x: np.ndarray, out: np.ndarray, places: np.ndarray, threads: int) -> None:
    """Writes the largest of each window into `out`, and which of its nine numbers that is into `places` (uint8)."""
    shape, flat = x.shape[1:], [a.reshape(-1) for a in (x, out, places)]

    def work(bounds: np.ndarray, first: int, last: int) -> None:
        _pool_rows(flat[0], shape, *flat[1:], bounds[first], bounds[last])

    run(work, out.shape[0] * out.shape[1], x.size, threads)


def gradient(upstream: np.ndarray, places: np.ndarray, grad: np.ndarray, threads: int) -> None:
    """Writes the gradient of `pool`'s input into `grad`; sums, of at most four numbers, are in float32."""
    shape, flat = grad.shape[1:], [a.reshape(-1) for a in (upstream, places, grad)]

    def work(bounds: np.ndarray, first: int, last: int) -> None:
        _gradient_rows(*flat[:2], shape, flat[2], bounds[first], bounds[last])

    run(work, grad.shape[0] * grad.shape[1], grad.size, threads)
