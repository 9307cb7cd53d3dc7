"""Attention without softmax as compiled loops over a CPU's memory (numba): q, k and v are read in place, not by head.

Every product, forward and backward, is a sum of scaled rows: out[r] = sum over i of a[r, i] x[i]. Register blocking: up
to sixteen elements of a row of x at a time, for four rows of out, so that each load of x is used four times. Heads are
too short for numba to vectorise; the innermost loop is therefore written in LLVM vectors, which LLVM maps to the
processor's.

q, k and v are `(images x tokens, channels)`, heads side by side, float32, or bfloat16 as uint16; each may be a slice of
wider rows. Products of spikes are integers, which float32 sums exactly in any order up to 2^24.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from kspike.ops.cpu.compiling import F, compiled, load, store
from kspike.ops.cpu.threads import parallel_for

U = np.uintp
#: The channels of a head must be a multiple of this.
HEAD_MULTIPLE = 4
#: Rows of the result that are accumulated at once.
ROW_TILE = 4


def _row_tile(width: int) -> Any:
    """Makes the micro-kernel of `_product` for tiles `width` elements wide: four rows at a time, each in a register."""

    @intrinsic
    def row_tile_product(typing, a, a_at, a_row, a_step, x, x_at, x_step, count, out, at, out_row, rows):
        """`_product`, for `width` columns."""
        u, array = types.uintp, types.Array(types.float32, 1, "C")

        def make(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            a, x, out = (make_array(array)(context, builder, args[i]).data for i in (0, 4, 8))
            _, a_at, a_row, a_step, _, x_at, x_step, count, _, at, out_row, rows = args
            vector, places = ir.VectorType(ir.FloatType(), width), ir.VectorType(ir.IntType(32), width)
            zeros, none = ir.Constant(vector, [0.0] * width), ir.Constant(vector, ir.Undefined)
            sums = [cgutils.alloca_once(builder, vector) for _ in range(ROW_TILE)]

            def whole(number: int) -> Any:
                return ir.Constant(rows.type, number)

            def place(data: Any, start: Any, step: Any, steps: Any) -> Any:
                return builder.gep(data, [builder.add(start, builder.mul(step, steps))])

            def emit_rows(first: Any, totals: list) -> None:
                for total in totals:
                    builder.store(zeros, total)
                each = [builder.add(first, whole(r)) for r in range(len(totals))]
                with cgutils.for_range(builder, count) as loop:
                    numbers = place(x, x_at, x_step, loop.index)
                    numbers = builder.load(builder.bitcast(numbers, vector.as_pointer()), align=4)
                    along = builder.add(a_at, builder.mul(a_step, loop.index))
                    for row, total in zip(each, totals, strict=True):
                        factor = builder.load(place(a, along, a_row, row))
                        factor = builder.insert_element(none, factor, ir.Constant(ir.IntType(32), 0))
                        factor = builder.shuffle_vector(factor, none, ir.Constant(places, [0] * width))
                        part = builder.fmul(factor, numbers, flags=("contract",))
                        builder.store(builder.fadd(builder.load(total), part, flags=("contract",)), total)
                for row, total in zip(each, totals, strict=True):
                    there = builder.bitcast(place(out, at, out_row, row), vector.as_pointer())
                    builder.store(builder.load(total), there, align=4)

            even = builder.sub(rows, builder.urem(rows, whole(ROW_TILE)))
            for totals, bounds in ((sums, (whole(0), even)), (sums[:1], (even, rows))):
                with cgutils.for_range_slice(builder, *bounds, whole(len(totals))) as (row, _):
                    emit_rows(row, totals)
            return context.get_dummy_value()

        return types.none(array, u, u, u, array, u, u, u, array, u, u, u), make

    return row_tile_product


_sixteen, _eight, _four = (_row_tile(width) for width in (16, 8, 4))


@compiled
def _product(a, a_at, a_row, a_step, x, x_at, x_step, count, out, at, out_row, rows, numbers):
    """out[r, c] = sum over i < count of a[r, i] x[i, c], for r < rows and c < numbers, a multiple of HEAD_MULTIPLE.

    a[r, i] is at `a_at + r a_row + i a_step`; row i of x begins at `x_at + i x_step`, row r of out at `at + r out_row`.
    """
    for c in range(0, numbers - 15, 16):
        _sixteen(a, a_at, a_row, a_step, x, x_at + c, x_step, count, out, at + c, out_row, rows)
    c = numbers - numbers % 16
    if numbers % 16 >= 8:
        _eight(a, a_at, a_row, a_step, x, x_at + c, x_step, count, out, at + c, out_row, rows)
        c += 8
    if numbers % 8 >= 4:
        _four(a, a_at, a_row, a_step, x, x_at + c, x_step, count, out, at + c, out_row, rows)


@compiled
def _load_rows(flat, row, stride, tokens, channels, out):
    """Copies the rows of one image into a contiguous float32 array."""
    for n in range(tokens):
        at, to = U((row + n) * stride), U(n * channels)
        for c in range(U(channels)):
            out[to + c] = load(flat[at + c])


@compiled
def _transpose_head(rows, at, tokens, channels, dim, out):
    """Transposes one head: (tokens, dim) -> (dim, tokens)."""
    for n in range(tokens):
        for i in range(dim):
            out[i * tokens + n] = rows[at + n * channels + i]


@compiled
def _store_rows(rows, tokens, channels, flat, row):
    """Stores the contiguous float32 rows of one image into a flat array of rows."""
    at = U(row * channels)
    for c in range(U(tokens * channels)):
        store(flat, at + c, rows[c])


@compiled
def _values_first(tokens, dim):
    """Whether q (k^T v) is computed, not (q k^T) v: fewer operations, or tokens are no multiple of HEAD_MULTIPLE."""
    return tokens > dim or tokens % HEAD_MULTIPLE != 0


@compiled
def _images(q, k, v, strides, tokens, heads, dim, y, first, last):
    """q k^T v of images from first to last."""
    channels = heads * dim
    size, values_first = tokens * channels, _values_first(tokens, dim)
    square = dim * dim if values_first else tokens * tokens
    queries, keys, values = np.empty(size, F), np.empty(size, F), np.empty(size, F)
    transposed, mixed = np.empty(dim * tokens, F), np.empty(square, F)
    for image in range(first, last):
        row = image * tokens
        _load_rows(q, row, strides[0], tokens, channels, queries)
        _load_rows(k, row, strides[1], tokens, channels, keys)
        _load_rows(v, row, strides[2], tokens, channels, values)
        for at in range(0, channels, dim):
            to = row * channels + at
            if values_first:  # q (k^T v)
                _product(keys, at, 1, channels, values, at, channels, tokens, mixed, 0, dim, dim, dim)
                _product(queries, at, channels, 1, mixed, 0, dim, dim, y, to, channels, tokens, dim)
            else:  # (q k^T) v
                _transpose_head(keys, at, tokens, channels, dim, transposed)
                _product(queries, at, channels, 1, transposed, 0, tokens, dim, mixed, 0, tokens, tokens, tokens)
                _product(mixed, 0, tokens, 1, values, at, channels, tokens, y, to, channels, tokens, dim)


@compiled
def _images_backward(q, k, v, strides, tokens, heads, dim, grad_output, grad_q, grad_k, grad_v, first, last):
    """Gradients of q, k and v of images from first to last."""
    channels = heads * dim
    size, values_first = tokens * channels, _values_first(tokens, dim)
    square = dim * dim if values_first else tokens * tokens
    queries, keys, values, grad_rows = np.empty(size, F), np.empty(size, F), np.empty(size, F), np.empty(size, F)
    grad_queries, grad_keys, grad_values = np.empty(size, F), np.empty(size, F), np.empty(size, F)
    transposed, mixed, grad_mixed = np.empty(dim * tokens, F), np.empty(square, F), np.empty(square, F)
    for image in range(first, last):
        row = image * tokens
        _load_rows(q, row, strides[0], tokens, channels, queries)
        _load_rows(k, row, strides[1], tokens, channels, keys)
        _load_rows(v, row, strides[2], tokens, channels, values)
        _load_rows(grad_output, row, channels, tokens, channels, grad_rows)
        for at in range(0, channels, dim):
            if values_first:
                # v^T k; grad_q = grad_output (k^T v)^T
                _product(values, at, 1, channels, keys, at, channels, tokens, mixed, 0, dim, dim, dim)
                _product(grad_rows, at, channels, 1, mixed, 0, dim, dim, grad_queries, at, channels, tokens, dim)
                # grad_output^T q; grad_k = v (q^T grad_output)^T
                _product(grad_rows, at, 1, channels, queries, at, channels, tokens, grad_mixed, 0, dim, dim, dim)
                _product(values, at, channels, 1, grad_mixed, 0, dim, dim, grad_keys, at, channels, tokens, dim)
                # q^T grad_output; grad_v = k (q^T grad_output)
                _product(queries, at, 1, channels, grad_rows, at, channels, tokens, grad_mixed, 0, dim, dim, dim)
                _product(keys, at, channels, 1, grad_mixed, 0, dim, dim, grad_values, at, channels, tokens, dim)
            else:
                # q k^T; grad_v = (q k^T)^T grad_output
                _transpose_head(keys, at, tokens, channels, dim, transposed)
                _product(queries, at, channels, 1, transposed, 0, tokens, dim, mixed, 0, tokens, tokens, tokens)
                _product(mixed, 0, 1, tokens, grad_rows, at, channels, tokens, grad_values, at, channels, tokens, dim)
                # grad_output v^T; grad_q = (grad_output v^T) k; grad_k = (grad_output v^T)^T q
                _transpose_head(values, at, tokens, channels, dim, transposed)
                _product(grad_rows, at, channels, 1, transposed, 0, tokens, dim, grad_mixed, 0, tokens, tokens, tokens)
                _product(grad_mixed, 0, tokens, 1, keys, at, channels, tokens, grad_queries, at, channels, tokens, dim)
                _product(grad_mixed, 0, 1, tokens, queries, at, channels, tokens, grad_keys, at, channels, tokens, dim)
        _store_rows(grad_queries, tokens, channels, grad_q, row)
        _store_rows(grad_keys, tokens, channels, grad_k, row)
        _store_rows(grad_values, tokens, channels, grad_v, row)


def attend(q: tuple, k: tuple, v: tuple, tokens: int, heads: int, dim: int, y: np.ndarray, threads: int) -> None:
    """Writes q k^T v, head by head, into `y`, in the order of the two products that takes fewer operations.

    Args:
        q, k, v: (array, stride): row n of `heads * dim` channels begins at n * stride of the flat array.
        tokens, heads, dim: of an image; dim is a multiple of HEAD_MULTIPLE.
        y: float32, `images * tokens` contiguous rows.
        threads: how many threads to use.
    """
    arrays, strides = zip(q, k, v, strict=True)

    def work(bounds: np.ndarray, first: int, last: int) -> None:
        _images(*arrays, strides, tokens, heads, dim, y, bounds[first], bounds[last])

    parallel_for(work, y.size // (tokens * heads * dim), y.size, threads)


def attend_backward(
    q: tuple, k: tuple, v: tuple, tokens: int, heads: int, dim: int, grad_output: np.ndarray, grads: tuple, threads: int
) -> None:
    """Writes the gradients of q, k and v, in that order, into the flat arrays `grads` of contiguous rows."""
    arrays, strides = zip(q, k, v, strict=True)

    def work(bounds: np.ndarray, first: int, last: int) -> None:
        _images_backward(*arrays, strides, tokens, heads, dim, grad_output, *grads, bounds[first], bounds[last])

    parallel_for(work, grad_output.size // (tokens * heads * dim), grad_output.size, threads)
