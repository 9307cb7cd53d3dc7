"""Products and convolutions of few spikes on a CPU under JAX: loops over what is not 0, forwards and back."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from kspike.ops import cpu_pass, reference, xla
from kspike.ops.jax_calls import call, calls_loops


def _full(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return reference.linear(x, kernel) if kernel.ndim == 2 else reference.convolve(x, kernel)


def _loops(x: jax.Array, kernel: jax.Array) -> jax.Array:
    from kspike.ops import cpu_sparse

    def spikes(args: list[np.ndarray], results: list[np.ndarray]) -> None:
        x, kernel, out = *args, results[0]
        if kernel.ndim == 2:
            x, out = x.reshape(-1, x.shape[-1]), out.reshape(-1, out.shape[-1])
        (cpu_sparse.product if kernel.ndim == 2 else cpu_sparse.convolve)(x, kernel, out, cpu_pass.cores())

    return call(spikes, (), (x, kernel), [((*x.shape[:-1], kernel.shape[-1]), x.dtype)])[0]


def _loops_back(x: jax.Array, above: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    from kspike.ops import cpu_sparse_back

    def gradient(args: list[np.ndarray], results: list[np.ndarray]) -> None:
        if len(shape) == 2:
            args = [a.reshape(-1, 1, 1, a.shape[-1]) for a in args]
        found = cpu_sparse_back.kernel_gradient(*args, shape[:-2] or (1, 1), cpu_pass.cores())
        results[0][:] = found.reshape(shape)

    return call(gradient, shape, (x, above), [(shape, "float32")])[0]


def _full_back(x: jax.Array, above: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    if len(shape) == 2:
        rows = (a.reshape(-1, a.shape[-1]) for a in (x, above))
        return jnp.matmul(next(rows).T, next(rows))
    return xla.kernel_gradient(x, above, shape[:2])


@jax.custom_vjp
def _spikes(x: jax.Array, kernel: jax.Array, few: jax.Array) -> jax.Array:
    return jax.lax.cond(few, _loops, _full, x, kernel)


def _backward(kept: tuple, above: jax.Array) -> tuple:
    x, kernel, few = kept
    (to_x,) = jax.vjp(lambda x: _full(x, kernel), x)[1](above)
    branches = [functools.partial(back, shape=kernel.shape) for back in (_loops_back, _full_back)]
    branches = [lambda x, above, back=back: back(x, above).astype(kernel.dtype) for back in branches]
    return to_x, jax.lax.cond(few, *branches, x, above), None


_spikes.defvjp(lambda x, kernel, few: (_spikes(x, kernel, few), (x, kernel, few)), _backward)


def product(x: jax.Array, kernel: jax.Array) -> jax.Array | None:
    """The product (..., inputs) (inputs, outputs), or the convolution that keeps height and width, of few spikes.

    Whether they are few is asked as the program runs, by a sample of x; None where no share of them would pay.
    """
    if kernel.dtype != x.dtype or not calls_loops(x):
        return None
    from kspike.ops import cpu_sparse

    inputs, outputs = kernel.shape[-2:]
    most = cpu_sparse.most(str(x.dtype), kernel.ndim > 2, math.prod(x.shape[:-1]) * math.prod(kernel.shape), outputs)
    if not most:
        return None
    sample = cpu_sparse.sample(x.reshape(-1, inputs))
    return _spikes(x, kernel, jnp.count_nonzero(sample) <= most * sample.size)
