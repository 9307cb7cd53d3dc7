"""The 3x3 max-pool of stride 2 as compiled loops over a CPU's memory (numba), which keep a byte an output.

PyTorch's own keeps the whole input and eight bytes an output. Arrays are `(images, height, width, channels)`,
contiguous, float32, or bfloat16 as uint16.
"""

from __future__ import annotations

import numpy as np

from kspike.ops.cpu_kernels import F, _compiled, _load, _run, _store


@_compiled
def _larger(row, k, best, place):
    """Keeps the larger of two rows of channels, and whose it is: the first of equals; nan wins."""
    for c in range(row.shape[0]):
        x = _load(row[c])
        taken = (x > best[c]) | (x != x)
        best[c] = x if taken else best[c]
        place[c] = k if taken else place[c]


@_compiled
def _pool_rows(x, out, places, first, last):
    height, width, channels = x.shape[1:]
    best, place = np.empty(channels, np.float32), np.empty(channels, np.int32)
    for r in range(first, last):
        image, row = r // out.shape[1], r % out.shape[1]
        for column in range(out.shape[2]):
            best[:] = F(-np.inf)
            place[:] = 4  # the middle, which is always there
            for k in range(9):
                y, z = 2 * row + k // 3 - 1, 2 * column + k % 3 - 1
                if 0 <= y < height and 0 <= z < width:
                    _larger(x[image, y, z], np.int32(k), best, place)
            into, at = out[image, row, column], places[image, row, column]
            for c in range(channels):
                _store(into, c, best[c])
                at[c] = place[c]


@_compiled
def _reached(upstream, places, k, total):
    for c in range(total.shape[0]):
        total[c] += _load(upstream[c]) if places[c] == k else F(0)


@_compiled
def _gradient_rows(upstream, places, grad, first, last):
    rows, columns, channels = places.shape[1:]
    total = np.empty(channels, np.float32)
    for r in range(first, last):
        image, y = r // grad.shape[1], r % grad.shape[1]
        for z in range(grad.shape[2]):
            total[:] = F(0)
            # an even row is the middle of one window; an odd one the last of a window and the first of the next
            for i in range(1 if y % 2 == 0 else 0, 2 if y % 2 == 0 else 3, 2):
                row = (y + 1 - i) // 2
                for j in range(1 if z % 2 == 0 else 0, 2 if z % 2 == 0 else 3, 2):
                    column = (z + 1 - j) // 2
                    if row < rows and column < columns:
                        _reached(upstream[image, row, column], places[image, row, column], 3 * i + j, total)
            into = grad[image, y, z]
            for c in range(channels):
                _store(into, c, total[c])


def pool(x: np.ndarray, out: np.ndarray, places: np.ndarray, threads: int) -> None:
    """Writes the largest of each window into `out`, and which of its nine numbers that is into `places` (uint8)."""
    _run(lambda _, a, b: _pool_rows(x, out, places, a, b), out.shape[0] * out.shape[1], threads)


def gradient(upstream: np.ndarray, places: np.ndarray, grad: np.ndarray, threads: int) -> None:
    """Writes the gradient of `pool`'s input into `grad`; sums, of at most four numbers, are in float32."""
    _run(lambda _, a, b: _gradient_rows(upstream, places, grad, a, b), grad.shape[0] * grad.shape[1], threads)
