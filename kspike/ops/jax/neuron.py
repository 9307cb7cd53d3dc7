"""Neurons, and normalisation with the neuron after it, under JAX: the compiled CPU loops, and the spike by itself."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kspike.ops.cpu import norm_lif as cpu_norm_lif
from kspike.ops.jax.calls import KNOWN, call, calls_loops


def _make_spec(x: jax.Array, dtype: str, **neuron: Any) -> cpu_norm_lif.NormLIFSpec | None:
    """The spec for the compiled loops, without tau and the threshold; None where they do not take x."""
    if dtype not in KNOWN or not calls_loops(x):
        return None
    return cpu_norm_lif.make_spec(tau=None, v_threshold=0.0, **neuron)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _fused(
    spec: cpu_norm_lif.NormLIFSpec, dtype: str, x: Any, tau: Any, v_threshold: Any, mask: Any, *given: Any
) -> list:
    """[spikes, mean, variance]; `given` is gamma, beta, mean, variance and 1 / tau as `cpu/norm_lif` takes them."""

    def fire(args: list[np.ndarray], results: list[np.ndarray]) -> None:
        x, tau, v_threshold, mask, *given = args
        bound = spec.at(tau, v_threshold)
        results[1][:], results[2][:] = cpu_norm_lif.forward(
            bound, x, *given, results[0], cpu_norm_lif.cores(), steps=cpu_norm_lif.steps_of(mask)
        )

    moments = ((x.shape[-1],) if spec.normalised else (0,)), "float32"
    return call(fire, (spec, dtype), (x, tau, v_threshold, mask, *given), [(x.shape, dtype), moments, moments])


def _fused_backward(spec: cpu_norm_lif.NormLIFSpec, dtype: str, kept: tuple, grad_output: list) -> tuple:
    x, tau, v_threshold, mask, gamma, beta, mean, variance, inverse_tau = kept

    def fire_backward(args: list[np.ndarray], results: list[np.ndarray]) -> None:
        grad_output, x, tau, v_threshold, mask, *given = args
        bound = spec.at(tau, v_threshold)
        found = cpu_norm_lif.backward(
            bound, grad_output, x, *given, results[0], cpu_norm_lif.cores(), steps=cpu_norm_lif.steps_of(mask)
        )
        for out, a in zip(results[1:], found, strict=True):
            out[:] = a

    like = [(a.shape, a.dtype) for a in (x, gamma, beta, inverse_tau)]
    grad_x, grad_gamma, grad_beta, grad_inverse_tau = call(fire_backward, (spec, dtype), (grad_output[0], *kept), like)
    return grad_x, None, None, None, grad_gamma, grad_beta, None, None, grad_inverse_tau


def _fused_forward(spec: cpu_norm_lif.NormLIFSpec, dtype: str, *args: Any) -> tuple:
    spikes, mean, variance = _fused(spec, dtype, *args)
    x, tau, v_threshold, mask, gamma, beta, _, _, inverse_tau = args
    return [spikes, mean, variance], (x, tau, v_threshold, mask, gamma, beta, mean, variance, inverse_tau)


_fused.defvjp(_fused_forward, _fused_backward)


def _run(spec: cpu_norm_lif.NormLIFSpec, dtype: str, x: jax.Array, *rest: Any) -> list:
    empty = jnp.zeros(0, "float32")
    return _fused(spec, dtype, x, *(empty if a is None else jnp.asarray(a, "float32") for a in rest))


def norm_lif(
    x: Any, gamma: Any, beta: Any, moments: Any, epsilon: float, *, tau: Any, inverse_tau: Any, v_threshold: Any,
    dtype: str, time_mask: Any = None, **neuron: Any,
) -> list | None:  # fmt: skip
    """Normalisation and neuron in one pass forward and one backward: (spikes, mean, variance); None: the fallback."""
    x = jnp.asarray(x)
    spec = _make_spec(x, dtype, **neuron, epsilon=epsilon, normalised=True, batch=moments is None)
    if spec is None:
        return None
    given = gamma, beta, *(moments or (None, None)), inverse_tau
    return _run(spec, dtype, x, 1.0 if tau is None else tau, v_threshold, time_mask, *given)


def lif(x: Any, *, tau: Any, inverse_tau: Any, v_threshold: Any, dtype: str, **neuron: Any) -> jax.Array | None:
    """The neuron over axis 1 by compiled loops; None (the fallback) where they do not take x."""
    x = jnp.asarray(x)
    spec = _make_spec(x, dtype, **neuron)
    if spec is None:
        return None
    given = None, None, None, None, inverse_tau
    return _run(spec, dtype, x, 1.0 if tau is None else tau, v_threshold, None, *given)[0]


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _spike(u: Any, surrogate: Any) -> Any:
    return jnp.where(u >= 0, jnp.ones_like(u), jnp.where(u < 0, jnp.zeros_like(u), u))  # nan stays


@_spike.defjvp
def _spike_jvp(surrogate: Any, primals: tuple, tangents: tuple) -> tuple:
    (u,), (du,) = primals, tangents
    return _spike(u, surrogate), surrogate.derivative(u) * du


def spike(u: Any, surrogate: Any) -> Any:
    """1 where u >= 0; its derivative is the surrogate's, in forward and reverse mode."""
    return _spike(jnp.asarray(u), surrogate)


def divide(y: Any, tau: Any) -> Any:
    """y / tau, correctly rounded in compiled code too.

    XLA rewrites a division by a constant, or by anything it knows to be a broadcast scalar, into a product with the
    reciprocal, which moves a tenth of the potentials by one unit in the last place. The barrier hides where tau comes
    from; it is removed before code generation, so it costs nothing.
    """
    return y / jax.lax.optimization_barrier(jnp.broadcast_to(jnp.asarray(tau, y.dtype), y.shape))
