"""Products and convolutions on a CPU under JAX: sparse or dense, by compiled loops, forward and backward."""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kspike.ops import reference, xla
from kspike.ops.cpu import norm_lif
from kspike.ops.jax.calls import call, calls_loops


def _reference(x: jax.Array, kernel: jax.Array, bias: jax.Array | None = None) -> jax.Array:
    return reference.linear(x, kernel, bias) if kernel.ndim == 2 else reference.convolve(x, kernel)


def _given(x: jax.Array, kernel: jax.Array, bias: jax.Array | None) -> tuple[tuple, list[tuple]]:
    """The arguments of a compiled loop, and the shapes and dtypes of its results."""
    args = (x, kernel) if bias is None else (x, kernel, bias.astype("float32"))
    return args, [((*x.shape[:-1], kernel.shape[-1]), x.dtype)]


def _dense(x: jax.Array, kernel: jax.Array, bias: jax.Array | None) -> jax.Array:
    from kspike.ops.cpu import dense

    def dense_product(args: list[np.ndarray], results: list[np.ndarray]) -> None:
        x, kernel, *bias = args
        dense.product(x, kernel, results[0], norm_lif.cores(), *bias)

    if not dense.pays(str(x.dtype), kernel.shape, math.prod(x.shape[:-1])):
        return _reference(x, kernel, bias)
    return call(dense_product, (), *_given(x, kernel, bias))[0]


def _dense_grad_x(grad_output: jax.Array, kernel: jax.Array) -> jax.Array:
    from kspike.ops.cpu import dense

    def dense_grad_x(args: list[np.ndarray], results: list[np.ndarray]) -> None:
        dense.product(*args, results[0], norm_lif.cores(), backward=True)

    shape = (*grad_output.shape[:-1], kernel.shape[-2])
    if not dense.pays(str(grad_output.dtype), kernel.shape, math.prod(grad_output.shape[:-1]), backward=True):
        like = jax.ShapeDtypeStruct(shape, grad_output.dtype)
        return jax.linear_transpose(lambda x: _reference(x, kernel), like)(grad_output)[0]
    return call(dense_grad_x, (), (grad_output, kernel), [(shape, grad_output.dtype)])[0]


def _sparse(x: jax.Array, kernel: jax.Array, bias: jax.Array | None) -> jax.Array:
    from kspike.ops.cpu import sparse

    def sparse_product(args: list[np.ndarray], results: list[np.ndarray]) -> None:
        x, kernel, *bias = args
        form = sparse.product if kernel.ndim == 2 else sparse.convolve
        form(x, kernel, results[0], norm_lif.cores(), *bias)

    return call(sparse_product, (), *_given(x, kernel, bias))[0]


def _sparse_grad_kernel(x: jax.Array, grad_output: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    from kspike.ops.cpu import sparse_gradient

    def sparse_grad_kernel(args: list[np.ndarray], results: list[np.ndarray]) -> None:
        results[0][:] = sparse_gradient.kernel_gradient(*args, shape[:-2], norm_lif.cores())

    return call(sparse_grad_kernel, shape, (x, grad_output), [(shape, "float32")])[0]


def _dense_grad_kernel(x: jax.Array, grad_output: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    if len(shape) == 2:
        rows = (a.reshape(-1, a.shape[-1]) for a in (x, grad_output))
        return jnp.matmul(next(rows).T, next(rows))
    return xla.kernel_gradient(x, grad_output, shape[:2])


def _sums(grad_output: jax.Array) -> jax.Array:
    """Sums by channel: XLA's of bfloat16 take fifty times as long."""
    from kspike.ops.cpu import moments

    def sums(args: list[np.ndarray], results: list[np.ndarray]) -> None:
        results[0][:] = moments.sums(args[0].reshape(-1, args[0].shape[-1]), norm_lif.cores())

    return call(sums, (), (grad_output,), [(grad_output.shape[-1:], "float32")])[0]


@jax.custom_vjp
def _product(x: jax.Array, kernel: jax.Array, bias: jax.Array | None, is_sparse: jax.Array | None) -> jax.Array:
    return _dense(x, kernel, bias) if is_sparse is None else jax.lax.cond(is_sparse, _sparse, _dense, x, kernel, bias)


def _forward(x: jax.Array, kernel: jax.Array, bias: jax.Array | None, is_sparse: jax.Array | None) -> tuple:
    return _product(x, kernel, bias, is_sparse), (x, kernel, bias, is_sparse)


def _backward(kept: tuple, grad_output: jax.Array) -> tuple:
    x, kernel, bias, is_sparse = kept
    branches = [functools.partial(form, shape=kernel.shape) for form in (_sparse_grad_kernel, _dense_grad_kernel)]
    branches = [lambda x, grad_output, form=form: form(x, grad_output).astype(kernel.dtype) for form in branches]
    args = x, grad_output
    grad_kernel = branches[1](*args) if is_sparse is None else jax.lax.cond(is_sparse, *branches, *args)
    grad_bias = None if bias is None else _sums(grad_output).astype(bias.dtype)
    return _dense_grad_x(grad_output, kernel), grad_kernel, grad_bias, None


_product.defvjp(_forward, _backward)


def product(x: jax.Array, kernel: jax.Array, bias: jax.Array | None = None) -> jax.Array | None:
    """The product (..., inputs) (inputs, outputs) + bias, or the convolution that keeps height and width.

    Whether x is sparse is decided at run time, by a sample of its rows. None (the fallback) where neither the sparse
    nor the dense form is worth a call.
    """
    if kernel.dtype != x.dtype or not calls_loops(x):
        return None
    from kspike.ops.cpu import dense, sparse

    kind, (inputs, outputs), places = str(x.dtype), kernel.shape[-2:], math.prod(x.shape[:-1])
    threshold = sparse.density_threshold(kind, kernel.ndim > 2, places * math.prod(kernel.shape), outputs, amx=False)
    if threshold:
        sample = sparse.sample(x.reshape(-1, inputs))
        return _product(x, kernel, bias, jnp.count_nonzero(sample) <= threshold * sample.size)
    worth = any(dense.pays(kind, kernel.shape, places, backward) for backward in (False, True))
    return _product(x, kernel, bias, None) if worth else None


@jax.custom_vjp
def _convolve(x: Any, kernel: Any) -> Any:
    return reference.convolve(x, kernel)


def _convolve_backward(kept: tuple, grad_output: Any) -> tuple:
    x, kernel = kept
    (grad_x,) = jax.vjp(lambda x: reference.convolve(x, kernel), x)[1](grad_output)
    return grad_x, xla.kernel_gradient(x, grad_output, kernel.shape[:2])


_convolve.defvjp(lambda x, kernel: (reference.convolve(x, kernel), (x, kernel)), _convolve_backward)


def convolve(x: Any, kernel: Any) -> Any | None:
    """The convolution with a gradient that is fast on a CPU, sparse where x is; None on other devices."""
    x, kernel = map(jnp.asarray, (x, kernel))
    if (y := product(x, kernel)) is not None:
        return y
    return _convolve(x, kernel) if jax.default_backend() == "cpu" else None


def linear(x: Any, kernel: Any, bias: Any) -> Any | None:
    """The product of rows by compiled loops, sparse where x is; None (the fallback) where that is not faster."""
    x, kernel = map(jnp.asarray, (x, kernel))
    return product(x, kernel, None if bias is None else jnp.asarray(bias, x.dtype))
