"""Multiplies a few rows by a panel of columns, all sums in registers: the heart of full products (AVX-512)."""

from __future__ import annotations

from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from kspike.ops.cpu_adding import LANES, write
from kspike.ops.cpu_compiling import compiled

binding.initialize_native_asmparser()  # bfloat16's instruction is written by name: LLVM renamed its own


def _multiplication(rows: int, vectors: int) -> Any:
    """Makes the loop for so many rows and so many vectors of columns: 8 and 3 take 24 of 32 registers."""

    @intrinsic
    def multiply(typing, a, at, stride, length, gap, count, panel, begin, start, column, out, to, outputs):
        """out[to + r outputs + c] = start[column + c] + a sum over i < count and k < length.

        Of a[at + r stride + i gap + k] panel[begin + (i length + k) columns + c]. bfloat16, as uint16, is multiplied in
        pairs: k and k + 1 lie side by side for each column, length is even, and a sum goes through float32 as the
        processor's own instruction has it.
        """
        u = types.uintp
        kinds = {0: a, 6: panel, 8: start, 10: out}
        half = a.dtype == types.uint16

        def make(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            arrays = {i: make_array(kind)(context, builder, args[i]).data for i, kind in kinds.items()}
            at, stride, length, gap, count = args[1:6]
            begin, column, to, outputs = args[7], args[9], args[11], args[12]
            vector, lanes = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(ir.IntType(32), LANES)
            kind, one = (lanes, ir.IntType(32)) if half else (vector, ir.FloatType())
            together = 2 if half else 1

            def whole(number: int) -> Any:
                return ir.Constant(stride.type, number)

            def read(i: int, place: Any, kind: Any) -> Any:
                there = builder.bitcast(builder.gep(arrays[i], [place]), kind.as_pointer())
                return builder.load(there, align=2 if half else 4)

            starts = [read(8, builder.add(column, whole(k * LANES)), vector) for k in range(vectors)]
            sums = [[cgutils.alloca_once_value(builder, x) for x in starts] for _ in range(rows)]

            def added(total: Any, x: Any, y: Any) -> Any:
                if half:
                    shape = ir.FunctionType(vector, [vector, lanes, lanes])
                    return builder.asm(shape, "vdpbf16ps $3, $2, $0", "=v,0,v,v", [total, x, y], False)
                term = builder.fmul(x, y, flags=("contract",))
                return builder.fadd(total, term, flags=("contract",))

            panel_at = cgutils.alloca_once_value(builder, begin)
            with cgutils.for_range(builder, count) as outer:
                first = builder.add(at, builder.mul(outer.index, gap))
                with cgutils.for_range(builder, builder.udiv(length, whole(together))) as loop:
                    place = builder.load(panel_at)
                    columns = [read(6, builder.add(place, whole(k * LANES * together)), kind) for k in range(vectors)]
                    builder.store(builder.add(place, whole(vectors * LANES * together)), panel_at)
                    k = builder.add(first, builder.mul(loop.index, whole(together)))
                    for r in range(rows):
                        x = read(0, builder.add(k, builder.mul(stride, whole(r))), one)
                        x = builder.insert_element(ir.Constant(kind, ir.Undefined), x, ir.Constant(ir.IntType(32), 0))
                        x = builder.shuffle_vector(x, x, ir.Constant(lanes, [0] * LANES))
                        for each, y in zip(sums[r], columns, strict=True):
                            builder.store(added(builder.load(each), x, y), each)
            for r in range(rows):
                for k, each in enumerate(sums[r]):
                    place = builder.add(to, builder.add(builder.mul(outputs, whole(r)), whole(k * LANES)))
                    write(builder, arrays[10], out.dtype, place, builder.load(each))
            return context.get_dummy_value()

        return types.none(a, u, u, u, u, u, panel, u, start, u, out, u, u), make

    return multiply


_eight_one, _eight_two, _eight_three = (_multiplication(8, vectors) for vectors in (1, 2, 3))
_four_one, _four_two, _four_three = (_multiplication(4, vectors) for vectors in (1, 2, 3))
_one_one, _one_two, _one_three = (_multiplication(1, vectors) for vectors in (1, 2, 3))


@compiled
def rows_of(left):
    """How many rows are taken next, where so many are left."""
    return 8 if left >= 8 else 4 if left >= 4 else 1


@compiled
def panel_of(left):
    """How many vectors the next panel has, where so many columns are left: two and two rather than three and one."""
    vectors = left // LANES
    return 3 if vectors > 4 or vectors == 3 else 2 if vectors > 1 else 1


@compiled
def multiply(rows, vectors, a, at, stride, length, gap, count, panel, begin, start, column, out, to, outputs):
    if rows == 8:
        if vectors == 3:
            _eight_three(a, at, stride, length, gap, count, panel, begin, start, column, out, to, outputs)
        elif vectors == 2:
            _eight_two(a, at, stride, length, gap, count, panel, begin, start, column, out, to, outputs)
        else:
            _eight_one(a, at, stride, length, gap, count, panel, begin, start, column, out, to, outputs)
    elif rows == 4:
        if vectors == 3:
            _four_three(a, at, stride, length, gap, count, panel, begin, start, column, out, to, outputs)
        elif vectors == 2:
            _four_two(a, at, stride, length, gap, count, panel, begin, start, column, out, to, outputs)
        else:
            _four_one(a, at, stride, length, gap, count, panel, begin, start, column, out, to, outputs)
    elif vectors == 3:
        _one_three(a, at, stride, length, gap, count, panel, begin, start, column, out, to, outputs)
    elif vectors == 2:
        _one_two(a, at, stride, length, gap, count, panel, begin, start, column, out, to, outputs)
    else:
        _one_one(a, at, stride, length, gap, count, panel, begin, start, column, out, to, outputs)
