"""TensorFlow's own forms: the spike with a custom gradient, compiled inference, and the way into the compiled loops."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from kspike.ops import xla
from kspike.ops.cpu import norm_lif as cpu_norm_lif
from kspike.ops.tensorflow.calls import KNOWN, call, calls_python, in_xla, on_cpu
from kspike.ops.tensorflow.products import convolve, linear
from kspike.ops.tensorflow.watching import place, watched

__all__ = [
    "accelerated", "attend", "attend_chosen", "convolve", "divide", "gradients", "jit", "lif", "linear", "max_pool",
    "norm_lif", "place", "spike", "watched",
]  # fmt: skip

COMPILES = True


def spike(u: Any, surrogate: Any) -> Any:
    """1 where u >= 0; backwards the surrogate's derivative."""

    @tf.custom_gradient
    def fire(u: tf.Tensor) -> tuple:
        spikes = tf.where(u >= 0, tf.ones_like(u), tf.where(u < 0, tf.zeros_like(u), u))  # nan stays
        return spikes, lambda upstream: upstream * surrogate.derivative(u)

    return fire(tf.convert_to_tensor(u))


def with_shape(x: Any, shape: tuple) -> Any:
    """x, known to have this shape; a batch that has not raises InvalidArgumentError, which names both."""
    return tf.ensure_shape(x, shape)


def divide(y: Any, tau: Any) -> Any:
    """y / tau, correctly rounded in compiled code too.

    Grappler and XLA rewrite a division by a constant into a product with the reciprocal. In float64 that product errs
    by 2^-52, while a quotient of two float32 numbers stays at least 2^-49 (relative) away from any point where rounding
    to float32 changes: the result is exact whichever form runs.
    """
    if isinstance(tau, (int, float)) and math.frexp(tau)[0] == 0.5:  # a power of two: the product is exact, too
        return y * tf.constant(1.0 / tau, y.dtype)
    if y.dtype != tf.float32:
        return y / tf.cast(tau, y.dtype)
    return tf.cast(tf.cast(y, tf.float64) / tf.cast(tf.cast(tau, tf.float32), tf.float64), tf.float32)


def _described(x: tf.Tensor, dtype: str, **neuron: Any) -> cpu_norm_lif.Pass | None:
    """The pass by compiled loops, but for tau and the threshold; None where they cannot take it."""
    if x.dtype not in KNOWN or dtype not in ("float32", "bfloat16") or not calls_python():
        return None
    return cpu_norm_lif.described(tau=None, v_threshold=0.0, **neuron)


def _fused(
    x: tf.Tensor, given: Sequence[Any], one: cpu_norm_lif.Pass, dtype: tf.DType, *, tau: Any, v_threshold: Any,
    time_mask: Any = None,
) -> tuple:  # fmt: skip
    """Neurons by compiled loops, of x as it is or normalised: (spikes, mean, variance).

    `given` is gamma, beta, mean, variance and 1 / tau as `cpu/norm_lif` takes them. tau, the threshold and the time mask
    come into the loops as they are at each call: numbers, or tensors, as a supernet's genes make them.
    """
    half, channels = dtype == tf.bfloat16, x.shape[-1:] if one.normalised else (0,)
    numbers = (tf.float32, channels)

    def fire(x: np.ndarray, tau: np.ndarray, v_threshold: np.ndarray, mask: np.ndarray, *given: np.ndarray) -> tuple:
        out = cpu_norm_lif.empty(x.shape, "uint16" if half else "float32")
        pass_ = one.at(tau, v_threshold)
        done = cpu_norm_lif.forward(pass_, x, *given, out, cpu_norm_lif.cores(), steps=cpu_norm_lif.steps_of(mask))
        return out, *done

    def back(
        upstream: np.ndarray, x: np.ndarray, tau: np.ndarray, v_threshold: np.ndarray, mask: np.ndarray,
        *given: np.ndarray,
    ) -> tuple:  # fmt: skip
        grad = cpu_norm_lif.empty(x.shape, x.dtype)
        pass_ = one.at(tau, v_threshold)
        return grad, *cpu_norm_lif.backward(
            pass_, upstream, x, *given, grad, cpu_norm_lif.cores(), steps=cpu_norm_lif.steps_of(mask)
        )

    @tf.custom_gradient
    def run(x: tf.Tensor, tau: tf.Tensor, v_threshold: tf.Tensor, mask: tf.Tensor, *given: tf.Tensor) -> tuple:
        chosen = tau, v_threshold, mask
        spikes, mean, variance = call(fire, (x, *chosen, *given), [(dtype, x.shape), numbers, numbers])

        def backward(upstream: tf.Tensor, *_: tf.Tensor) -> tuple:
            gamma, beta, _, _, learned = given
            like = [(x.dtype, x.shape), numbers, numbers, (tf.float32, learned.shape)]
            arrays = upstream, x, *chosen, gamma, beta, mean, variance, learned
            grad, to_gamma, to_beta, to_learned = call(back, arrays, like)
            return grad, None, None, None, to_gamma, to_beta, None, None, to_learned

        return (spikes, mean, variance), backward

    empty = tf.zeros(0)
    everything = 1.0 if tau is None else tau, v_threshold, time_mask, *given
    return run(x, *(empty if a is None else tf.cast(a, tf.float32) for a in everything))


