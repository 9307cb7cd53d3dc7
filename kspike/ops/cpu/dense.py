"""Dense products (GEMM) and convolutions on processors with AVX-512 (numba), for backends whose own are slower.

XLA computes them in float32 whatever the dtype, and convolutions at a third to five sixths of the processor's rate.
Here a micro-kernel keeps a tile of 8 rows by 48 columns of sums in registers; the weights are packed into panels of as
many columns, in the order in which they are read. A convolution uses the same micro-kernel without im2col: image rows
are copied with zero padding, and what a row of the kernel multiplies is then contiguous.

Each sum runs from the first term to the last, whatever the other sizes, and does not depend on the threads.
"""

from __future__ import annotations

import functools

import numba
import numpy as np
from llvmlite import binding

from kspike.ops.cpu.compiling import compiled
from kspike.ops.cpu.dense_intrinsics import gemm_microkernel, next_panel, next_rows
from kspike.ops.cpu.sparse_intrinsics import LANES
from kspike.ops.cpu.threads import parallel_for

#: Rows of a block, which is multiplied by all panels before the next block begins.
BLOCK = 64
#: Elements of the padded image rows that are copied at a time: they stay in the L2 cache.
STRIP_SIZE = 1 << 16
#: Multiply-accumulates below which the call costs more than it saves.
MIN_MACS = 1 << 23


