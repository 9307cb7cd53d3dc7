"""Neurons under TensorFlow: the spike with a custom gradient, and neurons with normalisation by the compiled loops."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from kspike.ops.cpu import norm_lif as cpu_norm_lif
from kspike.ops.tensorflow.calls import KNOWN, call, calls_python


def spike(u: Any, surrogate: Any) -> Any:
    """1 where u >= 0; in backward the surrogate's derivative."""

    @tf.custom_gradient
    def fire(u: tf.Tensor) -> tuple:
        spikes = tf.where(u >= 0, tf.ones_like(u), tf.where(u < 0, tf.zeros_like(u), u))  # nan stays
        return spikes, lambda grad_output: grad_output * surrogate.derivative(u)

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


def _make_spec(x: tf.Tensor, dtype: str, **neuron: Any) -> cpu_norm_lif.NormLIFSpec | None:
    """The spec for the compiled loops, without tau and the threshold; None where they do not take x."""
    if x.dtype not in KNOWN or dtype not in ("float32", "bfloat16") or not calls_python():
        return None
    return cpu_norm_lif.make_spec(tau=None, v_threshold=0.0, **neuron)


def _fused(
    x: tf.Tensor, given: Sequence[Any], spec: cpu_norm_lif.NormLIFSpec, dtype: tf.DType, *, tau: Any, v_threshold: Any,
    time_mask: Any = None,
) -> tuple:  # fmt: skip
    """Neurons by compiled loops, of x or of x normalised: (spikes, mean, variance).

    `given` is gamma, beta, mean, variance and 1 / tau as `cpu/norm_lif` takes them. tau, the threshold and the time
    mask are run-time values: numbers, or tensors, as a supernet's genes make them.
    """
    half, channels = dtype == tf.bfloat16, x.shape[-1:] if spec.normalised else (0,)
    numbers = (tf.float32, channels)

    def fire(x: np.ndarray, tau: np.ndarray, v_threshold: np.ndarray, mask: np.ndarray, *given: np.ndarray) -> tuple:
        out = cpu_norm_lif.empty(x.shape, "uint16" if half else "float32")
        bound = spec.at(tau, v_threshold)
        done = cpu_norm_lif.forward(bound, x, *given, out, cpu_norm_lif.cores(), steps=cpu_norm_lif.steps_of(mask))
        return out, *done

    def fire_backward(
        grad_output: np.ndarray, x: np.ndarray, tau: np.ndarray, v_threshold: np.ndarray, mask: np.ndarray,
        *given: np.ndarray,
    ) -> tuple:  # fmt: skip
        grad = cpu_norm_lif.empty(x.shape, x.dtype)
        bound = spec.at(tau, v_threshold)
        return grad, *cpu_norm_lif.backward(
            bound, grad_output, x, *given, grad, cpu_norm_lif.cores(), steps=cpu_norm_lif.steps_of(mask)
        )

    @tf.custom_gradient
    def run(x: tf.Tensor, tau: tf.Tensor, v_threshold: tf.Tensor, mask: tf.Tensor, *given: tf.Tensor) -> tuple:
        chosen = tau, v_threshold, mask
        spikes, mean, variance = call(fire, (x, *chosen, *given), [(dtype, x.shape), numbers, numbers])

        def backward(grad_output: tf.Tensor, *_: tf.Tensor) -> tuple:
            gamma, beta, _, _, inverse_tau = given
            like = [(x.dtype, x.shape), numbers, numbers, (tf.float32, inverse_tau.shape)]
            arrays = grad_output, x, *chosen, gamma, beta, mean, variance, inverse_tau
            grad, grad_gamma, grad_beta, grad_inverse_tau = call(fire_backward, arrays, like)
            return grad, None, None, None, grad_gamma, grad_beta, None, None, grad_inverse_tau

        return (spikes, mean, variance), backward

    empty = tf.zeros(0)
    everything = 1.0 if tau is None else tau, v_threshold, time_mask, *given
    return run(x, *(empty if a is None else tf.cast(a, tf.float32) for a in everything))


def norm_lif(
    x: Any, gamma: Any, beta: Any, moments: Any, epsilon: float, *, tau: Any, inverse_tau: Any, v_threshold: Any,
    dtype: str, time_mask: Any = None, **neuron: Any,
) -> tuple | None:  # fmt: skip
    """Normalisation and neuron in one pass forward and one backward: (spikes, mean, variance); None: the fallback."""
    x = tf.convert_to_tensor(x)
    spec = _make_spec(x, dtype, **neuron, epsilon=epsilon, normalised=True, batch=moments is None)
    if spec is None:
        return None
    given = gamma, beta, *(moments or (None, None)), inverse_tau
    return _fused(x, given, spec, tf.as_dtype(dtype), tau=tau, v_threshold=v_threshold, time_mask=time_mask)


def lif(x: Any, *, tau: Any, inverse_tau: Any, v_threshold: Any, dtype: str, **neuron: Any) -> tf.Tensor | None:
    """The neuron over axis 1 by compiled loops; None (the fallback) where they do not take x."""
    x = tf.convert_to_tensor(x)
    spec = _make_spec(x, dtype, **neuron)
    if spec is None:
        return None
    given = None, None, None, None, inverse_tau
    return _fused(x, given, spec, tf.as_dtype(dtype), tau=tau, v_threshold=v_threshold)[0]
