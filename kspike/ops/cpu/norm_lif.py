"""Normalisation and the neuron after it on NumPy arrays, one pass forward and one backward: shared by all backends.

Arrays are `(batch, time, places, channels)`, float32, or bfloat16 as uint16. Arguments that a spec does not need are
empty arrays.
"""

from __future__ import annotations

import functools
import math
import os
import warnings
from typing import Any, NamedTuple

import numpy as np

from kspike import surrogate as surrogates

#: Surrogates with compiled derivatives, on a CPU and on a GPU: the index into this tuple is the kernels' enum. The
#: formulas stand in `kspike.surrogate`; `tests/ops/test_surrogate_formulas.py` holds the kernels to them.
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


class NormLIFSpec(NamedTuple):
    """What a kernel must know of a neuron and of the normalisation before it.

    `normalised`: whether there is one; `batch`: by the batch's own moments, not given ones.
    """

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

    def at(self, tau: Any, v_threshold: Any) -> NormLIFSpec:
        """The same with another time constant and threshold."""
        return self._replace(tau=float(tau), v_threshold=float(v_threshold))

    def neuron(self, inverse_tau: np.ndarray, channels: int) -> tuple:
        """The neuron's tuple for the compiled loops; `inverse_tau` is 1 / tau, one or by channel, or empty for tau."""
        if inverse_tau.size:
            inverse_tau = np.ascontiguousarray(np.broadcast_to(inverse_tau.reshape(-1), channels))
        fixed = np.float32(self.v_threshold), np.float32(self.v_reset or 0.0), self.v_reset is None, self.decay_input
        return np.float32(self.tau), inverse_tau, *fixed

    def affine(self, channels: int, gamma: Any, beta: Any, mean: Any, variance: Any) -> tuple:
        """(scale, shift, mean, inverse deviation) of each channel, float32."""
        if not self.normalised:
            zeros, ones = np.zeros(channels, "float32"), np.ones(channels, "float32")
            return ones, zeros, zeros, ones
        inverse = (1.0 / np.sqrt(variance.astype("float64") + self.epsilon)).astype("float32")
        scale = gamma * inverse
        return scale, beta - mean * scale, mean, inverse


@functools.lru_cache(maxsize=1024)
def make_spec(
    *,
    tau: float | None,
    v_threshold: float,
    v_reset: float | None,
    decay_input: bool,
    detach_reset: bool,
    surrogate: Any,
    epsilon: float = 0.0,
    normalised: bool = False,
    batch: bool = False,
) -> NormLIFSpec | None:
    """The spec of a neuron and a normalisation; None where the surrogate has no compiled derivative.

    Made once for each neuron, of numbers: a tensor would be looked up by its identity.
    """
    if type(surrogate) not in SURROGATES:
        return None
    return NormLIFSpec(
        1.0 if tau is None else float(tau), float(v_threshold), v_reset, bool(decay_input), bool(detach_reset),
        SURROGATES.index(type(surrogate)), float(surrogate.alpha), epsilon, normalised, batch,
    )  # fmt: skip


def steps_of(mask: np.ndarray) -> int | None:
    """How many steps a time mask runs, the first ones; None (all of them) where there is no mask."""
    return int(mask.sum()) if mask.size else None


