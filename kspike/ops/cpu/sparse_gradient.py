"""The kernel's gradient of products and convolutions of few spikes: rows of the gradient above, added up (numba).

The gradient of a kernel's rows for one input is the sum of the rows above wherever that input was not 0, and so is as
cheap as the product itself. Inputs are shared out between threads, and each sum goes through the rows in their order:
the result does not depend on the number of threads.
"""

from __future__ import annotations

import numpy as np

from kspike.ops.cpu.compiling import F, compiled, load
from kspike.ops.cpu.sparse import filled
from kspike.ops.cpu.sparse_intrinsics import LANES, add_up, listed, vectors_of
from kspike.ops.cpu.threads import run

#: Places whose rows of the gradient above are added up at a time: 128 numbers of each stay in the second-level cache.
BLOCK = 256


@compiled
def _by_input(places, values, starts, rows, width, around, many, where, found, begins):
    """Sorts lists of rows by input: where each of `many` inputs is not 0, and what is there.

    Rows are pixels of images, or parts of images, whose neighbours make each `around` places with `around[1]` in a row.
    """
    begins[:] = 0
    for k in range(starts[rows]):
        begins[places[k] + 1] += 1
    for c in range(many):
        begins[c + 1] += begins[c]
    for r in range(rows):
        pixels = around[2] * width
        image, pixel = r // pixels, r % pixels
        place = image * around[0] * around[1] + pixel // width * around[1] + pixel % width
        for k in range(starts[r], starts[r + 1]):
            at = begins[places[k]]
            where[at], found[at] = place, values[k]
            begins[places[k]] = at + 1
    for c in range(many, 0, -1):
        begins[c] = begins[c - 1]
    begins[0] = 0


@compiled
def _packed(above, first, last, top, bottom, shape, around, pads, outputs, column, lanes, buffer):
    """Copies so many columns of the gradient above, in the block's images and image rows, with zeros around."""
    height, width = shape
    count = np.uintp(lanes)
    if pads[0] or pads[1] or around[1] > width:
        buffer[:] = F(0)
    for image in range(first, last):
        for row in range(max(0, top - pads[0]), min(height, bottom + around[0] - (bottom - top) - pads[0])):
            to = ((image - first) * around[0] + row - top + pads[0]) * around[1] + pads[1]
            at = (image * height + row) * width
            for c in range(width):
                goal, source = np.uintp((to + c) * lanes), np.uintp((at + c) * outputs + column)
                for k in range(count):
                    buffer[goal + k] = load(above[source + k])


@compiled
def _gradient(x, shape, above, size, outputs, grad, left, right, block):
    images, height, width, inputs = shape
    many = right - left
    together = max(1, block // (height * width))  # images at a time, or a part of one
    strip = height if height * width <= 2 * block else max(1, block // width)
    room = together * strip * width
    places, values = np.empty(room * many, np.uint32), np.empty(room * many, F)
    where, found = np.empty(room * many, np.uint32), np.empty(room * many, F)
    starts, begins, parts = np.empty(room + 1, np.uintp), np.empty(many + 1, np.uintp), np.zeros(3, np.uintp)
    pads = (size[0] // 2, size[1] // 2)
    wide = width + size[1] - 1
    buffer = np.empty(together * (strip + size[0] - 1) * wide * 8 * LANES, F)
    for first in range(0, images, together):
        last = min(first + together, images)
        for top in range(0, height, strip):
            bottom = min(top + strip, height)
            around = (bottom - top + size[0] - 1, wide, bottom - top)
            rows = (last - first) * (bottom - top) * width
            begin = (first * height + top) * width  # a part of an image is of one image
            listed(x, inputs, begin, begin + rows, places, values, starts, left, right)
            _by_input(places, values, starts, rows, width, around, many, where, found, begins)
            column = 0
            while column < outputs:
                vectors = vectors_of(outputs - column)
                lanes = vectors * LANES
                held = buffer[: (last - first) * around[0] * wide * lanes]
                _packed(above, first, last, top, bottom, (height, width), around, pads, outputs, column, lanes, held)
                for i in range(size[0]):
                    for j in range(size[1]):
                        parts[2] = ((size[0] - 1 - i) * wide + size[1] - 1 - j) * lanes
                        for c in range(many):
                            parts[0], parts[1] = begins[c], begins[c + 1] - begins[c]
                            if parts[1]:
                                to = ((i * size[1] + j) * inputs + left + c) * outputs + column
                                add_up(vectors, where, found, parts, 1, buffer, 0, lanes, grad, to, grad, to)
                column += lanes


def kernel_gradient(x: np.ndarray, above: np.ndarray, size: tuple[int, ...], threads: int) -> np.ndarray:
    """The gradient of a kernel `(*size, inputs, outputs)`, float32, by that of the convolution's, or product's, result.

    Args:
        x: what was convolved, `(images, height, width, inputs)`, or multiplied, `(..., inputs)`; contiguous, float32,
            or bfloat16 as uint16.
        above: the gradient of the result, `(..., outputs)`, likewise.
        size: height and width of the kernel, which keeps an image's; none for a product.
        threads: how many threads to use.
    """
    inputs, outputs = x.shape[-1], above.shape[-1]
    if spare := -outputs % LANES:
        return np.ascontiguousarray(kernel_gradient(x, filled(above, spare), size, threads)[..., :outputs])
    grad = np.zeros((*size, inputs, outputs), "float32")
    flat = [a.reshape(-1) for a in (x, above, grad)]
    shape, around = (x.shape, size) if size else ((x.size // max(1, inputs), 1, 1, inputs), (1, 1))

    def work(bounds: np.ndarray, first: int, last: int) -> None:
        _gradient(flat[0], shape, flat[1], around, outputs, flat[2], bounds[first], bounds[last], BLOCK)

    run(work, inputs, x.size, threads)
    return grad
