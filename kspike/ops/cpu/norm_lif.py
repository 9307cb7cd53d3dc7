"""Normalisation and the neuron after it on a CPU's arrays, one pass each way: what the backends' fast forms share.

Arrays are NumPy's, `(batch, time, places, channels)`, float32, or bfloat16 as uint16. Arguments that a pass does not
need are empty arrays.
"""

from __future__ import annotations

import functools
import math
import os
import warnings
from typing import Any, NamedTuple

import numpy as np

from kspike import surrogate as surrogates

#: Surrogates that the way back knows, on a CPU and on a GPU; their place in it is what a kernel is told.
SURROGATES = (
    surrogates.Sigmoid, surrogates.ATan, surrogates.SoftSign, surrogates.SuperSpike, surrogates.FastSigmoid,
    surrogates.Erf, surrogates.PiecewiseQuadratic, surrogates.PiecewiseExp, surrogates.Rectangular,
)  # fmt: skip


@functools.cache
def kernels() -> Any:
    """The compiled loops, or None where numba is missing or does not work: slower, never wrong."""
    try:
        from kspike.ops.cpu import kernels as cpu_kernels

        probe = np.zeros((1, 1, 1, 1), "float32")
        neuron = np.float32(2.0), np.empty(0, "float32"), np.float32(1.0), np.float32(0.0), False, True
        cpu_kernels.fire(probe, probe[0, 0, 0], probe[0, 0, 0], neuron, probe.copy(), 1)
        return cpu_kernels
    except Exception as error:
        warnings.warn(
            f"kspike: neurons run step by step, several times slower, for numba does not work here ({error!s:.200}). "
            "pip install numba, or set KSPIKE_REFERENCE_OPS=1 to do without and without this warning.",
            stacklevel=2,
        )
        return None


@functools.cache
def attention() -> Any:
    """The compiled loops of attention, or None where there are none."""
    if kernels() is None:
        return None
    from kspike.ops.cpu import attention as cpu_attention

    return cpu_attention


def cores() -> int:
    """How many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Pass(NamedTuple):
    """The neuron's numbers, and what the normalisation before it is: none, by given moments, by the batch's own."""

    tau: float
    v_threshold: float
    v_reset: float | None
    decay_input: bool
    detach_reset: bool
    surrogate: int
    alpha: float
    epsilon: float
    normalised: bool
    batch: bool

    def at(self, tau: Any, v_threshold: Any) -> Pass:
        """The same with another time constant and threshold."""
        return self._replace(tau=float(tau), v_threshold=float(v_threshold))

    def neuron(self, learned: np.ndarray, channels: int) -> tuple:
        """As the compiled loops take it; `learned` is 1 / tau, one or one a channel, in place of tau, or empty."""
        if learned.size:
            learned = np.ascontiguousarray(np.broadcast_to(learned.reshape(-1), channels))
        fixed = np.float32(self.v_threshold), np.float32(self.v_reset or 0.0), self.v_reset is None, self.decay_input
        return np.float32(self.tau), learned, *fixed

    def affine(self, channels: int, gamma: Any, beta: Any, mean: Any, variance: Any) -> tuple:
        """(scale, shift, mean, inverse deviation) of each channel, float32."""
        if not self.normalised:
            zeros, ones = np.zeros(channels, "float32"), np.ones(channels, "float32")
            return ones, zeros, zeros, ones
        inverse = (1.0 / np.sqrt(variance.astype("float64") + self.epsilon)).astype("float32")
        scale = gamma * inverse
        return scale, beta - mean * scale, mean, inverse


def described(
    *,
    tau: Any,
    v_threshold: Any,
    v_reset: float | None,
    decay_input: bool,
    detach_reset: bool,
    surrogate: Any,
    epsilon: float = 0.0,
    normalised: bool = False,
    batch: bool = False,
) -> Pass | None:
    """The pass of a neuron and a normalisation; None where the compiled forms do not know the surrogate."""
    if type(surrogate) not in SURROGATES:
        return None
    return Pass(
        1.0 if tau is None else float(tau), float(v_threshold), v_reset, bool(decay_input), bool(detach_reset),
        SURROGATES.index(type(surrogate)), float(surrogate.alpha), epsilon, normalised, batch,
    )  # fmt: skip


def steps_of(mask: np.ndarray) -> int | None:
    """How many steps of a time mask run, the first ones; None for all, where there is no mask."""
    return int(mask.sum()) if mask.size else None


def empty(shape: tuple, dtype: Any) -> np.ndarray:
    """An array that begins on a cache line: TensorFlow and XLA copy what does not."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + 64, "uint8")
    start = -memory.ctypes.data % 64
    return memory[start : start + size].view(dtype).reshape(shape)


