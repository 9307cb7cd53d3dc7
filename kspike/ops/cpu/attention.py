"""Attention without softmax as compiled loops over a CPU's memory (numba): spikes as they lie, no copies by head.

Every product, each way, is a sum of scaled rows: out[r] = sum over i of a[r, i] x[i]. Up to sixteen numbers of a row of
x are taken at a time, for four rows of out at once, so that what was read of x serves four times. Heads are too short
for numba to vectorise loops over them; the innermost one is therefore written in LLVM's own vectors, which become what
the processor has.

q, k and v are `(images x tokens, channels)`, heads side by side, float32, or bfloat16 as uint16, and each may be a part
of wider rows. Spikes make whole numbers, which float32 adds up exactly in any order up to 2^24.
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
from kspike.ops.cpu.threads import run

U = np.uintp
#: What channels of a head must be a multiple of.
LEAST = 4
#: Rows of a product that are added up at once.
TOGETHER = 4


def _combination(width: int) -> Any:
    """Makes the loops of a product over `width` numbers of its rows, four rows at a time, each in a register."""

    @intrinsic
    def combine(typing, a, a_at, a_row, a_step, x, x_at, x_step, count, out, at, out_row, rows):
        """`_product`, for `width` numbers."""
        u, array = types.uintp, types.Array(types.float32, 1, "C")

        def make(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            a, x, out = (make_array(array)(context, builder, args[i]).data for i in (0, 4, 8))
            _, a_at, a_row, a_step, _, x_at, x_step, count, _, at, out_row, rows = args
            vector, places = ir.VectorType(ir.FloatType(), width), ir.VectorType(ir.IntType(32), width)
            zeros, none = ir.Constant(vector, [0.0] * width), ir.Constant(vector, ir.Undefined)
            sums = [cgutils.alloca_once(builder, vector) for _ in range(TOGETHER)]

            def whole(number: int) -> Any:
                return ir.Constant(rows.type, number)

            def place(data: Any, start: Any, step: Any, steps: Any) -> Any:
                return builder.gep(data, [builder.add(start, builder.mul(step, steps))])

            def several(first: Any, totals: list) -> None:
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

            even = builder.sub(rows, builder.urem(rows, whole(TOGETHER)))
            for totals, bounds in ((sums, (whole(0), even)), (sums[:1], (even, rows))):
                with cgutils.for_range_slice(builder, *bounds, whole(len(totals))) as (row, _):
                    several(row, totals)
            return context.get_dummy_value()

        return types.none(array, u, u, u, array, u, u, u, array, u, u, u), make

    return combine


_sixteen, _eight, _four = (_combination(width) for width in (16, 8, 4))


@compiled
def _product(a, a_at, a_row, a_step, x, x_at, x_step, count, out, at, out_row, rows, numbers):
    """out[r, c] = sum over i < count of a[r, i] x[i, c], for r < rows and c < numbers, a multiple of LEAST.

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
def _take(flat, row, stride, tokens, channels, out):
    """Rows of one image as float32, one after the other."""
    for n in range(tokens):
        at, to = U((row + n) * stride), U(n * channels)
        for c in range(U(channels)):
            out[to + c] = load(flat[at + c])


@compiled
def _turn(rows, at, tokens, channels, dim, out):
    """The columns of one head as rows."""
    for n in range(tokens):
        for i in range(dim):
            out[i * tokens + n] = rows[at + n * channels + i]


@compiled
def _give(rows, tokens, channels, flat, row):
    """Rows of one image, one after the other, into an array of such rows."""
    at = U(row * channels)
    for c in range(U(tokens * channels)):
        store(flat, at + c, rows[c])


@compiled
def _values_first(tokens, dim):
    """Whether k^T v comes before q: in fewer operations, or because q k^T has rows that are no multiple of LEAST."""
    return tokens > dim or tokens % LEAST != 0


@compiled
def _images(q, k, v, strides, tokens, heads, dim, y, first, last):
    """q k^T v of images from first to last."""
    channels = heads * dim
    size, before = tokens * channels, _values_first(tokens, dim)
    square = dim * dim if before else tokens * tokens
    queries, keys, values = np.empty(size, F), np.empty(size, F), np.empty(size, F)
    turned, mixed = np.empty(dim * tokens, F), np.empty(square, F)
    for image in range(first, last):
        row = image * tokens
        _take(q, row, strides[0], tokens, channels, queries)
        _take(k, row, strides[1], tokens, channels, keys)
        _take(v, row, strides[2], tokens, channels, values)
        for at in range(0, channels, dim):
            to = row * channels + at
            if before:  # q (k^T v)
                _product(keys, at, 1, channels, values, at, channels, tokens, mixed, 0, dim, dim, dim)
                _product(queries, at, channels, 1, mixed, 0, dim, dim, y, to, channels, tokens, dim)
            else:  # (q k^T) v
                _turn(keys, at, tokens, channels, dim, turned)
                _product(queries, at, channels, 1, turned, 0, tokens, dim, mixed, 0, tokens, tokens, tokens)
                _product(mixed, 0, tokens, 1, values, at, channels, tokens, y, to, channels, tokens, dim)


