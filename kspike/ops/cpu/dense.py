"""Products and convolutions in full, on processors with AVX-512 (numba), for backends whose own are slower.

XLA's run in float32 whatever is asked for, and convolutions at a third to five sixths of what a processor can do. Here
8 rows by 48 columns stay in registers while what they are made of goes by; weights lie in panels of as many columns, as
they are read. A convolution is the same: a row of the kernel meets numbers that lie side by side, once an image's rows
have been copied with zeros at both ends.

A sum goes from the first number to the last, whatever the width of the rest, and does not depend on threads.
"""

from __future__ import annotations

import functools

import numba
import numpy as np
from llvmlite import binding

from kspike.ops.cpu.compiling import compiled
from kspike.ops.cpu.dense_intrinsics import multiply, panel_of, rows_of
from kspike.ops.cpu.sparse_intrinsics import LANES
from kspike.ops.cpu.threads import run

#: Rows that go through all panels before the next ones do.
BLOCK = 64
#: Numbers of an image's rows, with zeros at both ends, that are copied at a time: they stay in the second-level cache.
ROOM = 1 << 16
#: Multiplications and additions below which the backend's own product is done before loops have begun.
LEAST = 1 << 23


@compiled
def _packed(kernel, size, inputs, outputs, back, together, panels):
    """Weights in panels of columns; `together` rows of a panel lie in turns, as bfloat16's instruction reads them."""
    depth, width = (outputs, inputs) if back else (inputs, outputs)
    column = 0
    while column < width:
        lanes = panel_of(-(-width // LANES) * LANES - column) * LANES
        begin = column * size[0] * size[1] * depth
        for i in range(size[0]):
            for j in range(size[1]):
                place = (size[0] - 1 - i) * size[1] + size[1] - 1 - j if back else i * size[1] + j
                for d in range(depth):
                    k = (i * size[1] + j) * depth + d
                    to = begin + k // together * together * lanes + k % together
                    for c in range(min(lanes, width - column)):
                        row, at = (column + c, d) if back else (d, column + c)
                        panels[to + c * together] = kernel[(place * inputs + row) * outputs + at]
        column += lanes


@compiled
def _product_rows(x, inputs, panels, bias, outputs, out, begin, end):
    for first in range(begin, end, BLOCK):
        last = min(first + BLOCK, end)
        column = 0
        while column < outputs:
            vectors = panel_of(outputs - column)
            r = first
            while r < last:
                rows = rows_of(last - r)
                to = r * outputs + column
                multiply(
                    rows, vectors, x, r * inputs, inputs, inputs, 0, 1, panels, column * inputs, bias, column, out,
                    to, outputs,
                )  # fmt: skip
                r += rows
            column += vectors * LANES


@compiled
def _surrounded(x, first, last, width, inputs, before, wide, buffer):
    """Copies rows of images from first to last with zeros at their left and right, where a row becomes `wide`."""
    left, many, all_of = np.uintp(before * inputs), np.uintp(width * inputs), np.uintp(wide * inputs)
    for r in range(last - first):
        to, source = np.uintp(r) * all_of, np.uintp(first + r) * many
        for k in range(left):
            buffer[to + k] = 0
        for k in range(many):
            buffer[to + left + k] = x[source + k]
        for k in range(left + many, all_of):
            buffer[to + k] = 0


@compiled
def _convolution_rows(x, shape, panels, bias, size, before, outputs, out, begin, end):
    height, width, inputs = shape
    wide, length = width + size[1] - 1, size[1] * inputs
    strip = max(1, ROOM // (wide * inputs) - size[0] + 1)
    buffer = np.empty(min(height, strip + size[0] - 1) * wide * inputs, x.dtype)
    r = begin
    while r < end:
        image, top = r // height, r % height
        bottom = min(height, top + strip, top + end - r)
        upper, lower = max(0, top - before[0]), min(height, bottom - before[0] + size[0] - 1)
        _surrounded(x, image * height + upper, image * height + lower, width, inputs, before[1], wide, buffer)
        column = 0
        while column < outputs:
            vectors = panel_of(outputs - column)
            for y in range(top, bottom):
                # the kernel's rows that lie within the image
                low, high = max(0, before[0] - y), min(size[0], height + before[0] - y)
                row = (y + low - before[0] - upper) * wide
                panel = column * size[0] * length + low * length * vectors * LANES
                at = 0
                while at < width:
                    rows = rows_of(width - at)
                    multiply(
                        rows, vectors, buffer, (row + at) * inputs, inputs, length, wide * inputs, high - low,
                        panels, panel, bias, column, out, ((image * height + y) * width + at) * outputs + column,
                        outputs,
                    )  # fmt: skip
                    at += rows
            column += vectors * LANES
        r += bottom - top


@functools.cache
def _runs(kind: str) -> bool:
    features = binding.get_host_cpu_features()
    told = numba.config.CPU_NAME or numba.config.CPU_FEATURES  # loops are compiled for another processor
    return not told and all(features.get(f, False) for f in ("avx512f", *["avx512bf16"] * (kind == "bfloat16")))


def pays(kind: str, shape: tuple[int, ...], places: int, back: bool = False) -> bool:
    """Whether the processor has what it takes, and there is enough to do.

    Args:
        kind: "float32" or "bfloat16".
        shape: the weights', `(inputs, outputs)` or `(a, b, inputs, outputs)`.
        places: rows, or pixels of all images.
        back: for the way back to the inputs.
    """
    length = int(np.prod(shape[1:-2])) * shape[-1 if back else -2]
    return places * int(np.prod(shape)) >= LEAST and (kind == "float32" or length % 2 == 0) and _runs(kind)


def full(
    x: np.ndarray, kernel: np.ndarray, out: np.ndarray, threads: int, bias: np.ndarray | None = None, back: bool = False
) -> None:
    """Writes x kernel + bias, or the convolution of stride 1 that keeps height and width, into `out`; all contiguous.

    float32, or bfloat16 as uint16, which is added up in float32 and rounded once; where `pays` says no for its kind and
    shape it cannot be done.

    Args:
        x: (..., inputs); (images, height, width, inputs) for a convolution.
        kernel: (inputs, outputs); (a, b, inputs, outputs) for a convolution.
        out: (..., outputs).
        threads: how many threads to use.
        bias: (outputs,), float32.
        back: x is the gradient (..., outputs) of the result, and `out` becomes the one (..., inputs) of what went in.
    """
    size, (inputs, outputs) = kernel.shape[:-2] or (1, 1), kernel.shape[-2:]
    depth, width = (outputs, inputs) if back else (inputs, outputs)
    whole = -(-width // LANES) * LANES
    panels = np.zeros(size[0] * size[1] * depth * whole, x.dtype)
    _packed(kernel.reshape(-1), size, inputs, outputs, back, 2 if x.dtype == np.uint16 else 1, panels)
    begin = np.zeros(whole, "float32")
    if bias is not None:
        begin[:width] = bias
    to = out if whole == width else np.empty((*out.shape[:-1], whole), out.dtype)
    flat, there = x.reshape(-1), to.reshape(-1)
    before = tuple(n // 2 if back else (n - 1) // 2 for n in size)

    def product(bounds: np.ndarray, first: int, last: int) -> None:
        _product_rows(flat, depth, panels, begin, whole, there, bounds[first], bounds[last])

    def convolution(bounds: np.ndarray, first: int, last: int) -> None:
        _convolution_rows(flat, x.shape[1:], panels, begin, size, before, whole, there, bounds[first], bounds[last])

    if size == (1, 1):
        run(product, x.size // max(1, depth), x.size, threads)
    else:
        run(convolution, x.shape[0] * x.shape[1], x.size, threads)
    if to is not out:
        out[:] = to[..., :width]
