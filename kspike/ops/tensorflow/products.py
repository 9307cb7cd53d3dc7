"""Sparse products and convolutions on a CPU under TensorFlow, forward and grad_kernel, by the compiled loops."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from kspike.ops import reference
from kspike.ops.cpu import norm_lif, threads
from kspike.ops.tensorflow.calls import KNOWN, call, calls_python, in_xla, on_cpu

#: Multiply-accumulates of the dense product below which a call into Python, of some 0.4 ms, costs more than it saves.
MIN_MACS = 1 << 27
#: The batch size that is assumed where it is unknown when a function is traced.
USUAL_BATCH = 32


def _widens(dtype: tf.DType) -> bool:
    """Whether products of this dtype are computed in float32: oneDNN, which TensorFlow calls, needs AVX-512 for
    bfloat16; without it TensorFlow's are scalar, many times as slow."""
    if dtype != tf.bfloat16 or not on_cpu() or in_xla() or norm_lif.kernels() is None:
        return False
    from kspike.ops.cpu import sparse

    return sparse.widens_bfloat16()


def _dense(product: Callable, *given: tf.Tensor) -> tf.Tensor:
    """product(*given); in float32, and rounded once, where TensorFlow's own is slow."""
    dtype = given[0].dtype
    if not _widens(dtype):
        return product(*given)
    return tf.cast(product(*(tf.cast(a, tf.float32) for a in given)), dtype)


def _may_pay(x: tf.Tensor, kernel: tf.Tensor) -> bool:
    """Whether the product is large enough to test its density at each call."""
    if x.dtype not in KNOWN or kernel.dtype != x.dtype or None in (*x.shape[1:], *kernel.shape):
        return False
    from kspike.ops.cpu import sparse

    places = (x.shape[0] or USUAL_BATCH) * math.prod(x.shape[1:-1])
    worth = kernel.shape[-1] % sparse.LANES == 0 and places * math.prod(kernel.shape) >= MIN_MACS
    return (worth or threads.ordered) and calls_python()


def _sparse_or_dense(
    x: tf.Tensor,
    kernel: tf.Tensor,
    sparse_form: Callable,
    dense_form: Callable,
    grad_x: Callable,
    grad_kernel: Callable,
) -> tf.Tensor:
    """dense_form(x, kernel), or sparse_form(x, kernel, out) where it is faster: decided at run time, by x's density."""
    from kspike.ops.cpu import sparse, sparse_gradient

    shape = (*x.shape[:-1], kernel.shape[-1])

    def forward(x: np.ndarray, kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if not sparse.pays(x, kernel):
            return np.array(False), np.empty((0,) * x.ndim, x.dtype)
        out = norm_lif.empty((*x.shape[:-1], kernel.shape[-1]), x.dtype)
        sparse_form(x, kernel, out, norm_lif.cores())
        return np.array(True), out

    def sparse_grad_kernel(x: np.ndarray, grad_output: np.ndarray) -> np.ndarray:
        return sparse_gradient.kernel_gradient(x, grad_output, tuple(kernel.shape[:-2]), norm_lif.cores())

    @tf.custom_gradient
    def run(x: tf.Tensor, kernel: tf.Tensor) -> tuple:
        pays, out = call(forward, (x, kernel), [(tf.bool, ()), (x.dtype, (None,) * len(shape))])
        y = tf.cond(pays, lambda: out, lambda: _dense(dense_form, x, kernel))
        y.set_shape(shape)

        def backward(grad_output: tf.Tensor) -> tuple:
            def sparse_backward() -> tf.Tensor:
                return tf.cast(
                    call(sparse_grad_kernel, (x, grad_output), [(tf.float32, kernel.shape)])[0], kernel.dtype
                )

            return _dense(grad_x, grad_output, kernel), tf.cond(
                pays, sparse_backward, lambda: _dense(grad_kernel, x, grad_output)
            )

        return y, backward

    return run(x, kernel)


def linear(x: Any, kernel: Any, bias: Any) -> tf.Tensor | None:
    """The product (..., inputs) (inputs, outputs) + bias, sparse where x is; None (the fallback) if too small."""
    x, kernel = tf.convert_to_tensor(x), tf.convert_to_tensor(kernel)
    if not _may_pay(x, kernel):
        given = (x, kernel) if bias is None else (x, kernel, tf.convert_to_tensor(bias))
        return _dense(reference.linear, *given) if all(_widens(a.dtype) for a in given) else None
    from kspike.ops.cpu import sparse

    inputs, outputs = kernel.shape

    def grad_x(grad_output: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        return tf.reshape(tf.matmul(tf.reshape(grad_output, (-1, outputs)), kernel, transpose_b=True), tf.shape(x))

    def grad_kernel(x: tf.Tensor, grad_output: tf.Tensor) -> tf.Tensor:
        return tf.matmul(tf.reshape(x, (-1, inputs)), tf.reshape(grad_output, (-1, outputs)), transpose_a=True)

    y = _sparse_or_dense(
        x, kernel, sparse.product, lambda x, kernel: reference.linear(x, kernel, None), grad_x, grad_kernel
    )
    return y if bias is None else y + tf.cast(bias, y.dtype)


def convolve(x: Any, kernel: Any) -> tf.Tensor | None:
    """The convolution that keeps height and width, sparse where x is; None (the fallback) if it is too small."""
    x, kernel = tf.convert_to_tensor(x), tf.convert_to_tensor(kernel)
    if not _may_pay(x, kernel):
        return _dense(reference.convolve, x, kernel) if _widens(x.dtype) and _widens(kernel.dtype) else None
    from kspike.ops.cpu import sparse

    usual = {"strides": [1, 1, 1, 1], "padding": "SAME"}

    def grad_x(grad_output: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        return tf.raw_ops.Conv2DBackpropInput(input_sizes=tf.shape(x), filter=kernel, out_backprop=grad_output, **usual)

    def grad_kernel(x: tf.Tensor, grad_output: tf.Tensor) -> tf.Tensor:
        sizes = kernel.shape.as_list()
        return tf.raw_ops.Conv2DBackpropFilter(input=x, filter_sizes=sizes, out_backprop=grad_output, **usual)

    return _sparse_or_dense(x, kernel, sparse.convolve, reference.convolve, grad_x, grad_kernel)
