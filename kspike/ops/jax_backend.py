"""JAX's own forms: the spike with a custom derivative, and compiled inference over keras Variables."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras

from kspike.ops import jax_sparse, reference, xla
from kspike.ops.jax_neuron import lif, norm_lif

__all__ = [
    "accelerated", "attend", "attend_chosen", "convolve", "divide", "gradients", "jit", "lif", "linear", "max_pool",
    "norm_lif", "spike",
]  # fmt: skip

COMPILES = True


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _spike(u: Any, surrogate: Any) -> Any:
    return (u >= 0).astype(u.dtype)


@_spike.defjvp
def _spike_jvp(surrogate: Any, primals: tuple, tangents: tuple) -> tuple:
    (u,), (du,) = primals, tangents
    return _spike(u, surrogate), surrogate.derivative(u) * du


def spike(u: Any, surrogate: Any) -> Any:
    """1 where u >= 0; the derivative is the surrogate's, forward and reverse."""
    return _spike(jnp.asarray(u), surrogate)


def divide(y: Any, tau: Any) -> Any:
    """y / tau, correctly rounded in compiled code too.

    XLA rewrites a division by a constant, or by anything it knows to be a broadcast scalar, into a product with the
    reciprocal, which moves a tenth of the potentials by one unit in the last place. The barrier hides where tau comes
    from; it is gone again before code is made, so it costs nothing.
    """
    return y / jax.lax.optimization_barrier(jnp.broadcast_to(jnp.asarray(tau, y.dtype), y.shape))


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
    if (y := jax_sparse.product(x, kernel)) is not None:
        return y
    return _convolve(x, kernel) if jax.default_backend() == "cpu" else None


def linear(x: Any, kernel: Any, bias: Any) -> Any | None:
    """The product of rows, by loops where spikes are few; None where that cannot pay."""
    x, kernel = map(jnp.asarray, (x, kernel))
    y = jax_sparse.product(x, kernel)
    return y if y is None or bias is None else y + jnp.asarray(bias, y.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _max_pool(x: Any, size: tuple) -> Any:
    return xla.pool_and_place(x)[0]


_max_pool.defvjp(
    lambda x, size: xla.pool_and_place(x), lambda size, place, upstream: (xla.pool_gradient(place, upstream, size),)
)


def max_pool(x: Any) -> Any | None:
    """The pool with a gradient that a CPU runs fast; None on other devices."""
    return _max_pool(jnp.asarray(x), x.shape[1:3]) if jax.default_backend() == "cpu" else None


def _by_heads(q: Any, k: Any, v: Any, dim: int) -> Any:
    """q k^T v of (batch, time, tokens, channels), heads of `dim` channels in front of tokens.

    Products of matrices with the heads first; of einsums that leave heads where they are XLA makes slower ones. What
    channels lack for a whole head is filled with zeros.
    """
    *size, channels = q.shape
    heads = -(-channels // dim)

    def heads_first(x: Any) -> Any:
        x = jnp.pad(x.astype("float32"), [(0, 0)] * 3 + [(0, heads * dim - channels)])
        return x.reshape(*size, heads, dim).swapaxes(2, 3)

    q, k, v = map(heads_first, (q, k, v))
    y = q @ (k.mT @ v) if size[2] > dim else (q @ k.mT) @ v
    return y.swapaxes(2, 3).reshape(*size, heads * dim)[..., :channels]


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _attend(q: Any, k: Any, v: Any, head_dims: tuple[int, ...], index: Any) -> Any:
    return jax.lax.switch(index, [functools.partial(_by_heads, dim=dim) for dim in head_dims], q, k, v)


def _attend_backward(head_dims: tuple[int, ...], kept: tuple, upstream: Any) -> tuple:
    """From q, k and v alone: differentiated as it stands, a switch keeps what every one of its branches would need."""
    *parts, index = kept

    def branch(dim: int) -> Callable:
        return lambda *args: jax.vjp(functools.partial(_by_heads, dim=dim), *args[:3])[1](args[3])

    return *jax.lax.switch(index, [branch(dim) for dim in head_dims], *parts, upstream), None


_attend.defvjp(
    lambda q, k, v, head_dims, index: (_attend(q, k, v, head_dims, index), (q, k, v, index)), _attend_backward
)


def attend_chosen(q: Any, k: Any, v: Any, head_dims: tuple[int, ...], index: Any) -> Any | None:
    """Attention whose heads' width an index picks: one branch of the program for each width; a CPU's, else None."""
    if jax.default_backend() != "cpu":
        return None
    return _attend(*map(jnp.asarray, (q, k, v)), head_dims, index)


def attend(q: Any, k: Any, v: Any) -> Any | None:
    """Attention with the heads first, which keeps q, k and v alone for the way back; a CPU's, else None."""
    shape = (*q.shape[:3], q.shape[3] * q.shape[4])
    return attend_chosen(*(jnp.asarray(a).reshape(shape) for a in (q, k, v)), (q.shape[4],), 0)


def accelerated() -> bool:
    """Whether arrays live on another device than the CPU."""
    return jax.default_backend() != "cpu"


def jit(fn: Callable, variables: Sequence[Any]) -> Callable:
    """jax.jit of a function of the variables' values; what it assigns is written back after the call."""

    def pure(values: list, args: tuple) -> tuple:
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))) as scope:
            out = fn(*args)
        return out, [scope.get_current_value(variable) for variable in variables]

    compiled = jax.jit(pure)

    def run(*args: Any) -> Any:
        values = [variable.value for variable in variables]
        out, after = compiled(values, args)
        for variable, old, new in zip(variables, values, after, strict=True):
            if new is not old:
                variable.assign(new)
        return out

    return run


def gradients(fn: Callable, of: Sequence[Any], variables: Sequence[Any]) -> Callable:
    """jax.grad under jax.jit, of a function of the variables' values; what it assigns is dropped."""

    def pure(values: list, others: list, args: tuple) -> tuple:
        mapping = [*zip(of, values, strict=True), *zip(variables, others, strict=True)]
        with keras.StatelessScope(state_mapping=mapping):
            return fn(*args)

    compiled = jax.jit(jax.grad(pure, has_aux=True))

    def run(*args: Any) -> tuple:
        found, aux = compiled([v.value for v in of], [v.value for v in variables], args)
        return aux, found

    return run
