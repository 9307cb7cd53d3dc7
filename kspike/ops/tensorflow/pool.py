"""The max-pool under TensorFlow: by the compiled loops, or in a form that XLA compiles well for a CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from kspike.ops import xla
from kspike.ops.cpu import norm_lif as cpu_norm_lif
from kspike.ops.tensorflow.calls import KNOWN, call, calls_python, in_xla, on_cpu


@tf.custom_gradient
def _pool_in_xla(x: tf.Tensor) -> tuple:
    y, place = xla.pool_and_place(x)
    return y, lambda grad_output: xla.pool_gradient(place, grad_output, tuple(x.shape[1:3]))


@tf.custom_gradient
def _pool_in_loops(x: tf.Tensor) -> tuple:
    def pool(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        from kspike.ops.cpu import pool as cpu_pool

        n, height, width, channels = x.shape
        size = n, -(-height // 2), -(-width // 2), channels
        out, places = cpu_norm_lif.empty(size, x.dtype), cpu_norm_lif.empty(size, "uint8")
        cpu_pool.pool(x, out, places, cpu_norm_lif.cores())
        return out, places

    def backward(grad_output: np.ndarray, places: np.ndarray) -> np.ndarray:
        from kspike.ops.cpu import pool as cpu_pool

        grad_x = cpu_norm_lif.empty((len(grad_output), *size), grad_output.dtype)
        cpu_pool.gradient(grad_output, places, grad_x, cpu_norm_lif.cores())
        return grad_x

    size = tuple(x.shape[1:])
    shape = (x.shape[0], *(-(-n // 2) for n in size[:2]), size[2])
    y, places = call(pool, (x,), [(x.dtype, shape), (tf.uint8, shape)])
    return y, lambda grad_output: call(backward, (grad_output, places), [(x.dtype, x.shape)])[0]


def max_pool(x: Any) -> Any | None:
    """The pool by compiled loops, or in a form that XLA compiles well for a CPU; None (the fallback) on other devices.

    TensorFlow's own is slower, and ignores nan.
    """
    x = tf.convert_to_tensor(x)
    if on_cpu() and in_xla():
        return _pool_in_xla(x)
    return _pool_in_loops(x) if x.dtype in KNOWN and calls_python() else None
