"""Attention without softmax under TensorFlow: by the compiled loops, or as batched products."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from kspike.ops.cpu import norm_lif as cpu_norm_lif
from kspike.ops.tensorflow.calls import KNOWN, call, calls_python, in_xla, on_cpu


@tf.custom_gradient
def _attend(q: tf.Tensor, k: tf.Tensor, v: tf.Tensor) -> tuple:
    mixed = tf.matmul(_heads_first(k), _heads_first(v), transpose_a=True)

    def backward(grad_output: tf.Tensor) -> list:
        grad_output = _heads_first(tf.reshape(grad_output, tf.shape(q)))
        grad_mixed = tf.matmul(_heads_first(q), grad_output, transpose_a=True)
        grad_q = tf.matmul(grad_output, mixed, transpose_b=True)
        grad_k, grad_v = (
            tf.matmul(_heads_first(v), grad_mixed, transpose_b=True),
            tf.matmul(_heads_first(k), grad_mixed),
        )
        return [tf.transpose(tf.cast(grad, q.dtype), (0, 1, 3, 2, 4)) for grad in (grad_q, grad_k, grad_v)]

    return tf.transpose(tf.matmul(_heads_first(q), mixed), (0, 1, 3, 2, 4)), backward


def _heads_first(x: tf.Tensor) -> tf.Tensor:
    """(batch, time, tokens, heads, head_dim) -> (batch, time, heads, tokens, head_dim), float32."""
    return tf.cast(tf.transpose(x, (0, 1, 3, 2, 4)), tf.float32)


def _attend_in_loops(q: tf.Tensor, k: tf.Tensor, v: tf.Tensor, head_dims: tuple[int, ...], index: Any) -> tf.Tensor:
    """Attention of (batch, time, tokens, channels) by compiled loops, in either order of the two products."""

    def forward(index: np.ndarray, *arrays: np.ndarray) -> list[np.ndarray]:
        from kspike.ops.cpu import heads

        y = cpu_norm_lif.empty(arrays[0].shape, "float32")
        heads.attend(arrays, head_dims[int(index)], y, cpu_norm_lif.cores())
        return [y]

    def backward(index: np.ndarray, grad_output: np.ndarray, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        from kspike.ops.cpu import heads

        grads = tuple(cpu_norm_lif.empty(a.shape, a.dtype) for a in arrays)
        heads.attend_backward(arrays, head_dims[int(index)], grad_output, grads, cpu_norm_lif.cores())
        return grads

    @tf.custom_gradient
    def run(index: tf.Tensor, *parts: tf.Tensor) -> tuple:
        (y,) = call(forward, (index, *parts), [(tf.float32, parts[0].shape)])
        like = [(a.dtype, a.shape) for a in parts]
        return y, lambda grad_output: (None, *call(backward, (index, tf.cast(grad_output, tf.float32), *parts), like))

    return run(tf.convert_to_tensor(index), q, k, v)


def _in_loops(head_dims: tuple[int, ...], *parts: tf.Tensor) -> bool:
    """Whether the compiled loops take heads of these widths, and tensors of one supported dtype and static shape."""
    known = len({a.dtype for a in parts}) == 1 and parts[0].dtype in KNOWN and None not in parts[0].shape[1:]
    return known and calls_python() and not any(dim % cpu_norm_lif.attention().HEAD_MULTIPLE for dim in head_dims)


def attend_chosen(q: Any, k: Any, v: Any, head_dims: tuple[int, ...], index: Any) -> tf.Tensor | None:
    """Attention by compiled loops, whose head width is a run-time tensor; None (the fallback) where they do not run."""
    parts = [tf.convert_to_tensor(a) for a in (q, k, v)]
    return _attend_in_loops(*parts, head_dims, index) if _in_loops(head_dims, *parts) else None


def attend(q: Any, k: Any, v: Any) -> tf.Tensor | None:
    """Attention by compiled loops, or as batched products with the heads first.

    None (the fallback, einsums) under XLA, in 64 bits, and where q k^T comes first and the loops do not run. Without
    XLA an einsum copies each of its operands to another layout, and its gradient does so again.
    """
    q, k, v = parts = [tf.convert_to_tensor(a) for a in (q, k, v)]
    if q.dtype not in KNOWN or None in q.shape[1:]:
        return None
    dim, shape = q.shape[4], (-1, *q.shape[1:3], q.shape[3] * q.shape[4])
    if _in_loops((dim,), *parts):
        return _attend_in_loops(*(tf.reshape(a, shape) for a in parts), (dim,), 0)
    if q.shape[2] <= dim or not on_cpu() or in_xla():
        return None
    return tf.reshape(_attend(q, k, v), shape)
