"""Batch normalisation as compiled loops: moments by channel and the gradient through them; and sums by channel."""

from __future__ import annotations

import functools

import numpy as np

from kspike.ops.cpu.compiling import F, compiled, load, store
from kspike.ops.cpu.threads import BLOCK, MAX_CHUNKS, SUMMED, fold, parallel_for, parallel_rows


@compiled
def _moments(x, out, first, last):
    """Mean and summed squared deviations of (rows, channels), from first to last, block by block (Chan et al.)."""
    channels = x.shape[1]
    total, squares, centre = np.empty(channels, F), np.empty(channels, F), np.empty(channels, F)
    mean, spread = out[0], out[1]
    seen = 0
    for start in range(first, last, BLOCK):
        stop = min(start + BLOCK, last)
        count = stop - start
        total[:] = 0
        squares[:] = 0
        for row in range(start, stop):
            place = x[row]
            for c in range(channels):
                total[c] += load(place[c])
        for c in range(channels):
            centre[c] = total[c] / F(count)
        for row in range(start, stop):
            place = x[row]
            for c in range(channels):
                d = load(place[c]) - centre[c]
                squares[c] += d * d
        for c in range(channels):
            # the block's exact mean is total / count; `centre`, its rounding, moves the squares by less than theirs
            delta = total[c] / np.float64(count) - mean[c]
            mean[c] += delta * count / (seen + count)
            spread[c] += squares[c] + delta * delta * seen * count / (seen + count)
        seen += count


@compiled
def _moments_chunks(x, out, counts, bounds, first, last):
    for i in range(first, last):
        counts[i] = bounds[i + 1] - bounds[i]
        _moments(x, out[i], bounds[i], bounds[i + 1])


@compiled
def _sums(x, out, bounds, first, last):
    """The sum of each channel of (rows, channels), chunk by chunk."""
    channels = x.shape[1]
    total = np.empty(channels, F)
    for i in range(first, last):
        for start in range(bounds[i], bounds[i + 1], BLOCK):
            total[:] = 0
            for row in range(start, min(start + BLOCK, bounds[i + 1])):
                place = x[row]
                for c in range(channels):
                    total[c] += load(place[c])
            for c in range(channels):
                out[i, c] += total[c]


@compiled
def _norm_backward(grad, x, scale, mean, inverse, mean_plain, mean_scaled, bounds, first, last):
    """In place: gradient of the normalised input -> gradient of the input, for chunks of (rows, channels)."""
    channels = x.shape[1]
    for row in range(bounds[first], bounds[last]):
        g, place = grad[row], x[row]
        for c in range(channels):
            normal = (load(place[c]) - mean[c]) * inverse[c]
            store(g, c, scale[c] * (load(g[c]) - mean_plain[c] - normal * mean_scaled[c]))


def moments(x: np.ndarray, threads: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and biased variance of each channel of (rows, channels), float64."""
    rows, channels = x.shape
    (x,), _ = fold((x,), row=SUMMED)
    parts, counts = np.zeros((MAX_CHUNKS, 2, x.shape[1])), np.zeros(MAX_CHUNKS)
    parallel_for(functools.partial(_moments_chunks, x, parts, counts), len(x), x.size, threads)
    counts = counts[:, None, None]
    means, spreads = parts.reshape(MAX_CHUNKS, 2, -1, channels).swapaxes(0, 1)
    mean = (means * counts).sum((0, 1)) / rows
    return mean, (spreads + np.square(means - mean) * counts).sum((0, 1)) / rows


def sums(x: np.ndarray, threads: int) -> np.ndarray:
    """The sum of each channel of (rows, channels), float64."""
    channels = x.shape[1]
    (x,), _ = fold((x,), row=SUMMED)
    parts = np.zeros((MAX_CHUNKS, x.shape[1]))
    parallel_for(functools.partial(_sums, x, parts), len(x), x.size, threads)
    return parts.reshape(-1, channels).sum(0)


def norm_backward(
    grad: np.ndarray, x: np.ndarray, scale: np.ndarray, mean: np.ndarray, inverse: np.ndarray, means: np.ndarray,
    threads: int,
) -> None:  # fmt: skip
    """In place: gradient of the normalised input -> gradient of the input; all `(rows, channels)`."""
    parallel_rows(_norm_backward, (grad, x), (scale, mean, inverse, *means.astype("float32")), threads)
