"""The 3x3 max-pool of stride 2 as compiled loops over a CPU's memory (numba), which save one byte an output.

PyTorch's saves the whole input and eight bytes an output for backward. Arrays are `(images, height, width, channels)`,
contiguous, float32, or bfloat16 as uint16.

With few channels the loops are short, so that their overhead counts: arrays are indexed flat, as a view costs tens of
nanoseconds, and by unsigned integers, as a signed index may be negative (from the end) and prevents vectorisation.
"""

from __future__ import annotations

import numpy as np

from kspike.ops.cpu.compiling import F, compiled, load, store
from kspike.ops.cpu.threads import parallel_for

U = np.uintp
#: The index of a column outside the image: larger than any other, so that it never wins a tie.
NOWHERE = 100


@compiled
def _max_over_rows(x, at, first, best, place, start, count):
    """Running maximum of each column with a row of the image; `place` is 3 times the window row of the maximum."""
    for c in range(count):
        v = load(x[at + c])
        taken = (v > best[start + c]) | (v != v)
        best[start + c] = v if taken else best[start + c]
        place[start + c] = first if taken else place[start + c]


@compiled
def _max_over_columns(best, place, at, channels, out, places, to):
    """The maximum of three columns, and its index in the window of nine: the first of equals; nan wins."""
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
    # one column of padding before the first and, where the width is odd, one after the last
    best, place = np.empty((2 * columns + 1) * channels, F), np.empty((2 * columns + 1) * channels, np.int32)
    for r in range(first, last):
        image, row = r // rows, r % rows
        best[:] = F(-np.inf)
        place[:] = NOWHERE
        place[channels : channels + size] = 3  # the window's middle row is always in the image
        for i in range(3):
            y = 2 * row + i - 1
            if 0 <= y < height:
                _max_over_rows(x, U((image * height + y) * size), np.int32(3 * i), best, place, U(channels), U(size))
        for column in range(columns):
            to = U((r * columns + column) * channels)
            _max_over_columns(best, place, U(2 * column * channels), U(channels), out, places, to)


@compiled
def _scatter_columns(grad_output, places, at, first, total, to, channels):
    """Adds an output's gradient to its maximum's column, if the maximum was in the window row of `first`."""
    middle, right = to + channels, to + U(2) * channels
    for c in range(channels):
        g, column = load(grad_output[at + c]), np.int32(places[at + c]) - first
        total[to + c] += g if column == 0 else F(0)
        total[middle + c] += g if column == 1 else F(0)
        total[right + c] += g if column == 2 else F(0)


@compiled
def _store_row(total, start, grad_x, at, count):
    for c in range(count):
        store(grad_x, at + c, total[start + c])


@compiled
def _gradient_rows(grad_output, places, shape, grad_x, first, last):
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
                    _scatter_columns(grad_output, places, at, np.int32(3 * i), total, to, U(channels))
        _store_row(total, U(channels), grad_x, U(r * size), U(size))


def pool(x: np.ndarray, out: np.ndarray, places: np.ndarray, threads: int) -> None:
    """Writes the maximum of each window into `out`, and its index in the window of nine into `places` (uint8)."""
    shape, flat = x.shape[1:], [a.reshape(-1) for a in (x, out, places)]

    def work(bounds: np.ndarray, first: int, last: int) -> None:
        _pool_rows(flat[0], shape, *flat[1:], bounds[first], bounds[last])

    parallel_for(work, out.shape[0] * out.shape[1], x.size, threads)


def gradient(grad_output: np.ndarray, places: np.ndarray, grad_x: np.ndarray, threads: int) -> None:
    """Writes the gradient of `pool`'s input into `grad_x`; sums, of at most four terms, are in float32."""
    shape, flat = grad_x.shape[1:], [a.reshape(-1) for a in (grad_output, places, grad_x)]

    def work(bounds: np.ndarray, first: int, last: int) -> None:
        _gradient_rows(*flat[:2], shape, flat[2], bounds[first], bounds[last])

    parallel_for(work, grad_x.shape[0] * grad_x.shape[1], grad_x.size, threads)