@compiled
def _images_back(q, k, v, strides, tokens, heads, dim, upstream, to_q, to_k, to_v, first, last):
    """Gradients of q, k and v of images from first to last."""
    channels = heads * dim
    size, before = tokens * channels, _values_first(tokens, dim)
    square = dim * dim if before else tokens * tokens
    queries, keys, values, above = np.empty(size, F), np.empty(size, F), np.empty(size, F), np.empty(size, F)
    one, two, three = np.empty(size, F), np.empty(size, F), np.empty(size, F)
    turned, mixed, back = np.empty(dim * tokens, F), np.empty(square, F), np.empty(square, F)
    for image in range(first, last):
        row = image * tokens
        _take(q, row, strides[0], tokens, channels, queries)
        _take(k, row, strides[1], tokens, channels, keys)
        _take(v, row, strides[2], tokens, channels, values)
        _take(upstream, row, channels, tokens, channels, above)
        for at in range(0, channels, dim):
            if before:
                # v^T k; to_q = upstream (k^T v)^T
                _product(values, at, 1, channels, keys, at, channels, tokens, mixed, 0, dim, dim, dim)
                _product(above, at, channels, 1, mixed, 0, dim, dim, one, at, channels, tokens, dim)
                # upstream^T q; to_k = v (q^T upstream)^T
                _product(above, at, 1, channels, queries, at, channels, tokens, back, 0, dim, dim, dim)
                _product(values, at, channels, 1, back, 0, dim, dim, two, at, channels, tokens, dim)
                # q^T upstream; to_v = k (q^T upstream)
                _product(queries, at, 1, channels, above, at, channels, tokens, back, 0, dim, dim, dim)
                _product(keys, at, channels, 1, back, 0, dim, dim, three, at, channels, tokens, dim)
            else:
                # q k^T; to_v = (q k^T)^T upstream
                _turn(keys, at, tokens, channels, dim, turned)
                _product(queries, at, channels, 1, turned, 0, tokens, dim, mixed, 0, tokens, tokens, tokens)
                _product(mixed, 0, 1, tokens, above, at, channels, tokens, three, at, channels, tokens, dim)
                # upstream v^T; to_q = (upstream v^T) k; to_k = (upstream v^T)^T q
                _turn(values, at, tokens, channels, dim, turned)
                _product(above, at, channels, 1, turned, 0, tokens, dim, back, 0, tokens, tokens, tokens)
                _product(back, 0, tokens, 1, keys, at, channels, tokens, one, at, channels, tokens, dim)
                _product(back, 0, 1, tokens, queries, at, channels, tokens, two, at, channels, tokens, dim)
        _give(one, tokens, channels, to_q, row)
        _give(two, tokens, channels, to_k, row)
        _give(three, tokens, channels, to_v, row)


def attend(q: tuple, k: tuple, v: tuple, tokens: int, heads: int, dim: int, y: np.ndarray, threads: int) -> None:
    """Writes q k^T v, head by head, into `y`, in the order of products that takes fewer operations.

    Args:
        q, k, v: (numbers, stride): row n of `heads * dim` channels begins at n * stride of a flat array.
        tokens, heads, dim: of an image; dim is a multiple of LEAST.
        y: float32, `images * tokens` rows one after the other.
        threads: how many threads to use.
    """
    arrays, strides = zip(q, k, v, strict=True)

    def work(bounds: np.ndarray, first: int, last: int) -> None:
        _images(*arrays, strides, tokens, heads, dim, y, bounds[first], bounds[last])

    run(work, y.size // (tokens * heads * dim), y.size, threads)


def attend_back(
    q: tuple, k: tuple, v: tuple, tokens: int, heads: int, dim: int, upstream: np.ndarray, grads: tuple, threads: int
) -> None:
    """Writes the gradients of q, k and v, in that order, into the flat arrays `grads`, rows one after the other."""
    arrays, strides = zip(q, k, v, strict=True)

    def work(bounds: np.ndarray, first: int, last: int) -> None:
        _images_back(*arrays, strides, tokens, heads, dim, upstream, *grads, bounds[first], bounds[last])

    run(work, upstream.size // (tokens * heads * dim), upstream.size, threads)
