"""Products and convolutions of what is mostly zeros, as spikes are: the weights of the rest, added up (numba).

A full product multiplies every number, zeros too. Here the places of a row's other numbers are listed first; then up to
128 outputs at a time (64 without AVX-512) stay in registers while the weights of those places are added to them. The
time follows the number of spikes. Numbers need not be 0 and 1: a residual stream of counts is as good.

A sum goes from the first place to the last, whatever the width of the rest: a subnet and the network taken out of its
supernet add up the same numbers in the same order.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from llvmlite import binding

from kspike.ops.cpu import threads as cpu_threads
from kspike.ops.cpu.compiling import F, compiled
from kspike.ops.cpu.sparse_intrinsics import LANES, add_up, listed, vectors_of
from kspike.ops.cpu.threads import run

#: Rows that are listed at a time: a list stays in the cache while every block of outputs goes through it.
LISTED = 64
#: Up to which share of numbers that are not 0 loops are quicker than a full product, and than a full convolution, from
#: how many outputs on; up to less of it for fewer outputs, which are not as well worth listing what they are made of.
MOST = {"float32": ((0.25, 64), (0.2, 64)), "bfloat16": ((0.2, 384), (0.18, 96))}
#: The same on processors with matrix units for bfloat16, which make full products three times as fast.
MOST_WITH_UNITS = ((0.06, 384), (0.05, 384))
#: Multiplications and additions of the full product below which it is done before loops have begun.
LEAST = 1 << 23
#: Rows that are looked at to tell how many zeros there are.
SAMPLE = 128


@compiled
def _product_rows(x, inputs, weights, bias, outputs, out, begin, end):
    places, values = np.empty(LISTED * inputs, np.uint32), np.empty(LISTED * inputs, F)
    starts, parts = np.empty(LISTED + 1, np.uintp), np.zeros(3, np.uintp)
    for first in range(begin, end, LISTED):
        last = min(first + LISTED, end)
        listed(x, inputs, first, last, places, values, starts, 0, inputs)
        column = 0
        while column < outputs:
            vectors = vectors_of(outputs - column)
            for r in range(last - first):
                parts[0], parts[1] = starts[r], starts[r + 1] - starts[r]
                to = (first + r) * outputs + column
                add_up(vectors, places, values, parts, 1, weights, column, outputs, bias, column, out, to)
            column += vectors * LANES


@compiled
def _around(y, x, first, last, width, size, inputs, outputs, starts, parts):
    """The parts of the sum at a pixel: the lists of the pixels around it, in image rows from first to last."""
    count = 0
    for i in range(size[0]):
        row = y + i - (size[0] - 1) // 2
        for j in range(size[1]):
            column = x + j - (size[1] - 1) // 2
            if first <= row < last and 0 <= column < width:
                pixel = (row - first) * width + column
                parts[3 * count] = starts[pixel]
                parts[3 * count + 1] = starts[pixel + 1] - starts[pixel]
                parts[3 * count + 2] = (i * size[1] + j) * inputs * outputs
                count += 1
    return count


@compiled
def _convolution_rows(x, shape, weights, bias, size, outputs, out, begin, end):
    height, width, inputs = shape
    places, values = np.empty(height * width * inputs, np.uint32), np.empty(height * width * inputs, F)
    starts, parts = np.empty(height * width + 1, np.uintp), np.empty(3 * size[0] * size[1], np.uintp)
    r = begin
    while r < end:
        image, top = r // height, r % height
        bottom = min(height, top + end - r)
        first, last = max(0, top - (size[0] - 1) // 2), min(height, bottom + size[0] // 2)
        begins, ends = (image * height + first) * width, (image * height + last) * width
        listed(x, inputs, begins, ends, places, values, starts, 0, inputs)
        column = 0
        while column < outputs:
            vectors = vectors_of(outputs - column)
            for y in range(top, bottom):
                for at in range(width):
                    count = _around(y, at, first, last, width, size, inputs, outputs, starts, parts)
                    to = ((image * height + y) * width + at) * outputs + column
                    add_up(vectors, places, values, parts, count, weights, column, outputs, bias, column, out, to)
            column += vectors * LANES
        r += bottom - top


@functools.cache
def widens() -> bool:
    """Whether full products of bfloat16 are computed in float32, for lack of AVX-512; other makes of processor do not
    say that they lack it."""
    return binding.get_host_cpu_features().get("avx512f") is False


@functools.cache
def _limits(kind: str, units: bool) -> tuple[tuple[float, int], tuple[float, int]]:
    if kind == "bfloat16" and widens():
        return MOST["float32"]
    units = units and kind == "bfloat16" and binding.get_host_cpu_features().get("amx-bf16", False)
    return MOST_WITH_UNITS if units else MOST[kind]


def most(kind: str, around: bool, multiplications: int, outputs: int, units: bool = True) -> float:
    """Up to which share of numbers that are not 0 loops are the quicker way; 0 for none.

    Args:
        kind: "float32" or "bfloat16".
        around: for a convolution, not for a product.
        multiplications: those of the full product.
        outputs: its channels.
        units: whether the full product is by the processor's units for bfloat16, where there are any.
    """
    if cpu_threads.ordered:
        return 1.0
    if outputs % LANES or multiplications < LEAST:
        return 0.0
    share, enough = _limits(kind, units)[around]
    return share * min(1.0, outputs / enough)


def sample(rows: Any) -> Any:
    """Some rows, by which to tell how many numbers are not 0."""
    return rows[:: max(1, len(rows) // SAMPLE)]


def pays(x: np.ndarray, weights: np.ndarray) -> bool:
    """Whether `product`, or `convolve`, is quicker than a full one, by a sample of x's rows (..., inputs)."""
    inputs, outputs = weights.shape[-2:]
    kind = "float32" if x.dtype == np.float32 else "bfloat16"
    share = most(kind, weights.ndim > 2, x.size // max(1, inputs) * weights.size, outputs)
    if not share:
        return False
    seen = sample(x.reshape(-1, inputs))
    return np.count_nonzero(seen) <= share * seen.size


def filled(a: np.ndarray, spare: int) -> np.ndarray:
    """With so many zeros after its last axis."""
    return np.pad(a, [(0, 0)] * (a.ndim - 1) + [(0, spare)])


def product(x: np.ndarray, weights: np.ndarray, out: np.ndarray, threads: int, bias: np.ndarray | None = None) -> None:
    """Writes x weights + bias, of (..., inputs) and (inputs, outputs), into `out`; all contiguous.

    float32, or bfloat16 as uint16, added up in float32; the bias is float32 in any case.
    Weights of an input that is 0 are not looked at: one of them may be nan or infinite without a trace.
    """
    inputs, outputs = weights.shape
    if spare := -outputs % LANES:  # whole vectors, and what is over thrown away
        whole = np.empty((*out.shape[:-1], outputs + spare), out.dtype)
        product(x, filled(weights, spare), whole, threads, None if bias is None else filled(bias, spare))
        out[:] = whole[..., :outputs]
        return
    flat = [a.reshape(-1) for a in (x, weights, out)]
    begin = np.zeros(outputs, "float32") if bias is None else bias

    def work(bounds: np.ndarray, first: int, last: int) -> None:
        _product_rows(flat[0], inputs, flat[1], begin, outputs, flat[2], bounds[first], bounds[last])

    run(work, x.size // max(1, inputs), x.size, threads)


def convolve(x: np.ndarray, weights: np.ndarray, out: np.ndarray, threads: int) -> None:
    """Writes the convolution of stride 1 that keeps height and width into `out`; contiguous, as of `product`.

    (images, height, width, inputs), (a, b, inputs, outputs) -> (images, height, width, outputs).
    """
    shape, size, outputs = x.shape[1:], weights.shape[:2], weights.shape[3]
    if spare := -outputs % LANES:
        whole = np.empty((*out.shape[:-1], outputs + spare), out.dtype)
        convolve(x, filled(weights, spare), whole, threads)
        out[:] = whole[..., :outputs]
        return
    flat, zeros = [a.reshape(-1) for a in (x, weights, out)], np.zeros(outputs, "float32")

    def work(bounds: np.ndarray, first: int, last: int) -> None:
        _convolution_rows(flat[0], shape, flat[1], zeros, size, outputs, flat[2], bounds[first], bounds[last])

    run(work, x.shape[0] * shape[0], x.size, threads)