def norm_lif(
    x: Any, gamma: Any, beta: Any, moments: Any, epsilon: float, *, tau: Any, inverse_tau: Any, v_threshold: Any,
    dtype: str, time_mask: Any = None, **neuron: Any,
) -> tuple | None:  # fmt: skip
    """Normalisation and neuron in one pass each way: (spikes, mean, variance); None where that cannot be had."""
    x = tf.convert_to_tensor(x)
    one = _described(x, dtype, **neuron, epsilon=epsilon, normalised=True, batch=moments is None)
    if one is None:
        return None
    given = gamma, beta, *(moments or (None, None)), inverse_tau
    return _fused(x, given, one, tf.as_dtype(dtype), tau=tau, v_threshold=v_threshold, time_mask=time_mask)


def lif(x: Any, *, tau: Any, inverse_tau: Any, v_threshold: Any, dtype: str, **neuron: Any) -> tf.Tensor | None:
    """The neuron over axis 1 by compiled loops; None where they cannot be had."""
    x = tf.convert_to_tensor(x)
    one = _described(x, dtype, **neuron)
    if one is None:
        return None
    given = None, None, None, None, inverse_tau
    return _fused(x, given, one, tf.as_dtype(dtype), tau=tau, v_threshold=v_threshold)[0]


@tf.custom_gradient
def _attend(q: tf.Tensor, k: tf.Tensor, v: tf.Tensor) -> tuple:
    mixed = tf.matmul(_heads_first(k), _heads_first(v), transpose_a=True)

    def backward(upstream: tf.Tensor) -> list:
        upstream = _heads_first(tf.reshape(upstream, tf.shape(q)))
        to_mixed = tf.matmul(_heads_first(q), upstream, transpose_a=True)
        to_q = tf.matmul(upstream, mixed, transpose_b=True)
        to_k, to_v = tf.matmul(_heads_first(v), to_mixed, transpose_b=True), tf.matmul(_heads_first(k), to_mixed)
        return [tf.transpose(tf.cast(grad, q.dtype), (0, 1, 3, 2, 4)) for grad in (to_q, to_k, to_v)]

    return tf.transpose(tf.matmul(_heads_first(q), mixed), (0, 1, 3, 2, 4)), backward


def _heads_first(x: tf.Tensor) -> tf.Tensor:
    """(batch, time, tokens, heads, head_dim) -> (batch, time, heads, tokens, head_dim), float32."""
    return tf.cast(tf.transpose(x, (0, 1, 3, 2, 4)), tf.float32)


