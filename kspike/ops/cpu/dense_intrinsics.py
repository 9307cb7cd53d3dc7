"""The micro-kernel of dense products (AVX-512): a few rows by a panel of columns, all sums in registers."""

from __future__ import annotations

from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from kspike.ops.cpu.compiling import compiled, each_of
from kspike.ops.cpu.sparse_intrinsics import LANES, write

binding.initialize_native_asmparser()  # bfloat16's instruction is inline assembly: LLVM renamed its intrinsic

#: Rows and vectors of columns of a tile, largest first: 8 by 3 takes 24 of 32 registers.
ROWS, VECTORS = (8, 4, 1), (3, 2, 1)


@intrinsic
def gemm_microkernel(
    typing, rows, vectors, a, at, stride, length, gap, count, panel, begin, start, column, out, to, outputs
):
    """out[to + r outputs + c] = start[column + c] + a sum over i < count and k < length, for a tile.

    A sum of a[at + r stride + i gap + k] panel[begin + (i length + k) columns + c]. bfloat16, as uint16, is multiplied
    in pairs: k and k + 1 are interleaved for each column, length is even, and sums are in float32, rounded as the
    processor's dot-product instruction does.
    """
    u = types.uintp
    kinds = {2: a, 8: panel, 10: start, 12: out}
    half = a.dtype == types.uint16

    def make(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        arrays = {i: make_array(kind)(context, builder, args[i]).data for i, kind in kinds.items()}
        at, stride, length, gap, count = args[3:8]
        begin, column, to, outputs = args[9], args[11], args[13], args[14]
        vector, lanes = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(ir.IntType(32), LANES)
        kind, one = (lanes, ir.IntType(32)) if half else (vector, ir.FloatType())
        pair = 2 if half else 1

        def whole(number: int) -> Any:
            return ir.Constant(stride.type, number)

        def read(i: int, place: Any, kind: Any) -> Any:
            there = builder.bitcast(builder.gep(arrays[i], [place]), kind.as_pointer())
            return builder.load(there, align=2 if half else 4)

        def fma(total: Any, x: Any, y: Any) -> Any:
            if half:
                shape = ir.FunctionType(vector, [vector, lanes, lanes])
                return builder.asm(shape, "vdpbf16ps $3, $2, $0", "=v,0,v,v", [total, x, y], False)
            term = builder.fmul(x, y, flags=("contract",))
            return builder.fadd(total, term, flags=("contract",))

        def emit(rows: int, vectors: int) -> None:
            starts = [read(10, builder.add(column, whole(k * LANES)), vector) for k in range(vectors)]
            sums = [[cgutils.alloca_once_value(builder, x) for x in starts] for _ in range(rows)]
            panel_at = cgutils.alloca_once_value(builder, begin)
            with cgutils.for_range(builder, count) as outer:
                first = builder.add(at, builder.mul(outer.index, gap))
                with cgutils.for_range(builder, builder.udiv(length, whole(pair))) as loop:
                    place = builder.load(panel_at)
                    columns = [read(8, builder.add(place, whole(k * LANES * pair)), kind) for k in range(vectors)]
                    builder.store(builder.add(place, whole(vectors * LANES * pair)), panel_at)
                    k = builder.add(first, builder.mul(loop.index, whole(pair)))
                    for r in range(rows):
                        x = read(2, builder.add(k, builder.mul(stride, whole(r))), one)
                        x = builder.insert_element(ir.Constant(kind, ir.Undefined), x, ir.Constant(ir.IntType(32), 0))
                        x = builder.shuffle_vector(x, x, ir.Constant(lanes, [0] * LANES))
                        for each, y in zip(sums[r], columns, strict=True):
                            builder.store(fma(builder.load(each), x, y), each)
            for r in range(rows):
                for k, each in enumerate(sums[r]):
                    place = builder.add(to, builder.add(builder.mul(outputs, whole(r)), whole(k * LANES)))
                    write(builder, arrays[12], out.dtype, place, builder.load(each))

        for some in each_of(builder, args[0], ROWS):
            for many in each_of(builder, args[1], VECTORS):
                emit(some, many)
        return context.get_dummy_value()

    return types.none(u, u, a, u, u, u, u, u, panel, u, start, u, out, u, u), make


@compiled
def next_rows(left):
    """The rows of the next tile, where so many are left."""
    for rows in ROWS:
        if left >= rows:
            return rows
    return ROWS[-1]


@compiled
def next_panel(left):
    """The vectors of the next panel, where so many columns are left: two and two rather than three and one."""
    vectors = left // LANES
    return 3 if vectors > 4 or vectors == 3 else 2 if vectors > 1 else 1
