"""Products and convolutions of what is mostly zeros, as spikes are: the weights of the rest, added up (numba).

A full product multiplies every number, zeros too. Here the places of a row's other numbers are listed first; then up to
128 outputs at a time stay in registers while the weights of those places are added to them. The time follows the number
of spikes. Numbers need not be 0 and 1: a residual stream of counts is as good.

A sum goes from the first place to the last, whatever the width of the rest: a subnet and the network taken out of its
supernet add up the same numbers in the same order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from kspike.ops.cpu_compiling import F, compiled
from kspike.ops.cpu_pieces import run

#: What outputs must be a multiple of: the float32 numbers of a vector.
LANES = 16
#: Rows that are listed at a time: a list stays in the cache while every block of outputs goes through it.
LISTED = 64
#: Above this share of numbers that are not 0, of a product and of a convolution, the full one is as quick or quicker;
#: so it is with fewer multiplications, and with fewer outputs, which are not worth listing what they are made of.
MOST, MOST_AROUND, LEAST = 0.25, 0.2, 1 << 22
FEW, FEW_AROUND = 128, 64
#: Rows that are looked at to tell how many zeros there are.
SAMPLE = 128


def _addition(vectors: int) -> Any:
    """Makes the loop that adds up weights for so many vectors of outputs, each in a register."""

    @intrinsic
    def add(typing, places, values, parts, count, weights, bias, column, stride, out, to):
        """out[to + c] = bias[column + c] + the parts' sum of values[i] weights[at + places[i] stride + column + c].

        Of `count` parts each is three numbers: the first i, how many there are, `at`.
        """
        u, numbers = types.uintp, types.Array(types.float32, 1, "C")
        wholes, sizes = types.Array(types.uint32, 1, "C"), types.Array(u, 1, "C")

        def make(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kinds = {0: wholes, 1: numbers, 2: sizes, 4: numbers, 5: numbers, 8: numbers}
            places, values, parts, weights, bias, out = (
                make_array(kind)(context, builder, args[i]).data for i, kind in kinds.items()
            )
            count, column, stride, to = (args[i] for i in (3, 6, 7, 9))
            vector, lanes = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(ir.IntType(32), LANES)
            none = ir.Constant(vector, ir.Undefined)
            sums = [cgutils.alloca_once(builder, vector) for _ in range(vectors)]

            def whole(number: int) -> Any:
                return ir.Constant(stride.type, number)

            def lying(data: Any, start: Any, k: int) -> Any:
                there = builder.gep(data, [builder.add(start, whole(k * LANES))])
                return builder.bitcast(there, vector.as_pointer())

            for k, each in enumerate(sums):
                builder.store(builder.load(lying(bias, column, k), align=4), each)
            with cgutils.for_range(builder, count) as part:
                at = builder.mul(part.index, whole(3))
                first, many, start = (builder.load(builder.gep(parts, [builder.add(at, whole(k))])) for k in range(3))
                start = builder.add(start, column)
                with cgutils.for_range(builder, many) as loop:
                    i = builder.add(first, loop.index)
                    factor = builder.load(builder.gep(values, [i]))
                    factor = builder.insert_element(none, factor, ir.Constant(ir.IntType(32), 0))
                    factor = builder.shuffle_vector(factor, none, ir.Constant(lanes, [0] * LANES))
                    place = builder.zext(builder.load(builder.gep(places, [i])), stride.type)
                    row = builder.add(start, builder.mul(place, stride))
                    for k, each in enumerate(sums):
                        term = builder.fmul(factor, builder.load(lying(weights, row, k), align=4), flags=("contract",))
                        builder.store(builder.fadd(builder.load(each), term, flags=("contract",)), each)
            for k, each in enumerate(sums):
                builder.store(builder.load(each), lying(out, to, k), align=4)
            return context.get_dummy_value()

        return types.none(wholes, numbers, sizes, u, numbers, numbers, u, u, numbers, u), make

    return add


_one, _two, _four, _eight = (_addition(vectors) for vectors in (1, 2, 4, 8))


@compiled
def _vectors(left):
    """How many vectors of outputs are taken next, where so many outputs are left."""
    return 8 if left >= 8 * LANES else 4 if left >= 4 * LANES else 2 if left >= 2 * LANES else 1


@compiled
def _add(vectors, places, values, parts, count, weights, bias, column, stride, out, to):
    if vectors == 8:
        _eight(places, values, parts, count, weights, bias, column, stride, out, to)
    elif vectors == 4:
        _four(places, values, parts, count, weights, bias, column, stride, out, to)
    elif vectors == 2:
        _two(places, values, parts, count, weights, bias, column, stride, out, to)
    else:
        _one(places, values, parts, count, weights, bias, column, stride, out, to)


@compiled
def _listed(x, inputs, first, last, places, values, starts):
    """Where rows of x are not 0, and what is there."""
    count = 0
    for r in range(first, last):
        starts[r - first] = count
        for k in range(inputs):
            number = x[r * inputs + k]
            places[count] = k
            values[count] = number
            count += number != F(0)
    starts[last - first] = count


@compiled
def _product_rows(x, inputs, weights, bias, outputs, out, begin, end):
    places, values = np.empty(LISTED * inputs, np.uint32), np.empty(LISTED * inputs, F)
    starts, parts = np.empty(LISTED + 1, np.uintp), np.zeros(3, np.uintp)
    for first in range(begin, end, LISTED):
        last = min(first + LISTED, end)
        _listed(x, inputs, first, last, places, values, starts)
        column = 0
        while column < outputs:
            vectors = _vectors(outputs - column)
            for r in range(last - first):
                parts[0], parts[1] = starts[r], starts[r + 1] - starts[r]
                to = (first + r) * outputs + column
                _add(vectors, places, values, parts, 1, weights, bias, column, outputs, out, to)
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
        _listed(x, inputs, (image * height + first) * width, (image * height + last) * width, places, values, starts)
        column = 0
        while column < outputs:
            vectors = _vectors(outputs - column)
            for y in range(top, bottom):
                for at in range(width):
                    count = _around(y, at, first, last, width, size, inputs, outputs, starts, parts)
                    to = ((image * height + y) * width + at) * outputs + column
                    _add(vectors, places, values, parts, count, weights, bias, column, outputs, out, to)
            column += vectors * LANES
        r += bottom - top


def pays(x: np.ndarray, weights: np.ndarray) -> bool:
    """Whether `product`, or `convolve`, is quicker than a full one, by a sample of x's rows (..., inputs)."""
    inputs, outputs = weights.shape[-2:]
    few, most = (FEW, MOST) if weights.ndim == 2 else (FEW_AROUND, MOST_AROUND)
    if outputs % LANES or outputs < few or x.size // inputs * weights.size < LEAST:
        return False
    rows = x.reshape(-1, inputs)
    sample = rows[:: max(1, len(rows) // SAMPLE)]
    return np.count_nonzero(sample) <= most * sample.size


def product(x: np.ndarray, weights: np.ndarray, out: np.ndarray, threads: int, bias: np.ndarray | None = None) -> None:
    """Writes x weights + bias, of (rows, inputs) and (inputs, outputs), into `out`; all float32, contiguous.

    Weights of an input that is 0 are not looked at: one of them may be nan or infinite without a trace.
    """
    (rows, inputs), outputs = x.shape, weights.shape[1]
    flat = [a.reshape(-1) for a in (x, weights, out)]
    begin = np.zeros(outputs, "float32") if bias is None else bias

    def work(bounds: np.ndarray, first: int, last: int) -> None:
        _product_rows(flat[0], inputs, flat[1], begin, outputs, flat[2], bounds[first], bounds[last])

    run(work, rows, x.size, threads)


def convolve(x: np.ndarray, weights: np.ndarray, out: np.ndarray, threads: int) -> None:
    """Writes the convolution of stride 1 that keeps height and width into `out`; all float32, contiguous.

    (images, height, width, inputs), (a, b, inputs, outputs) -> (images, height, width, outputs); on nan as `product`.
    """
    shape, size, outputs = x.shape[1:], weights.shape[:2], weights.shape[3]
    flat, zeros = [a.reshape(-1) for a in (x, weights, out)], np.zeros(outputs, "float32")

    def work(bounds: np.ndarray, first: int, last: int) -> None:
        _convolution_rows(flat[0], shape, flat[1], zeros, size, outputs, flat[2], bounds[first], bounds[last])

    run(work, x.shape[0] * shape[0], x.size, threads)