def _rows(one: Pass, x: np.ndarray, learned: np.ndarray) -> tuple:
    """The shape (batch, time, places, channels) in which loops take an array (batch, time, ..., channels).

    Where channels do not differ, rows are what is quick.
    """
    each, channels = math.prod(x.shape[2:]), x.shape[-1]
    if not one.normalised and learned.size <= 1 and (x.ndim == 2 or channels < 32):
        channels = each
    return (*x.shape[:2], each // channels if channels else 0, channels)


def _first(x: np.ndarray, steps: int) -> np.ndarray:
    return np.ascontiguousarray(x[:, :steps])


def forward(
    one: Pass, x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, mean: np.ndarray, variance: np.ndarray,
    learned: np.ndarray, out: np.ndarray, threads: int, start: np.ndarray | None = None, end: np.ndarray | None = None,
    steps: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Writes the spikes of x `(batch, time, ..., channels)` into `out`; returns the moments it was normalised by.

    Those are `mean` and `variance`, unless they are the batch's own. Potentials `(batch, ..., channels)`, float32, are
    v_reset, or `start`; those after the last step are written into `end`. Of the steps, the first `steps` run: the
    others enter no moment, and have no spikes.
    """
    if steps is not None and steps < x.shape[1]:
        part = np.empty((x.shape[0], steps, *x.shape[2:]), out.dtype)
        found = forward(one, _first(x, steps), gamma, beta, mean, variance, learned, part, threads, start, end)
        out[:, :steps], out[:, steps:] = part, 0
        return found
    shape = _rows(one, x, learned)
    channels = shape[-1]
    if one.batch and x.size:
        found = kernels().moments(x.reshape(-1, channels), threads)
        mean, variance = (a.astype("float32") for a in found)
    elif one.batch:
        mean, variance = np.zeros(channels, "float32"), np.ones(channels, "float32")
    scale, shift, *_ = one.affine(channels, gamma, beta, mean, variance)
    if x.size:
        neuron, ends = one.neuron(learned, channels), {"start": start, "end": end}
        given = {name: a.reshape(shape[0], *shape[2:]) for name, a in ends.items() if a is not None}
        kernels().fire(x.reshape(shape), scale, shift, neuron, out.reshape(shape), threads, **given)
    return mean, variance


def backward(
    one: Pass, upstream: np.ndarray, x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, mean: np.ndarray,
    variance: np.ndarray, learned: np.ndarray, grad: np.ndarray, threads: int, steps: int | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Writes the gradient of x into `grad`; returns those of gamma, beta and `learned`, float32, in their shapes."""
    if steps is not None and steps < x.shape[1]:
        part = np.empty((x.shape[0], steps, *x.shape[2:]), grad.dtype)
        arrays = _first(upstream, steps), _first(x, steps)
        found = backward(one, *arrays, gamma, beta, mean, variance, learned, part, threads)
        grad[:, :steps], grad[:, steps:] = part, 0
        return found
    shape = _rows(one, x, learned)
    channels = shape[-1]
    if not x.size:
        return np.zeros_like(gamma), np.zeros_like(beta), np.zeros_like(learned)
    upstream, x, grad = (a.reshape(shape) for a in (upstream, x, grad))
    affine = one.affine(channels, gamma, beta, mean, variance)
    slope = one.detach_reset, one.surrogate, np.float32(one.alpha)
    neuron = one.neuron(learned, channels)
    sums = kernels().fire_back(upstream, x, affine, neuron, slope, grad, one.normalised, threads)
    if one.normalised:  # moments that are given have no part in the gradient
        means = sums[:2] * (one.batch / (x.size // channels))
        scale, _, mean, inverse = affine
        kernels().norm_back(grad.reshape(-1, channels), x.reshape(-1, channels), scale, mean, inverse, means, threads)
    to_beta, to_gamma = (sums[i].astype("float32") if one.normalised else np.zeros_like(gamma) for i in range(2))
    to_learned = sums[2] if learned.size > 1 else sums[2].sum(keepdims=True)[: learned.size]
    return to_gamma, to_beta, to_learned.astype("float32").reshape(learned.shape)
