"""Products with rows that are mostly zeros, as spikes are: the weights of what is there, added up (numba).

A product of full matrices multiplies every number of a row, zeros too. Here the places of a row's other numbers are
listed first; then up to 128 outputs at a time stay in registers while the weights of those places are added to them.
The time follows the number of spikes. Numbers need not be 0 and 1: a residual stream of counts is as good.

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

#: What outputs must be a multiple of: the float32 numbers of a vector. Fewer than so many vectors do not keep it busy.
LANES, FEWEST = 16, 8
#: Rows that are listed at a time: a list stays in the cache while every block of outputs goes through it.
LISTED = 64
#: Above this share of numbers that are not 0, and below this number of multiplications, the full product is quicker.
MOST, LEAST = 0.25, 1 << 22
#: Rows that are looked at to tell how many zeros there are.
SAMPLE = 128


def _addition(vectors: int) -> Any:
    """Makes the loop that adds up weights for so many vectors of outputs, each in a register."""

    @intrinsic
    def add(typing, places, values, first, count, weights, at, stride, out, to):
        """out[to + c] = sum over i of values[first + i] weights[at + places[first + i] stride + c]."""
        u, numbers, whole = types.uintp, types.Array(types.float32, 1, "C"), types.Array(types.uint32, 1, "C")

        def make(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kinds = {0: whole, 1: numbers, 4: numbers, 7: numbers}
            places, values, weights, out = (make_array(k)(context, builder, args[i]).data for i, k in kinds.items())
            first, count, at, stride, to = (args[i] for i in (2, 3, 5, 6, 8))
            vector, lanes = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(ir.IntType(32), LANES)
            none = ir.Constant(vector, ir.Undefined)
            sums = [cgutils.alloca_once_value(builder, ir.Constant(vector, [0.0] * LANES)) for _ in range(vectors)]
            for each in sums:
                builder.store(ir.Constant(vector, [0.0] * LANES), each)

            def lying(data: Any, start: Any, i: int) -> Any:
                there = builder.gep(data, [builder.add(start, ir.Constant(start.type, i * LANES))])
                return builder.bitcast(there, vector.as_pointer())

            with cgutils.for_range(builder, count) as loop:
                i = builder.add(first, loop.index)
                factor = builder.insert_element(
                    none, builder.load(builder.gep(values, [i])), ir.Constant(ir.IntType(32), 0)
                )
                factor = builder.shuffle_vector(factor, none, ir.Constant(lanes, [0] * LANES))
                place = builder.zext(builder.load(builder.gep(places, [i])), stride.type)
                row = builder.add(at, builder.mul(place, stride))
                for k, each in enumerate(sums):
                    part = builder.fmul(factor, builder.load(lying(weights, row, k), align=4), flags=("contract",))
                    builder.store(builder.fadd(builder.load(each), part, flags=("contract",)), each)
            for k, each in enumerate(sums):
                builder.store(builder.load(each), lying(out, to, k), align=4)
            return context.get_dummy_value()

        return types.none(whole, numbers, u, u, numbers, u, u, numbers, u), make

    return add


_one, _two, _four, _eight = (_addition(vectors) for vectors in (1, 2, 4, 8))


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
def _product_rows(x, inputs, weights, outputs, out, begin, end):
    places, values = np.empty(LISTED * inputs, np.uint32), np.empty(LISTED * inputs, F)
    starts = np.empty(LISTED + 1, np.uintp)
    for first in range(begin, end, LISTED):
        last = min(first + LISTED, end)
        _listed(x, inputs, first, last, places, values, starts)
        c = 0
        while c < outputs:
            for r in range(last - first):
                some, count, to = starts[r], starts[r + 1] - starts[r], (first + r) * outputs + c
                if outputs - c >= 8 * LANES:
                    _eight(places, values, some, count, weights, c, outputs, out, to)
                elif outputs - c >= 4 * LANES:
                    _four(places, values, some, count, weights, c, outputs, out, to)
                elif outputs - c >= 2 * LANES:
                    _two(places, values, some, count, weights, c, outputs, out, to)
                else:
                    _one(places, values, some, count, weights, c, outputs, out, to)
            left = outputs - c
            c += LANES * (8 if left >= 8 * LANES else 4 if left >= 4 * LANES else 2 if left >= 2 * LANES else 1)


def pays(x: np.ndarray, outputs: int) -> bool:
    """Whether `product` is quicker than a full one, for x `(rows, inputs)`, by a sample of its rows."""
    if outputs % LANES or outputs < FEWEST * LANES or x.size * outputs < LEAST:
        return False
    sample = x[:: max(1, len(x) // SAMPLE)]
    return np.count_nonzero(sample) <= MOST * sample.size


def product(x: np.ndarray, weights: np.ndarray, out: np.ndarray, threads: int) -> None:
    """Writes x weights, of (rows, inputs) and (inputs, outputs), into `out`; all float32, contiguous.

    Weights of an input that is 0 are not looked at: one of them may be nan or infinite without a trace.
    """
    (rows, inputs), outputs = x.shape, weights.shape[1]
    flat = [a.reshape(-1) for a in (x, weights, out)]

    def work(bounds: np.ndarray, first: int, last: int) -> None:
        _product_rows(flat[0], inputs, flat[1], outputs, flat[2], bounds[first], bounds[last])

    run(work, rows, x.size, threads)
