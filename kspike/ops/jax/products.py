"""Products and convolutions on a CPU under JAX: sparse or dense, by compiled loops, forward and backward."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import itertools
import math
from collections.abc import Iterator
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
    if jax.default_backend() != "cpu":
        return None
    return _convolve_inside(_around(x, kernel), kernel, (1, 1)) if _IN_BRANCH.get() else _convolve(x, kernel)


_IN_BRANCH = contextvars.ContextVar("in_branch", default=False)


@contextlib.contextmanager
def branch() -> Iterator[None]:
    """Within it what is traced stands in a branch of a switch: see `convolve_inside`."""
    token = _IN_BRANCH.set(True)
    try:
        yield
    finally:
        _IN_BRANCH.reset(token)


def _around(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """x with the zeros around that keep its height and width."""
    sides = [((side - 1) // 2, side // 2) for side in kernel.shape[:2]]
    return jnp.pad(x, ((0, 0), *sides, (0, 0)))


def _taps(x: jax.Array, sides: tuple[int, ...], strides: tuple[int, int]) -> Iterator[tuple[int, int, jax.Array]]:
    """(row, column, what x has there for each output) of every number of a kernel."""
    ends = [size - side + 1 for size, side in zip(x.shape[1:3], sides, strict=True)]
    for i, j in itertools.product(*map(range, sides)):
        yield i, j, x[:, i : i + ends[0] : strides[0], j : j + ends[1] : strides[1]]


# What both keep for their way back is x and kernel, and no copies of x.
@functools.partial(jax.checkpoint, static_argnums=2)
def _convolve_inside(x: jax.Array, kernel: jax.Array, strides: tuple[int, int]) -> jax.Array:
    columns = jnp.concatenate([tap for _, _, tap in _taps(x, kernel.shape[:2], strides)], axis=-1)
    return columns @ kernel.reshape(-1, kernel.shape[-1])


@functools.partial(jax.checkpoint, static_argnums=2)
def _depthwise(x: jax.Array, kernel: jax.Array, strides: tuple[int, int]) -> jax.Array:
    wide = kernel[..., 0].astype("float32")
    return sum(tap * wide[i, j] for i, j, tap in _taps(x, kernel.shape[:2], strides)).astype(x.dtype)


def convolve_inside(x: Any, kernel: Any, strides: tuple[int, int]) -> Any | None:
    """As one product of patches, on a CPU; None on other devices.

    XLA's own convolution takes 1 to 2 times as long there, and inside a branch of a switch, where it is compiled to
    plain loops, 15 to 50 times.
    """
    on_cpu = jax.default_backend() == "cpu"
    return _convolve_inside(jnp.asarray(x), jnp.asarray(kernel), strides) if on_cpu else None


def depthwise(x: Any, kernel: Any, strides: tuple[int, int], padding: str) -> Any | None:
    """As a sum of shifted products, on a CPU; None on other devices. XLA's own takes 1 to 5 times as long there.

    See `convolve_inside` on branches.
    """
    if jax.default_backend() != "cpu" or kernel.shape[-1] != 1:
        return None
    x, kernel = jnp.asarray(x), jnp.asarray(kernel)
    return _depthwise(_around(x, kernel) if padding == "same" else x, kernel, strides)


def linear(x: Any, kernel: Any, bias: Any) -> Any | None:
    """The product of rows by compiled loops, sparse where x is; None (the fallback) where that is not faster."""
    x, kernel = map(jnp.asarray, (x, kernel))
    return product(x, kernel, None if bias is None else jnp.asarray(bias, x.dtype))