def _attend_in_loops(q: tf.Tensor, k: tf.Tensor, v: tf.Tensor, head_dims: tuple[int, ...], index: Any) -> tf.Tensor:
    """Attention of (batch, time, tokens, channels) by compiled loops, in either order of the products."""

    def forward(index: np.ndarray, *arrays: np.ndarray) -> list[np.ndarray]:
        from kspike.ops.cpu import heads

        y = cpu_norm_lif.empty(arrays[0].shape, "float32")
        heads.attend(arrays, head_dims[int(index)], y, cpu_norm_lif.cores())
        return [y]

    def back(index: np.ndarray, upstream: np.ndarray, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        from kspike.ops.cpu import heads

        grads = tuple(cpu_norm_lif.empty(a.shape, a.dtype) for a in arrays)
        heads.attend_back(arrays, head_dims[int(index)], upstream, grads, cpu_norm_lif.cores())
        return grads

    @tf.custom_gradient
    def run(index: tf.Tensor, *parts: tf.Tensor) -> tuple:
        (y,) = call(forward, (index, *parts), [(tf.float32, parts[0].shape)])
        like = [(a.dtype, a.shape) for a in parts]
        return y, lambda upstream: (None, *call(back, (index, tf.cast(upstream, tf.float32), *parts), like))

    return run(tf.convert_to_tensor(index), q, k, v)


def _in_loops(head_dims: tuple[int, ...], *parts: tf.Tensor) -> bool:
    """Whether the compiled loops take heads of these widths, and parts of one known type and size."""
    known = len({a.dtype for a in parts}) == 1 and parts[0].dtype in KNOWN and None not in parts[0].shape[1:]
    return known and calls_python() and not any(dim % cpu_norm_lif.attention().LEAST for dim in head_dims)


def attend_chosen(q: Any, k: Any, v: Any, head_dims: tuple[int, ...], index: Any) -> tf.Tensor | None:
    """Attention by compiled loops, which are told the heads' width as they run; None where they cannot be had."""
    parts = [tf.convert_to_tensor(a) for a in (q, k, v)]
    return _attend_in_loops(*parts, head_dims, index) if _in_loops(head_dims, *parts) else None


def attend(q: Any, k: Any, v: Any) -> tf.Tensor | None:
    """Attention by compiled loops, or as three products of matrices.

    None, for einsums, under XLA, in 64 bits, and where q k^T comes first and loops cannot be had. Without XLA an einsum
    lays out each of its operands anew, and its gradient does so once more.
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


@tf.custom_gradient
def _pool_in_xla(x: tf.Tensor) -> tuple:
    y, place = xla.pool_and_place(x)
    return y, lambda upstream: xla.pool_gradient(place, upstream, tuple(x.shape[1:3]))


@tf.custom_gradient
def _pool_in_loops(x: tf.Tensor) -> tuple:
    def pool(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        from kspike.ops.cpu import pool as cpu_pool

        n, height, width, channels = x.shape
        size = n, -(-height // 2), -(-width // 2), channels
        out, places = cpu_norm_lif.empty(size, x.dtype), cpu_norm_lif.empty(size, "uint8")
        cpu_pool.pool(x, out, places, cpu_norm_lif.cores())
        return out, places

    def back(upstream: np.ndarray, places: np.ndarray) -> np.ndarray:
        from kspike.ops.cpu import pool as cpu_pool

        grad = cpu_norm_lif.empty((len(upstream), *size), upstream.dtype)
        cpu_pool.gradient(upstream, places, grad, cpu_norm_lif.cores())
        return grad

    size = tuple(x.shape[1:])
    shape = (x.shape[0], *(-(-n // 2) for n in size[:2]), size[2])
    y, places = call(pool, (x,), [(x.dtype, shape), (tf.uint8, shape)])
    return y, lambda upstream: call(back, (upstream, places), [(x.dtype, x.shape)])[0]


def max_pool(x: Any) -> Any | None:
    """The pool by compiled loops, or as XLA compiles it well for a CPU; None on other devices and where neither runs.

    TensorFlow's own is slower, and passes over nan.
    """
    x = tf.convert_to_tensor(x)
    if on_cpu() and in_xla():
        return _pool_in_xla(x)
    return _pool_in_loops(x) if x.dtype in KNOWN and calls_python() else None


def accelerated() -> bool:
    """Whether there is another device than the CPU."""
    return bool(tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("TPU"))


def jit(fn: Callable, variables: Sequence[Any]) -> Callable:
    """tf.function, which reads and assigns variables by itself."""

    def kspike_compiled(*args: Any) -> Any:
        return fn(*args)

    return tf.function(kspike_compiled, reduce_retracing=False)


def gradients(fn: Callable, of: Sequence[Any], variables: Sequence[Any]) -> Callable:
    """tf.GradientTape under tf.function."""

    @tf.function(reduce_retracing=False)
    def kspike_compiled(*args: Any) -> tuple:
        with tf.GradientTape() as tape:
            total, aux = fn(*args)
        found = tape.gradient(total, [v.value for v in of], unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return aux, found

    return kspike_compiled
