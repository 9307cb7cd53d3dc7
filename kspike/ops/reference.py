"""What each operation computes, in keras.ops alone: the fallback on every backend, and what fast forms must equal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import keras
from keras import ops

from kspike._types import Array, Currents, Frames, Heads, PerChannel, Potentials, Scalar, Signal, Spikes, Tokens


def charge(
    v: Potentials, x: Potentials, scale: Callable[[Array], Array], v_reset: float | None, decay_input: bool
) -> Potentials:
    """h[t] from v[t-1] and x[t]; `scale` divides by tau, or multiplies by a learned 1 / tau.

    Every form computes exactly this: inputs of the attention neuron are multiples of 0.125 and meet the threshold
    exactly, where x / tau, x * (1 / tau) and a fused multiply-add disagree.
    """
    rest = v if not v_reset else v - v_reset
    if decay_input:
        return v + scale(x - rest)
    return v - scale(rest) + x


def reset(h: Potentials, s: Potentials, v_threshold: float | Array, v_reset: float | None) -> Potentials:
    """v[t] after spikes `s`: hard reset to v_reset, or soft reset by the threshold where v_reset is None."""
    if v_reset is None:
        return h - s * v_threshold
    kept = (1.0 - s) * h
    return kept + s * v_reset if v_reset else kept


def lif(
    x: Currents,
    *,
    tau: float | Array | None,
    inverse_tau: Array | None,
    v_threshold: float | Array,
    v_reset: float | None,
    decay_input: bool,
    detach_reset: bool,
    surrogate: Any,
    spike: Callable,
    divide: Callable,
    v: float | Potentials | None = None,
) -> tuple[Spikes, Potentials]:
    """Runs the neuron over axis 1 of a float32 tensor: (spikes, potentials after the last step).

    It starts from v, or from v_reset; the gradient is that of the equations, step by step. `spike` and `divide` are the
    backend's: the step function with its surrogate, and a division that no compiler rewrites.
    """

    def scale(y: Potentials) -> Potentials:
        return divide(y, tau) if inverse_tau is None else y * inverse_tau

    def step(v: Potentials, x_t: Potentials) -> tuple[Potentials, Potentials]:
        h = charge(v, x_t, scale, v_reset, decay_input)
        s = spike(h - v_threshold, surrogate)
        return reset(h, ops.stop_gradient(s) if detach_reset else s, v_threshold, v_reset), s

    timesteps = x.shape[1]
    start = v_reset or 0.0 if v is None else v
    if isinstance(start, (int, float)):
        potentials = ops.full_like(x[:, 0] if timesteps != 0 else ops.sum(x, axis=1), start)
    else:
        potentials = ops.cast(start, x.dtype)
    if timesteps == 0:
        return x, potentials
    if timesteps is None:  # known only at run time
        potentials, spikes = ops.scan(step, potentials, ops.swapaxes(x, 0, 1))
        return ops.swapaxes(spikes, 0, 1), potentials
    spikes = []
    for t in range(timesteps):
        potentials, s = step(potentials, x[:, t])
        spikes.append(s)
    return ops.stack(spikes, axis=1), potentials


def level(x: Currents, levels: int, divide: Callable) -> Currents:
    """round(clip(x, 0, levels)) / levels; the gradient is 1 / levels in [0, levels], the ends too, else 0."""
    inside = ops.logical_and(ops.greater_equal(x, 0.0), ops.less_equal(x, float(levels)))
    clipped = ops.stop_gradient(ops.clip(x, 0.0, float(levels)))
    held = ops.where(inside, x, clipped)
    # exact: a number and the whole number next to it are within a factor of two, or that one is 0
    return divide(held + (ops.round(clipped) - ops.stop_gradient(held)), float(levels))


def linear(
    x: Annotated[Array, "... inputs"],
    kernel: Annotated[Array, "inputs outputs"],
    bias: Annotated[Array, "outputs"] | None = None,
) -> Annotated[Array, "... outputs"]:
    """x kernel + bias over the last axis; the bias is added, and its gradient summed, in float32 at least."""
    y = ops.matmul(x, kernel)
    if bias is None:
        return y
    dtype = keras.backend.standardize_dtype(x.dtype)
    if dtype == "float64":
        return ops.add(y, bias)
    return ops.cast(ops.add(ops.cast(y, "float32"), ops.cast(bias, "float32")), dtype)


def attend(q: Heads, k: Heads, v: Heads) -> Tokens:
    """q k^T v in float32, heads side by side."""
    tokens, heads, head_dim = q.shape[2:]
    values = v.shape[4]
    known, running = q.shape, ops.shape(q)
    size = [running[i] if known[i] is None else known[i] for i in (1, 2)]
    q, k, v = (ops.cast(a, "float32") for a in (q, k, v))
    if tokens is None or tokens * (head_dim + values) > 2 * head_dim * values:
        y = ops.einsum("btnhd,bthde->btnhe", q, ops.einsum("btnhd,btnhe->bthde", k, v))
    else:
        y = ops.einsum("bthnm,btmhe->btnhe", ops.einsum("btnhd,btmhd->bthnm", q, k), v)
    return ops.reshape(y, (-1, *size, heads * values))


def attend_chosen(q: Tokens, k: Tokens, v: Tokens, head_dims: tuple[int, ...], index: Scalar) -> Tokens:
    """q k^T v in float32, with heads of head_dims[index] channels: k^T v of all channels, masked to heads."""
    q, k, v = (ops.cast(a, "float32") for a in (q, k, v))
    dim = ops.take(ops.convert_to_tensor(head_dims, dtype="int32"), index)
    keys, values = (ops.arange(a.shape[3], dtype="int32") // (dim * (a.shape[3] // q.shape[3])) for a in (q, v))
    same = ops.cast(ops.expand_dims(keys, 1) == ops.expand_dims(values, 0), "float32")
    return ops.matmul(q, ops.matmul(ops.swapaxes(k, 2, 3), v) * same)


def batch_norm(x: Signal, gamma: PerChannel, beta: PerChannel, epsilon: float) -> tuple[Signal, PerChannel, PerChannel]:
    """Normalises the last axis by the batch's own moments; returns (y, mean, biased variance), moments in float32.

    Two passes: the shortcut E[x^2] - E[x]^2 loses the digits that decide a spike near its threshold.
    """
    y = x if keras.backend.standardize_dtype(x.dtype) == "float64" else ops.cast(x, "float32")
    gamma, beta = ops.cast(gamma, y.dtype), ops.cast(beta, y.dtype)
    mean = _mean(y)
    centred = y - mean
    variance = _mean(ops.square(centred))
    y = centred * (gamma * ops.rsqrt(variance + epsilon)) + beta
    return ops.cast(y, x.dtype), mean, variance


def _mean(x: Annotated[Array, "... channels"]) -> PerChannel:
    """The mean over all axes but the last, axis by axis from the innermost.

    TensorFlow and XLA sum sequentially: over 40,000 rows the relative error is 3e-6, over an axis at a time a tenth of
    that. Only the first of these sums reads the whole tensor.
    """
    while len(x.shape) > 1:
        x = ops.mean(x, axis=-2)
    return x


def convolve(
    x: Annotated[Array, "frames height width inputs"],
    kernel: Annotated[Array, "kernel_height kernel_width inputs outputs"],
) -> Annotated[Array, "frames height width outputs"]:
    """Convolution of stride 1 that keeps height and width."""
    y = ops.conv(x, kernel, padding="same", data_format="channels_last")
    if None in x.shape[1:3]:
        return y
    return ops.reshape(y, (-1, *x.shape[1:3], kernel.shape[-1]))  # TensorFlow gives an empty batch the input's channels


def convolve_inside(
    x: Annotated[Array, "frames height width inputs"],
    kernel: Annotated[Array, "kernel_height kernel_width inputs outputs"],
    strides: tuple[int, int],
) -> Annotated[Array, "frames out_height out_width outputs"]:
    """Convolution without zeros around."""
    return ops.conv(x, kernel, strides=list(strides), padding="valid", data_format="channels_last")


def depthwise(
    x: Frames, kernel: Annotated[Array, "kernel_height kernel_width channels 1"], strides: tuple[int, int], padding: str
) -> Frames:
    """Convolution of each channel by itself."""
    return ops.depthwise_conv(x, kernel, strides=strides, padding=padding, data_format="channels_last")


def max_pool(x: Frames, stride: int = 2) -> Frames:
    """3x3 max-pool, one pixel of padding on each side: (n, h, w, c) -> (n, ceil(h/stride), ceil(w/stride), c)."""
    drops = keras.backend.backend() == "tensorflow"
    if drops:  # TensorFlow's pool ignores nan, but not infinity, which stands for it inside
        x = ops.where(ops.isnan(x), float("inf"), x)
    x = ops.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=float("-inf"))
    y = ops.max_pool(x, 3, strides=stride, padding="valid", data_format="channels_last")
    return ops.where(y == float("inf"), float("nan"), y) if drops else y
