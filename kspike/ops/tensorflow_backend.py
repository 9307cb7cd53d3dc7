"""TensorFlow's own forms: the spike with a custom gradient, and compiled inference."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from kspike.ops import reference, xla

COMPILES = True


def spike(u: Any, surrogate: Any) -> Any:
    """1 where u >= 0; backwards the surrogate's derivative."""

    @tf.custom_gradient
    def fire(u: tf.Tensor) -> tuple:
        return tf.cast(u >= 0, u.dtype), lambda upstream: upstream * surrogate.derivative(u)

    return fire(tf.convert_to_tensor(u))


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


@functools.cache
def _on_cpu() -> bool:
    return not tf.config.list_logical_devices("GPU") and not tf.config.list_logical_devices("TPU")


@tf.custom_gradient
def _max_pool(x: tf.Tensor) -> tuple:
    def backward(upstream: tf.Tensor) -> tf.Tensor:
        return xla.pool_gradient(xla.pool_and_place(x)[1], upstream, tuple(x.shape[1:3]))

    return reference.max_pool(x), backward


def max_pool(x: Any) -> Any | None:
    """The pool with a gradient that XLA compiles well for a CPU; None on other devices."""
    return _max_pool(tf.convert_to_tensor(x)) if _on_cpu() else None


def jit(fn: Callable, variables: Sequence[Any]) -> Callable:
    """tf.function, which reads and assigns variables by itself."""
    return tf.function(fn, reduce_retracing=False)


def gradients(fn: Callable, of: Sequence[Any], variables: Sequence[Any]) -> Callable:
    """tf.GradientTape under tf.function."""

    @tf.function(reduce_retracing=False)
    def run(*args: Any) -> tuple:
        with tf.GradientTape() as tape:
            total, aux = fn(*args)
        found = tape.gradient(total, [v.value for v in of], unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return aux, found

    return run
