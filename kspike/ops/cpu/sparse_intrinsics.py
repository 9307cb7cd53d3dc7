"""The micro-kernel of sparse products: gathers rows of weights and accumulates them in registers; and CSR lists."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from kspike.ops.cpu.compiling import F, compiled, each_of, load

#: float32 lanes of a vector, of which the outputs must be a multiple.
LANES = 16
#: Elements that are compared with 0 at a time.
MASK_BITS = 64
#: Vectors of outputs of a tile, largest first: they take half of the processor's registers, of which one holds a whole
#: vector with AVX-512, and half or a quarter of one elsewhere.
VECTORS = (8, 4, 2, 1) if binding.get_host_cpu_features().get("avx512f") else (4, 2, 1)


def write(builder: Any, data: Any, kind: Any, place: Any, x: Any) -> None:
    """Emits the writing of a vector of float32, rounded to nearest even where `kind` is bfloat16's (uint16)."""
    lanes, halves = (ir.VectorType(ir.IntType(n), LANES) for n in (32, 16))
    there = builder.gep(data, [place])
    if kind == types.float32:
        builder.store(x, builder.bitcast(there, x.type.as_pointer()), align=4)
        return

    def bits(number: int) -> Any:
        return ir.Constant(lanes, [number] * LANES)

    x = builder.bitcast(x, lanes)
    even = builder.and_(builder.lshr(x, bits(16)), bits(1))
    x = builder.lshr(builder.add(x, builder.add(even, bits(0x7FFF))), bits(16))
    builder.store(builder.trunc(x, halves), builder.bitcast(there, halves.as_pointer()), align=2)


@intrinsic
def gather_accumulate(
    typing, vectors, indices, values, segments, count, weights, column, stride, begin, start, out, to
):
    """out[to + c] = begin[start + c] + the sum over segments of values[i] weights[at + indices[i] stride + column + c].

    For so many vectors of outputs, each in a register. Each of the `count` segments is three integers: the first i, how
    many there are, `at`. bfloat16 is read and written as uint16, and accumulated in float32.
    """
    u, numbers = types.uintp, types.Array(types.float32, 1, "C")
    wholes, sizes = types.Array(types.uint32, 1, "C"), types.Array(u, 1, "C")
    kinds = {1: wholes, 2: numbers, 3: sizes, 5: weights, 8: begin, 10: out}

    def make(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        arrays = {i: make_array(kind)(context, builder, args[i]).data for i, kind in kinds.items()}
        count, column, stride, start, to = (args[i] for i in (4, 6, 7, 9, 11))
        vector, lanes = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(ir.IntType(32), LANES)
        halves = ir.VectorType(ir.IntType(16), LANES)
        none = ir.Constant(vector, ir.Undefined)

        def whole(number: int) -> Any:
            return ir.Constant(stride.type, number)

        def bits(number: int) -> Any:
            return ir.Constant(lanes, [number] * LANES)

        def read(i: int, first: Any, k: int) -> Any:
            there = builder.gep(arrays[i], [builder.add(first, whole(k * LANES))])
            if kinds[i].dtype == types.float32:
                return builder.load(builder.bitcast(there, vector.as_pointer()), align=4)
            found = builder.zext(builder.load(builder.bitcast(there, halves.as_pointer()), align=2), lanes)
            return builder.bitcast(builder.shl(found, bits(16)), vector)

        for many in each_of(builder, args[0], VECTORS):
            sums = [cgutils.alloca_once_value(builder, read(8, start, k)) for k in range(many)]
            with cgutils.for_range(builder, count) as part:
                at = builder.mul(part.index, whole(3))
                first, length, base = (
                    builder.load(builder.gep(arrays[3], [builder.add(at, whole(k))])) for k in range(3)
                )
                base = builder.add(base, column)
                with cgutils.for_range(builder, length) as loop:
                    i = builder.add(first, loop.index)
                    factor = builder.load(builder.gep(arrays[2], [i]))
                    factor = builder.insert_element(none, factor, ir.Constant(ir.IntType(32), 0))
                    factor = builder.shuffle_vector(factor, none, bits(0))
                    place = builder.zext(builder.load(builder.gep(arrays[1], [i])), stride.type)
                    row = builder.add(base, builder.mul(place, stride))
                    for k, each in enumerate(sums):
                        term = builder.fmul(factor, read(5, row, k), flags=("contract",))
                        builder.store(builder.fadd(builder.load(each), term, flags=("contract",)), each)
            for k, each in enumerate(sums):
                write(builder, arrays[10], kinds[10].dtype, builder.add(to, whole(k * LANES)), builder.load(each))
        return context.get_dummy_value()

    return types.none(u, wholes, numbers, sizes, u, weights, u, u, begin, u, out, u), make


@compiled
def next_vectors(left):
    """The vectors of the next tile, where so many outputs are left."""
    for vectors in VECTORS:
        if left >= vectors * LANES:
            return vectors
    return VECTORS[-1]


@intrinsic
def _nonzero_mask(typing, x, first):
    """A bit for each of 64 elements of x from `first`: whether it is not 0."""

    def make(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = builder.gep(make_array(x)(context, builder, args[0]).data, [args[1]])
        if x.dtype == types.float32:
            kind = ir.VectorType(ir.FloatType(), MASK_BITS)
            numbers = builder.load(builder.bitcast(data, kind.as_pointer()), align=4)
            found = builder.fcmp_unordered("!=", numbers, ir.Constant(kind, [0.0] * MASK_BITS))
        else:  # bfloat16: 0 and -0
            kind = ir.VectorType(ir.IntType(16), MASK_BITS)
            numbers = builder.load(builder.bitcast(data, kind.as_pointer()), align=2)
            numbers = builder.and_(numbers, ir.Constant(kind, [0x7FFF] * MASK_BITS))
            found = builder.icmp_unsigned("!=", numbers, ir.Constant(kind, [0] * MASK_BITS))
        return builder.bitcast(found, ir.IntType(64))

    return types.uint64(x, types.uintp), make


@intrinsic
def _lowest_bit(typing, mask):
    """The index of the lowest set bit."""

    def make(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), make


@compiled
def list_nonzeros(x, inputs, first, last, indices, values, indptr, left, right):
    """CSR of rows of x, columns `left` to `right`: indices (from `left`) and values of the nonzeros, indptr of rows."""
    count = np.uintp(0)
    one, step, many = np.uintp(1), np.uintp(MASK_BITS), np.uintp(right - left)
    for r in range(first, last):
        indptr[r - first] = count
        begin = np.uintp(r * inputs + left)
        k = np.uintp(0)
        while k + step <= many:
            mask = _nonzero_mask(x, begin + k)
            while mask != np.uint64(0):
                place = k + np.uintp(_lowest_bit(mask))
                indices[count] = place
                values[count] = load(x[begin + place])
                count += one
                mask &= mask - np.uint64(1)
            k += step
        while k < many:
            number = load(x[begin + k])
            indices[count] = k
            values[count] = number
            count += np.uintp(number != F(0))
            k += one
    indptr[last - first] = count
