"""How functions run under TensorFlow: tf.function, gradients, devices, static shapes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf


def with_shape(x: Any, shape: tuple) -> Any:
    """x with this static shape; a batch of another raises InvalidArgumentError, which names both."""
    return tf.ensure_shape(x, shape)


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