@compiled
def _pack_panels(kernel, size, inputs, outputs, backward, interleave, panels):
    """Packs the weights into panels of columns, so many rows interleaved, as bfloat16's instruction reads them."""
    depth, width = (outputs, inputs) if backward else (inputs, outputs)
    column = 0
    while column < width:
        lanes = next_panel(-(-width // LANES) * LANES - column) * LANES
        begin = column * size[0] * size[1] * depth
        for i in range(size[0]):
            for j in range(size[1]):
                place = (size[0] - 1 - i) * size[1] + size[1] - 1 - j if backward else i * size[1] + j
                for d in range(depth):
                    k = (i * size[1] + j) * depth + d
                    to = begin + k // interleave * interleave * lanes + k % interleave
                    for c in range(min(lanes, width - column)):
                        row, at = (column + c, d) if backward else (d, column + c)
                        panels[to + c * interleave] = kernel[(place * inputs + row) * outputs + at]
        column += lanes


@compiled
def _product_rows(x, inputs, panels, bias, outputs, out, begin, end):
    for first in range(begin, end, BLOCK):
        last = min(first + BLOCK, end)
        column = 0
        while column < outputs:
            vectors = next_panel(outputs - column)
            r = first
            while r < last:
                rows = next_rows(last - r)
                to = r * outputs + column
                gemm_microkernel(
                    rows, vectors, x, r * inputs, inputs, inputs, 0, 1, panels, column * inputs, bias, column, out,
                    to, outputs,
                )  # fmt: skip
                r += rows
            column += vectors * LANES


@compiled
def _pad_rows(x, first, last, width, inputs, pad_before, padded_width, buffer):
    """Copies image rows from first to last with zero padding left and right, to rows `padded_width` pixels wide."""
    left, many, all_of = np.uintp(pad_before * inputs), np.uintp(width * inputs), np.uintp(padded_width * inputs)
    for r in range(last - first):
        to, source = np.uintp(r) * all_of, np.uintp(first + r) * many
        for k in range(left):
            buffer[to + k] = 0
        for k in range(many):
            buffer[to + left + k] = x[source + k]
        for k in range(left + many, all_of):
            buffer[to + k] = 0


@compiled
def _convolution_rows(x, shape, panels, bias, size, pad_before, outputs, out, begin, end):
    height, width, inputs = shape
    padded_width, length = width + size[1] - 1, size[1] * inputs
    strip = max(1, STRIP_SIZE // (padded_width * inputs) - size[0] + 1)
    buffer = np.empty(min(height, strip + size[0] - 1) * padded_width * inputs, x.dtype)
    r = begin
    while r < end:
        image, top = r // height, r % height
        bottom = min(height, top + strip, top + end - r)
        upper, lower = max(0, top - pad_before[0]), min(height, bottom - pad_before[0] + size[0] - 1)
        _pad_rows(x, image * height + upper, image * height + lower, width, inputs, pad_before[1], padded_width, buffer)
        column = 0
        while column < outputs:
            vectors = next_panel(outputs - column)
            for y in range(top, bottom):
                # the kernel's rows that lie within the image
                low, high = max(0, pad_before[0] - y), min(size[0], height + pad_before[0] - y)
                row = (y + low - pad_before[0] - upper) * padded_width
                panel = column * size[0] * length + low * length * vectors * LANES
                at = 0
                while at < width:
                    rows = next_rows(width - at)
                    gemm_microkernel(
                        rows, vectors, buffer, (row + at) * inputs, inputs, length, padded_width * inputs, high - low,
                        panels, panel, bias, column, out, ((image * height + y) * width + at) * outputs + column,
                        outputs,
                    )  # fmt: skip
                    at += rows
            column += vectors * LANES
        r += bottom - top


@functools.cache
def _supported(kind: str) -> bool:
    features = binding.get_host_cpu_features()
    told = numba.config.CPU_NAME or numba.config.CPU_FEATURES  # numba is told to compile for another processor
    return not told and all(features.get(f, False) for f in ("avx512f", *["avx512bf16"] * (kind == "bfloat16")))


def pays(kind: str, shape: tuple[int, ...], places: int, backward: bool = False) -> bool:
    """Whether the processor has the instructions, and the product is large enough to be worth the call.

    Args:
        kind: "float32" or "bfloat16".
        shape: the weights', `(inputs, outputs)` or `(a, b, inputs, outputs)`.
        places: rows, or pixels of all images.
        backward: for the gradient of x.
    """
    length = int(np.prod(shape[1:-2])) * shape[-1 if backward else -2]
    return places * int(np.prod(shape)) >= MIN_MACS and (kind == "float32" or length % 2 == 0) and _supported(kind)


def product(
    x: np.ndarray,
    kernel: np.ndarray,
    out: np.ndarray,
    threads: int,
    bias: np.ndarray | None = None,
    backward: bool = False,
) -> None:
    """Writes x kernel + bias, or the convolution of stride 1 that keeps height and width, into `out`; all contiguous.

    float32, or bfloat16 as uint16, which is accumulated in float32 and rounded once. Only where `pays` is true for the
    kind and shape.

    Args:
        x: (..., inputs); (images, height, width, inputs) for a convolution.
        kernel: (inputs, outputs); (a, b, inputs, outputs) for a convolution.
        out: (..., outputs).
        threads: how many threads to use.
        bias: (outputs,), float32.
        backward: x is grad_output (..., outputs), and `out` becomes grad_x (..., inputs).
    """
    size, (inputs, outputs) = kernel.shape[:-2] or (1, 1), kernel.shape[-2:]
    depth, width = (outputs, inputs) if backward else (inputs, outputs)
    whole = -(-width // LANES) * LANES
    panels = np.zeros(size[0] * size[1] * depth * whole, x.dtype)
    _pack_panels(kernel.reshape(-1), size, inputs, outputs, backward, 2 if x.dtype == np.uint16 else 1, panels)
    begin = np.zeros(whole, "float32")
    if bias is not None:
        begin[:width] = bias
    to = out if whole == width else np.empty((*out.shape[:-1], whole), out.dtype)
    flat, there = x.reshape(-1), to.reshape(-1)
    pad_before = tuple(n // 2 if backward else (n - 1) // 2 for n in size)

    def product_chunk(bounds: np.ndarray, first: int, last: int) -> None:
        _product_rows(flat, depth, panels, begin, whole, there, bounds[first], bounds[last])

    def convolution_chunk(bounds: np.ndarray, first: int, last: int) -> None:
        _convolution_rows(flat, x.shape[1:], panels, begin, size, pad_before, whole, there, bounds[first], bounds[last])

    if size == (1, 1):
        parallel_for(product_chunk, x.size // max(1, depth), x.size, threads)
    else:
        parallel_for(convolution_chunk, x.shape[0] * x.shape[1], x.size, threads)
    if to is not out:
        out[:] = to[..., :width]
