"""JAX's own forms: the spike with a custom derivative, and compiled inference over keras Variables."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras

from kspike.ops import reference, xla
from kspike.ops.jax import products
from kspike.ops.jax.attention import attend, attend_chosen, max_pool
from kspike.ops.jax.neuron import lif, norm_lif
from kspike.ops.jax.trainer import KeepsWeights
from kspike.ops.jax.watching import place, watched

__all__ = [
    "KeepsWeights", "accelerated", "attend", "attend_chosen", "convolve", "divide", "gradients", "jit", "lif", "linear",
    "max_pool", "norm_lif", "place", "spike", "watched",
]  # fmt: skip

COMPILES = True


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _spike(u: Any, surrogate: Any) -> Any:
    return jnp.where(u >= 0, jnp.ones_like(u), jnp.where(u < 0, jnp.zeros_like(u), u))  # nan stays


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
    if (y := products.product(x, kernel)) is not None:
        return y
    return _convolve(x, kernel) if jax.default_backend() == "cpu" else None


def linear(x: Any, kernel: Any, bias: Any) -> Any | None:
    """The product of rows, by loops, over spikes alone where they are few; None where that cannot pay."""
    x, kernel = map(jnp.asarray, (x, kernel))
    return products.product(x, kernel, None if bias is None else jnp.asarray(bias, x.dtype))


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

    # the program of such a call, which the call itself then takes
    run.traced = lambda *args: compiled.trace([variable.value for variable in variables], args)  # type: ignore[attr-defined]
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
