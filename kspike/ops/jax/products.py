"""Products and convolutions on a CPU under JAX: in loops over what is not 0, or in full, forwards and back."""

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
    """What a loop is called with, and what it writes."""
    args = (x, kernel) if bias is None else (x, kernel, bias.astype("float32"))
    return args, [((*x.shape[:-1], kernel.shape[-1]), x.dtype)]


def _full(x: jax.Array, kernel: jax.Array, bias: jax.Array | None) -> jax.Array:
    from kspike.ops.cpu import dense

    def full(args: list[np.ndarray], results: list[np.ndarray]) -> None:
        x, kernel, *bias = args
        dense.full(x, kernel, results[0], norm_lif.cores(), *bias)

    if not dense.pays(str(x.dtype), kernel.shape, math.prod(x.shape[:-1])):
        return _reference(x, kernel, bias)
    return call(full, (), *_given(x, kernel, bias))[0]


def _to_input(above: jax.Array, kernel: jax.Array) -> jax.Array:
    from kspike.ops.cpu import dense

    def full_back(args: list[np.ndarray], results: list[np.ndarray]) -> None:
        dense.full(*args, results[0], norm_lif.cores(), back=True)

    shape = (*above.shape[:-1], kernel.shape[-2])
    if not dense.pays(str(above.dtype), kernel.shape, math.prod(above.shape[:-1]), back=True):
        return jax.linear_transpose(lambda x: _reference(x, kernel), jax.ShapeDtypeStruct(shape, above.dtype))(above)[0]
    return call(full_back, (), (above, kernel), [(shape, above.dtype)])[0]


def _loops(x: jax.Array, kernel: jax.Array, bias: jax.Array | None) -> jax.Array:
    from kspike.ops.cpu import sparse

    def spikes(args: list[np.ndarray], results: list[np.ndarray]) -> None:
        x, kernel, *bias = args
        loops = sparse.product if kernel.ndim == 2 else sparse.convolve
        loops(x, kernel, results[0], norm_lif.cores(), *bias)

    return call(spikes, (), *_given(x, kernel, bias))[0]


def _loops_back(x: jax.Array, above: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    from kspike.ops.cpu import sparse_gradient

    def gradient(args: list[np.ndarray], results: list[np.ndarray]) -> None:
        results[0][:] = sparse_gradient.kernel_gradient(*args, shape[:-2], norm_lif.cores())

    return call(gradient, shape, (x, above), [(shape, "float32")])[0]


def _full_back(x: jax.Array, above: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    if len(shape) == 2:
        rows = (a.reshape(-1, a.shape[-1]) for a in (x, above))
        return jnp.matmul(next(rows).T, next(rows))
    return xla.kernel_gradient(x, above, shape[:2])


def _sums(above: jax.Array) -> jax.Array:
    """By channel: XLA's sums of bfloat16 take fifty times as long."""
    from kspike.ops.cpu import moments

    def sums(args: list[np.ndarray], results: list[np.ndarray]) -> None:
        results[0][:] = moments.sums(args[0].reshape(-1, args[0].shape[-1]), norm_lif.cores())

    return call(sums, (), (above,), [(above.shape[-1:], "float32")])[0]


@jax.custom_vjp
def _product(x: jax.Array, kernel: jax.Array, bias: jax.Array | None, few: jax.Array | None) -> jax.Array:
    return _full(x, kernel, bias) if few is None else jax.lax.cond(few, _loops, _full, x, kernel, bias)


def _forward(x: jax.Array, kernel: jax.Array, bias: jax.Array | None, few: jax.Array | None) -> tuple:
    return _product(x, kernel, bias, few), (x, kernel, bias, few)


def _backward(kept: tuple, above: jax.Array) -> tuple:
    x, kernel, bias, few = kept
    branches = [functools.partial(back, shape=kernel.shape) for back in (_loops_back, _full_back)]
    branches = [lambda x, above, back=back: back(x, above).astype(kernel.dtype) for back in branches]
    to_kernel = branches[1](x, above) if few is None else jax.lax.cond(few, *branches, x, above)
    return _to_input(above, kernel), to_kernel, None if bias is None else _sums(above).astype(bias.dtype), None


_product.defvjp(_forward, _backward)


def product(x: jax.Array, kernel: jax.Array, bias: jax.Array | None = None) -> jax.Array | None:
    """The product (..., inputs) (inputs, outputs) + bias, or the convolution that keeps height and width.

    Whether its spikes are few is asked as the program runs, by a sample of x. None where neither few spikes nor full
    products are worth a call.
    """
    if kernel.dtype != x.dtype or not calls_loops(x):
        return None
    from kspike.ops.cpu import dense, sparse

    kind, (inputs, outputs), places = str(x.dtype), kernel.shape[-2:], math.prod(x.shape[:-1])
    most = sparse.most(kind, kernel.ndim > 2, places * math.prod(kernel.shape), outputs, units=False)
    if most:
        sample = sparse.sample(x.reshape(-1, inputs))
        return _product(x, kernel, bias, jnp.count_nonzero(sample) <= most * sample.size)
    worth = any(dense.pays(kind, kernel.shape, places, back) for back in (False, True))
    return _product(x, kernel, bias, None) if worth else None


@jax.custom_vjp
def _convolve(x: Any, kernel: Any) -> Any:
    return reference.convolve(x, kernel)


def _convolve_backward(kept: tuple, upstream: Any) -> tuple:
    x, kernel = kept
    (to_x,) = jax.vjp(lambda x: reference.convolve(x, kernel), x)[1](upstream)
    return to_x, xla.kernel_gradient(x, upstream, kernel.shape[:2])


_convolve.defvjp(lambda x, kernel: (reference.convolve(x, kernel), (x, kernel)), _convolve_backward)


def convolve(x: Any, kernel: Any) -> Any | None:
    """The convolution with a gradient that a CPU runs fast, by loops where spikes are few; None on other devices."""
    x, kernel = map(jnp.asarray, (x, kernel))
    if (y := product(x, kernel)) is not None:
        return y
    return _convolve(x, kernel) if jax.default_backend() == "cpu" else None


def linear(x: Any, kernel: Any, bias: Any) -> Any | None:
    """The product of rows, by loops, over spikes alone where they are few; None where that cannot pay."""
    x, kernel = map(jnp.asarray, (x, kernel))
    return product(x, kernel, None if bias is None else jnp.asarray(bias, x.dtype))
