"""Gradients of convolution and pooling that XLA compiles well for a CPU.

Its own are slow: under jax grad_kernel is a convolution with batch and channels exchanged, three to four times slower
than the products below at 32x32 pixels; under jax and tensorflow the pool's gradient is a scatter, three to nine times
slower than the selections below. (TensorFlow's XLA has a fast form of the first, which is used there.)
"""

from __future__ import annotations

from typing import Any

from keras import ops


def kernel_gradient(x: Any, grad_output: Any, size: tuple[int, int]) -> Any:
    """grad_kernel of `kspike.ops.convolve`: one product for each position of the kernel."""
    height, width, channels = x.shape[1:]
    padding = [((n - 1) // 2, n // 2) for n in size]
    x = ops.pad(x, [(0, 0), *padding, (0, 0)])
    rows = ops.reshape(grad_output, (-1, grad_output.shape[-1]))
    positions = [
        ops.matmul(ops.transpose(ops.reshape(x[:, i : i + height, j : j + width], (-1, channels))), rows)
        for i in range(size[0])
        for j in range(size[1])
    ]
    return ops.reshape(ops.stack(positions), (*size, channels, grad_output.shape[-1]))


def pool_and_place(x: Any) -> tuple[Any, Any]:
    """The 3x3 max-pool of `kspike.ops.max_pool`, and the index of each maximum in its window: the first of equals.

    nan wins, as in the compiled loops; a comparison alone would never pick it.
    """
    height, width = (-(-n // 2) for n in x.shape[1:3])
    padded = ops.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)], constant_values=float("-inf"))
    y, place = None, None
    for k in range(9):
        i, j = divmod(k, 3)
        shifted = padded[:, i : i + 2 * height - 1 : 2, j : j + 2 * width - 1 : 2]
        if y is None:
            y, place = shifted, ops.zeros_like(shifted, dtype="int8")
            continue
        larger = ops.logical_or(shifted > y, shifted != shifted)
        y, place = ops.where(larger, shifted, y), ops.where(larger, ops.cast(k, "int8"), place)
    return y, place


def pool_gradient(place: Any, grad_output: Any, size: tuple[int, int]) -> Any:
    """Gradient of `pool_and_place`: inputs of each parity of row and column sum over the windows that hold them.

    Row 2 a is the middle of window a alone; row 2 a + 1 is the last of window a and the first of window a + 1. So for
    columns. The sum, of at most four numbers, is in float32.
    """
    dtype, (height, width, channels) = grad_output.dtype, grad_output.shape[1:]
    after = [(0, 0), (0, 1), (0, 1), (0, 0)]
    place = ops.pad(place, after, constant_values=9)
    grad_output = ops.pad(ops.cast(grad_output, "float32"), after)
    even, odd = ((1, 0),), ((2, 0), (0, 1))

    def reached(rows: tuple, columns: tuple) -> Any:
        total = 0.0
        for i, down in rows:
            for j, right in columns:
                window = (slice(None), slice(down, down + height), slice(right, right + width))
                total = total + ops.where(place[window] == 3 * i + j, grad_output[window], 0.0)
        return total

    rows = [ops.stack([reached(rows, even), reached(rows, odd)], 3) for rows in (even, odd)]
    full = ops.reshape(ops.stack(rows, 2), (-1, 2 * height, 2 * width, channels))
    return ops.cast(full[:, : size[0], : size[1]], dtype)
