"""The max-pool under JAX: by the compiled loops, else a form that XLA compiles well for a CPU."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kspike.ops import xla
from kspike.ops.cpu import norm_lif
from kspike.ops.jax.calls import call, calls_loops


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _max_pool(x: Any, size: tuple) -> Any:
    return _pool_and_place(x)[0]


def _pool_and_place(x: Any) -> tuple:
    if not calls_loops(x):
        return xla.pool_and_place(x)

    def pool(args: list[np.ndarray], results: list[np.ndarray]) -> None:
        from kspike.ops.cpu import pool as cpu_pool

        cpu_pool.pool(args[0], *results, norm_lif.cores())

    shape = (x.shape[0], *(-(-n // 2) for n in x.shape[1:3]), x.shape[3])
    return tuple(call(pool, (), (x,), [(shape, x.dtype), (shape, "uint8")]))


def _pool_backward(size: tuple, place: Any, grad_output: Any) -> tuple:
    if place.dtype != "uint8":
        return (xla.pool_gradient(place, grad_output, size),)

    def pool_backward(args: list[np.ndarray], results: list[np.ndarray]) -> None:
        from kspike.ops.cpu import pool as cpu_pool

        cpu_pool.gradient(*args, results[0], norm_lif.cores())

    shape = (grad_output.shape[0], *size, grad_output.shape[3])
    return tuple(call(pool_backward, (), (grad_output, place), [(shape, grad_output.dtype)]))


_max_pool.defvjp(lambda x, size: _pool_and_place(x), _pool_backward)


def max_pool(x: Any) -> Any | None:
    """The pool with a gradient that is fast on a CPU; None (the fallback) on other devices."""
    return _max_pool(jnp.asarray(x), x.shape[1:3]) if jax.default_backend() == "cpu" else None