def empty(shape: tuple, dtype: Any) -> np.ndarray:
    """An array aligned to a cache line: TensorFlow and XLA copy what is not."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + 64, "uint8")
    start = -memory.ctypes.data % 64
    return memory[start : start + size].view(dtype).reshape(shape)


def _rows(spec: NormLIFSpec, x: np.ndarray, inverse_tau: np.ndarray) -> tuple:
    """The shape (batch, time, places, channels) as which the loops take an array (batch, time, ..., channels).

    Where no parameter differs by channel, places and channels may be merged into long rows, which are faster.
    """
    each, channels = math.prod(x.shape[2:]), x.shape[-1]
    if not spec.normalised and inverse_tau.size <= 1 and (x.ndim == 2 or channels < 32):
        channels = each
    return (*x.shape[:2], each // channels if channels else 0, channels)


def _first(x: np.ndarray, steps: int) -> np.ndarray:
    return np.ascontiguousarray(x[:, :steps])


def forward(
    spec: NormLIFSpec, x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, mean: np.ndarray, variance: np.ndarray,
    inverse_tau: np.ndarray, out: np.ndarray, threads: int, start: np.ndarray | None = None,
    end: np.ndarray | None = None, steps: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Writes the spikes of x `(batch, time, ..., channels)` into `out`; returns the moments it was normalised by.

    Those are `mean` and `variance`, or the batch's own. Potentials `(batch, ..., channels)`, float32, start at v_reset
    or `start`; the last ones are written into `end`. Only the first `steps` steps run: the others enter no moment, and
    have no spikes.
    """
    if steps is not None and steps < x.shape[1]:
        part = np.empty((x.shape[0], steps, *x.shape[2:]), out.dtype)
        found = forward(spec, _first(x, steps), gamma, beta, mean, variance, inverse_tau, part, threads, start, end)
        out[:, :steps], out[:, steps:] = part, 0
        return found
    shape = _rows(spec, x, inverse_tau)
    channels = shape[-1]
    if spec.batch and x.size:
        found = kernels().moments(x.reshape(-1, channels), threads)
        mean, variance = (a.astype("float32") for a in found)
    elif spec.batch:
        mean, variance = np.zeros(channels, "float32"), np.ones(channels, "float32")
    scale, shift, *_ = spec.affine(channels, gamma, beta, mean, variance)
    if x.size:
        neuron, ends = spec.neuron(inverse_tau, channels), {"start": start, "end": end}
        given = {name: a.reshape(shape[0], *shape[2:]) for name, a in ends.items() if a is not None}
        kernels().fire(x.reshape(shape), scale, shift, neuron, out.reshape(shape), threads, **given)
    return mean, variance


def backward(
    spec: NormLIFSpec, grad_output: np.ndarray, x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, mean: np.ndarray,
    variance: np.ndarray, inverse_tau: np.ndarray, grad_x: np.ndarray, threads: int, steps: int | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Writes grad_x; returns the gradients of gamma, beta and inverse_tau, float32, in their shapes."""
    if steps is not None and steps < x.shape[1]:
        part = np.empty((x.shape[0], steps, *x.shape[2:]), grad_x.dtype)
        arrays = _first(grad_output, steps), _first(x, steps)
        found = backward(spec, *arrays, gamma, beta, mean, variance, inverse_tau, part, threads)
        grad_x[:, :steps], grad_x[:, steps:] = part, 0
        return found
    shape = _rows(spec, x, inverse_tau)
    channels = shape[-1]
    if not x.size:
        return np.zeros_like(gamma), np.zeros_like(beta), np.zeros_like(inverse_tau)
    grad_output, x, grad_x = (a.reshape(shape) for a in (grad_output, x, grad_x))
    affine = spec.affine(channels, gamma, beta, mean, variance)
    slope = spec.detach_reset, spec.surrogate, np.float32(spec.alpha)
    neuron = spec.neuron(inverse_tau, channels)
    sums = kernels().fire_backward(grad_output, x, affine, neuron, slope, grad_x, spec.normalised, threads)
    if spec.normalised:  # given moments are constants: no gradient through them
        means = sums[:2] * (spec.batch / (x.size // channels))
        scale, _, mean, inverse = affine
        kernels().norm_backward(
            grad_x.reshape(-1, channels), x.reshape(-1, channels), scale, mean, inverse, means, threads
        )
    grad_beta, grad_gamma = (sums[i].astype("float32") if spec.normalised else np.zeros_like(gamma) for i in range(2))
    grad_inverse_tau = sums[2] if inverse_tau.size > 1 else sums[2].sum(keepdims=True)[: inverse_tau.size]
    return grad_gamma, grad_beta, grad_inverse_tau.astype("float32").reshape(inverse_tau.shape)
