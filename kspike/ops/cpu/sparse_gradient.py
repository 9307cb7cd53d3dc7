"""grad_kernel of sparse products and convolutions (numba).

grad_kernel = x^T grad_output. Its row for one input is the sum of the rows of grad_output where that input was not 0,
each times the input, and so is as cheap as the sparse product itself. Threads share out the inputs, and each sum runs
over the rows in their order: the result does not depend on the number of threads.
"""

from __future__ import annotations

import numpy as np

from kspike.ops.cpu.compiling import F, compiled, load
from kspike.ops.cpu.sparse import pad_outputs
from kspike.ops.cpu.sparse_intrinsics import LANES, gather_accumulate, list_nonzeros, next_vectors
from kspike.ops.cpu.threads import parallel_for

#: Rows of grad_output that are accumulated at a time: a tile of 128 columns of them stays in the L2 cache.
BLOCK = 256


@compiled
def _sort_by_input(indices, values, indptr, rows, width, around, many, row_indices, row_values, input_ptr):
    """CSR to CSC: for each of the `many` inputs, the rows where it is not 0, and its values there.

    Rows are pixels of images, or of parts of images, and are numbered as in the packed grad_output: `around` is
    (padded height, padded width, height) of each image, or part.
    """
    input_ptr[:] = 0
    for k in range(indptr[rows]):
        input_ptr[indices[k] + 1] += 1
    for c in range(many):
        input_ptr[c + 1] += input_ptr[c]
    for r in range(rows):
        pixels = around[2] * width
        image, pixel = r // pixels, r % pixels
        place = image * around[0] * around[1] + pixel // width * around[1] + pixel % width
        for k in range(indptr[r], indptr[r + 1]):
            at = input_ptr[indices[k]]
            row_indices[at], row_values[at] = place, values[k]
            input_ptr[indices[k]] = at + 1
    for c in range(many, 0, -1):
        input_ptr[c] = input_ptr[c - 1]
    input_ptr[0] = 0


@compiled
def _pack_grad_output(grad_output, first, last, top, bottom, shape, around, pads, outputs, column, lanes, buffer):
    """Packs so many columns of grad_output, of the block's images and image rows, with zero padding around."""
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
                    buffer[goal + k] = load(grad_output[source + k])


@compiled
def _gradient(x, shape, grad_output, size, outputs, grad, left, right, block):
    images, height, width, inputs = shape
    many = right - left
    images_per_block = max(1, block // (height * width))  # or a strip of one image
    strip = height if height * width <= 2 * block else max(1, block // width)
    block_rows = images_per_block * strip * width
    indices, values = np.empty(block_rows * many, np.uint32), np.empty(block_rows * many, F)
    row_indices, row_values = np.empty(block_rows * many, np.uint32), np.empty(block_rows * many, F)
    indptr, input_ptr, segments = (
        np.empty(block_rows + 1, np.uintp),
        np.empty(many + 1, np.uintp),
        np.zeros(3, np.uintp),
    )
    pads = (size[0] // 2, size[1] // 2)
    padded_width = width + size[1] - 1
    buffer = np.empty(images_per_block * (strip + size[0] - 1) * padded_width * 8 * LANES, F)
    for first in range(0, images, images_per_block):
        last = min(first + images_per_block, images)
        for top in range(0, height, strip):
            bottom = min(top + strip, height)
            around = (bottom - top + size[0] - 1, padded_width, bottom - top)
            rows = (last - first) * (bottom - top) * width
            begin = (first * height + top) * width  # where an image is cut into strips, a block is one image
            list_nonzeros(x, inputs, begin, begin + rows, indices, values, indptr, left, right)
            _sort_by_input(indices, values, indptr, rows, width, around, many, row_indices, row_values, input_ptr)
            column = 0
            while column < outputs:
                vectors = next_vectors(outputs - column)
                lanes = vectors * LANES
                packed = buffer[: (last - first) * around[0] * padded_width * lanes]
                _pack_grad_output(
                    grad_output, first, last, top, bottom, (height, width), around, pads, outputs, column, lanes, packed
                )
                for i in range(size[0]):
                    for j in range(size[1]):
                        segments[2] = ((size[0] - 1 - i) * padded_width + size[1] - 1 - j) * lanes
                        for c in range(many):
                            segments[0], segments[1] = input_ptr[c], input_ptr[c + 1] - input_ptr[c]
                            if segments[1]:
                                to = ((i * size[1] + j) * inputs + left + c) * outputs + column
                                gather_accumulate(
                                    vectors, row_indices, row_values, segments, 1, buffer, 0, lanes, grad, to, grad, to
                                )
                column += lanes


def kernel_gradient(x: np.ndarray, grad_output: np.ndarray, size: tuple[int, ...], threads: int) -> np.ndarray:
    """grad_kernel `(*size, inputs, outputs)`, float32, of a convolution or product.

    Args:
        x: the input, `(images, height, width, inputs)` of a convolution, `(..., inputs)` of a product; contiguous,
            float32, or bfloat16 as uint16.
        grad_output: `(..., outputs)`, likewise.
        size: height and width of the kernel; empty for a product.
        threads: how many threads to use.
    """
    inputs, outputs = x.shape[-1], grad_output.shape[-1]
    if spare := -outputs % LANES:
        return np.ascontiguousarray(kernel_gradient(x, pad_outputs(grad_output, spare), size, threads)[..., :outputs])
    grad = np.zeros((*size, inputs, outputs), "float32")
    flat = [a.reshape(-1) for a in (x, grad_output, grad)]
    shape, around = (x.shape, size) if size else ((x.size // max(1, inputs), 1, 1, inputs), (1, 1))

    def work(bounds: np.ndarray, first: int, last: int) -> None:
        _gradient(flat[0], shape, flat[1], around, outputs, flat[2], bounds[first], bounds[last], BLOCK)

    parallel_for(work, inputs, x.size, threads)
    return grad
