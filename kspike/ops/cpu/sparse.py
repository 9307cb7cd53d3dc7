"""Sparse products (GEMM with a sparse left operand) and convolutions, as of spikes (numba).

A dense product multiplies zeros too. Here the nonzeros of each row are listed first, as CSR (indices, values, indptr);
then a micro-kernel gathers their rows of weights and accumulates up to 128 outputs at a time (64 without AVX-512) in
registers. The time follows the number of nonzeros. Values need not be 0 and 1: a residual stream of counts is as good.

Each sum runs over the nonzeros in their order, whatever the other sizes: a subnet and the network extracted from its
supernet sum the same terms in the same order.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from llvmlite import binding

from kspike.ops.cpu import threads as cpu_threads
from kspike.ops.cpu.compiling import F, compiled
from kspike.ops.cpu.sparse_intrinsics import LANES, gather_accumulate, list_nonzeros, next_vectors
from kspike.ops.cpu.threads import parallel_for

#: Rows that are listed at a time: their lists stay in the cache for every tile of outputs.
ROW_BLOCK = 64
#: The density (share of nonzeros) up to which a sparse product, and a sparse convolution, is faster than the dense one,
#: and the outputs from which this holds. With fewer outputs the threshold is proportionally lower: listing the nonzeros
#: costs as much, and saves less.
DENSITY_THRESHOLDS = {"float32": ((0.25, 64), (0.2, 64)), "bfloat16": ((0.2, 384), (0.18, 96))}
#: The same on processors with AMX for bfloat16, which make dense products three times as fast.
DENSITY_THRESHOLDS_AMX = ((0.06, 384), (0.05, 384))
#: Rows that are sampled to estimate the density.
SAMPLE = 128


@compiled
def _product_rows(x, inputs, weights, bias, outputs, out, bounds, first_chunk, last_chunk):
    begin, end = bounds[first_chunk], bounds[last_chunk]
    indices, values = np.empty(ROW_BLOCK * inputs, np.uint32), np.empty(ROW_BLOCK * inputs, F)
    indptr, segments = np.empty(ROW_BLOCK + 1, np.uintp), np.zeros(3, np.uintp)
    for first in range(begin, end, ROW_BLOCK):
        last = min(first + ROW_BLOCK, end)
        list_nonzeros(x, inputs, first, last, indices, values, indptr, 0, inputs)
        column = 0
        while column < outputs:
            vectors = next_vectors(outputs - column)
            for r in range(last - first):
                segments[0], segments[1] = indptr[r], indptr[r + 1] - indptr[r]
                to = (first + r) * outputs + column
                gather_accumulate(
                    vectors, indices, values, segments, 1, weights, column, outputs, bias, column, out, to
                )
            column += vectors * LANES


@compiled
def _window_segments(y, x, first, last, width, size, inputs, outputs, indptr, segments):
    """The segments of the sum at a pixel: the nonzeros of the pixels in its window, in image rows first to last.

    Pixels without any are left out, whole rows of the window at a time: of frames of events that is most of them.
    """
    count = 0
    left = x - (size[1] - 1) // 2
    begin, end = max(0, left), min(width, left + size[1])
    for i in range(size[0]):
        row = y + i - (size[0] - 1) // 2
        if not first <= row < last:
            continue
        pixel = (row - first) * width
        if indptr[pixel + begin] == indptr[pixel + end]:
            continue
        for column in range(begin, end):
            many = indptr[pixel + column + 1] - indptr[pixel + column]
            if many:
                segments[3 * count] = indptr[pixel + column]
                segments[3 * count + 1] = many
                segments[3 * count + 2] = (i * size[1] + column - left) * inputs * outputs
                count += 1
    return count


@compiled
def _convolution_rows(x, shape, weights, bias, size, outputs, out, bounds, first_chunk, last_chunk):
    begin, end = bounds[first_chunk], bounds[last_chunk]
    height, width, inputs = shape
    indices, values = np.empty(height * width * inputs, np.uint32), np.empty(height * width * inputs, F)
    indptr, segments = np.empty(height * width + 1, np.uintp), np.empty(3 * size[0] * size[1], np.uintp)
    r = begin
    while r < end:
        image, top = r // height, r % height
        bottom = min(height, top + end - r)
        first, last = max(0, top - (size[0] - 1) // 2), min(height, bottom + size[0] // 2)
        begins, ends = (image * height + first) * width, (image * height + last) * width
        list_nonzeros(x, inputs, begins, ends, indices, values, indptr, 0, inputs)
        column = 0
        while column < outputs:
            vectors = next_vectors(outputs - column)
            for y in range(top, bottom):
                for at in range(width):
                    count = _window_segments(y, at, first, last, width, size, inputs, outputs, indptr, segments)
                    to = ((image * height + y) * width + at) * outputs + column
                    gather_accumulate(
                        vectors, indices, values, segments, count, weights, column, outputs, bias, column, out, to
                    )
            column += vectors * LANES
        r += bottom - top


@functools.cache
def widens_bfloat16() -> bool:
    """Whether dense products of bfloat16 are computed in float32, for lack of AVX-512. Other architectures do not
    report the feature at all."""
    return binding.get_host_cpu_features().get("avx512f") is False


@functools.cache
def _thresholds(kind: str, amx: bool) -> tuple[tuple[float, int], tuple[float, int]]:
    if kind == "bfloat16" and widens_bfloat16():
        return DENSITY_THRESHOLDS["float32"]
    amx = amx and kind == "bfloat16" and binding.get_host_cpu_features().get("amx-bf16", False)
    return DENSITY_THRESHOLDS_AMX if amx else DENSITY_THRESHOLDS[kind]


def density_threshold(kind: str, is_convolution: bool, macs: int, outputs: int, amx: bool = True) -> float:
    """The density up to which the sparse form is faster than the dense one; 0 for never.

    Args:
        kind: "float32" or "bfloat16".
        is_convolution: whether it is a convolution, not a product of rows.
        macs: multiply-accumulates of the dense form.
        outputs: channels of the result.
        amx: whether the dense form uses AMX where the processor has it.
    """
    if cpu_threads.ordered:
        return 1.0
    if outputs % LANES or macs < cpu_threads.MIN_MACS:
        return 0.0
    share, enough = _thresholds(kind, amx)[is_convolution]
    return share * min(1.0, outputs / enough)


def sample(rows: Any) -> Any:
    """Some of the rows, to estimate the density by."""
    return rows[:: max(1, len(rows) // SAMPLE)]


def pays(x: np.ndarray, weights: np.ndarray) -> bool:
    """Whether `product`, or `convolve`, is faster than the dense form, by a sample of x's rows (..., inputs)."""
    inputs, outputs = weights.shape[-2:]
    kind = "float32" if x.dtype == np.float32 else "bfloat16"
    share = density_threshold(kind, weights.ndim > 2, x.size // max(1, inputs) * weights.size, outputs)
    if not share:
        return False
    seen = sample(x.reshape(-1, inputs))
    return np.count_nonzero(seen) <= share * seen.size


def pad_outputs(a: np.ndarray, spare: int) -> np.ndarray:
    """Zero-pads the last axis at its end."""
    return np.pad(a, [(0, 0)] * (a.ndim - 1) + [(0, spare)])


def product(x: np.ndarray, weights: np.ndarray, out: np.ndarray, threads: int, bias: np.ndarray | None = None) -> None:
    """Writes x weights + bias, of (..., inputs) and (inputs, outputs), into `out`; all contiguous.

    float32, or bfloat16 as uint16, accumulated in float32; the bias is float32 in any case.
    Weights of an input that is 0 are not read: a nan or an infinity among them does not show.
    """
    inputs, outputs = weights.shape
    if spare := -outputs % LANES:  # pad to whole vectors, and drop the padding
        padded = np.empty((*out.shape[:-1], outputs + spare), out.dtype)
        product(x, pad_outputs(weights, spare), padded, threads, None if bias is None else pad_outputs(bias, spare))
        out[:] = padded[..., :outputs]
        return
    flat, there, to = (a.reshape(-1) for a in (x, weights, out))
    begin = np.zeros(outputs, "float32") if bias is None else bias
    work = functools.partial(_product_rows, flat, inputs, there, begin, outputs, to)
    parallel_for(work, x.size // max(1, inputs), x.size, threads)


def convolve(x: np.ndarray, weights: np.ndarray, out: np.ndarray, threads: int) -> None:
    """Writes the convolution of stride 1 that keeps height and width into `out`; contiguous, as of `product`.

    (images, height, width, inputs), (a, b, inputs, outputs) -> (images, height, width, outputs).
    """
    shape, size, outputs = x.shape[1:], weights.shape[:2], weights.shape[3]
    if spare := -outputs % LANES:
        padded = np.empty((*out.shape[:-1], outputs + spare), out.dtype)
        convolve(x, pad_outputs(weights, spare), padded, threads)
        out[:] = padded[..., :outputs]
        return
    flat, there, to = (a.reshape(-1) for a in (x, weights, out))
    work = functools.partial(_convolution_rows, flat, shape, there, np.zeros(outputs, "float32"), size, outputs, to)
    parallel_for(work, x.shape[0] * shape[0], x.size, threads)
