"""The neuron's backward pass as compiled loops: potentials are recomputed, then gradients run from last step to first.

Loops are short for the reason given in `cpu/neuron`; the sigmoid with a detached reset has a fused one.
"""

from __future__ import annotations

import functools

import numpy as np

from kspike.ops.cpu.compiling import F, compiled, float_of, load, store
from kspike.ops.cpu.neuron import charge, reset, usual_charge
from kspike.ops.cpu.threads import BLOCK, MAX_CHUNKS, fold, parallel_for


@functools.partial(compiled, fastmath={"contract"})
def _exp(x):
    """e^x to 2 units in the last place, in operations that vectorise (Cephes' range reduction and polynomial).

    With fused multiply-adds where the processor has them: no spike depends on it, and it is half of the backward time.
    """
    x = min(max(x, F(-87.0)), F(88.0))
    k = np.floor(x * F(1.44269504) + F(0.5))
    f = x - k * F(0.693359375) + k * F(2.12194440e-4)
    p = F(1.9875691500e-4)
    p = p * f + F(1.3981999507e-3)
    p = p * f + F(8.3334519073e-3)
    p = p * f + F(4.1665795894e-2)
    p = p * f + F(1.6666665459e-1)
    p = p * f + F(5.0000001201e-1)
    return (p * f * f + f + F(1.0)) * float_of(np.uint32((np.int32(k) + np.int32(127)) << np.int32(23)))


@compiled
def _slopes(kind, alpha, h, threshold, out):
    """The surrogate's derivative at h - threshold, for a row; `kind` is the index into `cpu/norm_lif.SURROGATES`.

    The formulas are those of `kspike.surrogate`; a test holds each to it.
    """
    n = h.shape[0]
    if kind == 0:
        for c in range(n):
            s = F(1) / (F(1) + _exp(-alpha * (h[c] - threshold)))
            out[c] = alpha * s * (F(1) - s)
    elif kind == 1:
        for c in range(n):
            z = F(np.pi / 2) * alpha * (h[c] - threshold)
            out[c] = alpha / F(2) / (F(1) + z * z)
    elif kind == 2:
        for c in range(n):
            z = F(1) / alpha + abs(h[c] - threshold)
            out[c] = F(1) / (F(2) * alpha * z * z)
    elif kind == 3:
        for c in range(n):
            z = F(1) + abs(h[c] - threshold)
            out[c] = alpha / (z * z)
    elif kind == 4:
        for c in range(n):
            z = F(1) + alpha * abs(h[c] - threshold)
            out[c] = F(1) / (z * z)
    elif kind == 5:
        for c in range(n):
            z = alpha * (h[c] - threshold)
            out[c] = alpha / F(np.sqrt(np.pi)) * _exp(-(z * z))
    elif kind == 6:
        for c in range(n):
            out[c] = max(alpha - alpha * alpha * abs(h[c] - threshold), F(0))
    elif kind == 7:
        for c in range(n):
            out[c] = alpha / F(2) * _exp(-alpha * abs(h[c] - threshold))
    else:
        for c in range(n):
            out[c] = alpha if abs(h[c] - threshold) <= F(0.5) / alpha else F(0)


@compiled
def _grad_potential(grad_output, h, slope, threshold, rest, soft, detach_reset, grad_v):
    """In place: d loss / d v[t] of a row -> d loss / d h[t]."""
    n = h.shape[0]
    if soft:
        if detach_reset:
            for c in range(n):
                grad_v[c] += load(grad_output[c]) * slope[c]
        else:
            for c in range(n):
                grad_v[c] = load(grad_output[c]) * slope[c] + grad_v[c] * (F(1) - threshold * slope[c])
    elif detach_reset:
        for c in range(n):
            grad_v[c] = load(grad_output[c]) * slope[c] + (F(0) if h[c] >= threshold else grad_v[c])
    else:
        for c in range(n):
            kept = F(0) if h[c] >= threshold else grad_v[c]
            grad_v[c] = load(grad_output[c]) * slope[c] + kept + grad_v[c] * (rest - h[c]) * slope[c]


@compiled
def _grad_inverse_tau(grad_v, x, scale, shift, v, rest, decay_input, total):
    """Adds a row of d loss / d (1 / tau), from d loss / d h[t] and v[t-1]."""
    if decay_input:
        for c in range(grad_v.shape[0]):
            total[c] += grad_v[c] * ((load(x[c]) * scale[c] + shift[c]) - (v[c] - rest))
    else:
        for c in range(grad_v.shape[0]):
            total[c] -= grad_v[c] * (v[c] - rest)


@compiled
def _grad_input(grad_v, tau, inverse_tau, decay_input, grad_x, grad_y):
    """In place: d loss / d h[t] of a row -> d loss / d v[t-1]; the input's gradient in grad_x, in float32 in grad_y."""
    if inverse_tau.shape[0]:
        for c in range(grad_v.shape[0]):
            part = grad_v[c] * inverse_tau[c]
            q = part if decay_input else grad_v[c]
            grad_y[c] = q
            store(grad_x, c, q)
            grad_v[c] -= part
    elif decay_input:
        for c in range(grad_v.shape[0]):
            q = grad_v[c] / tau
            grad_y[c] = q
            store(grad_x, c, q)
            grad_v[c] -= q
    else:
        for c in range(grad_v.shape[0]):
            q = grad_v[c]
            grad_y[c] = q
            store(grad_x, c, q)
            grad_v[c] = q - q / tau


@compiled
def _usual_backward(alpha, grad_output, h, threshold, tau, grad_v, grad_x):
    """`_slopes` of the sigmoid, `_grad_potential` of a detached hard reset and `_grad_input`, fused.

    The gradient of the neuron's input is written over h too, in float32.
    """
    for c in range(h.shape[0]):
        p = h[c]
        s = F(1) / (F(1) + _exp(-alpha * (p - threshold)))
        b = load(grad_output[c]) * (alpha * s * (F(1) - s)) + (F(0) if p >= threshold else grad_v[c])
        q = b / tau
        h[c] = q
        store(grad_x, c, q)
        grad_v[c] = b - q


@compiled
def _accumulate(grad_y, x, mean, plain, scaled):
    """Adds a row to the sums that the normalisation's backward pass needs."""
    for c in range(grad_y.shape[0]):
        plain[c] += grad_y[c]
        scaled[c] += grad_y[c] * (load(x[c]) - mean[c])


@compiled
def _flush(part, total):
    """Adds a folded row's float32 sums to the float64 sums of their channels, and sets them to 0."""
    channels = total.shape[0]
    for first in range(0, part.shape[0], channels):
        place = part[first : first + channels]
        for c in range(channels):
            total[c] += place[c]
            place[c] = F(0)


@compiled
def _fire_backward(
    grad_output, x, scale, shift, mean, tau, inverse_tau, threshold, rest, soft, decay_input, detach_reset, kind, alpha,
    summed, grad_x, sums, first, last,
):  # fmt: skip
    """The gradient of the neuron's input, for rows from first to last, and the sums for the normalisation's backward.

    By channel, over all rows and steps: sums[0] of that gradient, sums[1] of it times x - mean, sums[2] the gradient of
    1 / tau. A folded row holds several places of each channel.
    """
    _, steps, places, channels = x.shape
    usual = decay_input and not soft and inverse_tau.shape[0] == 0
    v, grad_v, slope = np.empty(channels, F), np.empty(channels, F), np.empty(channels, F)
    potentials = np.empty((steps, channels), F)
    plain, scaled, taus = np.zeros(channels, F), np.zeros(channels, F), np.zeros(channels, F)
    for row in range(first, last):
        n, s = row // places, row % places
        v[:] = rest
        for t in range(steps):
            if usual:
                usual_charge(x[n, t, s], scale, shift, v, tau, threshold, rest, potentials[t])
            else:
                charge(x[n, t, s], scale, shift, v, tau, inverse_tau, rest, decay_input, potentials[t])
                reset(potentials[t], threshold, rest, soft, v)
        grad_v[:] = F(0)  # d loss / d v[t]
        for later in range(steps):
            t = steps - 1 - later
            if usual and detach_reset and kind == 0:
                _usual_backward(alpha, grad_output[n, t, s], potentials[t], threshold, tau, grad_v, grad_x[n, t, s])
                if summed:
                    _accumulate(potentials[t], x[n, t, s], mean, plain, scaled)
                continue
            _slopes(kind, alpha, potentials[t], threshold, slope)
            _grad_potential(grad_output[n, t, s], potentials[t], slope, threshold, rest, soft, detach_reset, grad_v)
            if inverse_tau.shape[0]:
                v[:] = rest
                if t:
                    reset(potentials[t - 1], threshold, rest, soft, v)
                _grad_inverse_tau(grad_v, x[n, t, s], scale, shift, v, rest, decay_input, taus)
            _grad_input(grad_v, tau, inverse_tau, decay_input, grad_x[n, t, s], slope)
            if summed:
                _accumulate(slope, x[n, t, s], mean, plain, scaled)
        if (row - first) % BLOCK == BLOCK - 1 or row == last - 1:
            _flush(plain, sums[0])
            _flush(scaled, sums[1])
            _flush(taus, sums[2])


@compiled
def _fire_backward_chunks(grad_output, x, affine, neuron, slope, summed, grad_x, sums, bounds, first, last):
    """Chunks from first to last, each with sums of its own."""
    scale, shift, mean = affine
    tau, inverse_tau, threshold, rest, soft, decay_input = neuron
    detach_reset, kind, alpha = slope
    for i in range(first, last):
        _fire_backward(
            grad_output, x, scale, shift, mean, tau, inverse_tau, threshold, rest, soft, decay_input, detach_reset,
            kind, alpha, summed, grad_x, sums[i], bounds[i], bounds[i + 1],
        )  # fmt: skip


def fire_backward(
    grad_output: np.ndarray, x: np.ndarray, affine: tuple, neuron: tuple, slope: tuple, grad_x: np.ndarray,
    summed: bool, threads: int,
) -> np.ndarray:  # fmt: skip
    """Writes the gradient of x * scale + shift into `grad_x`; returns three sums by channel, float64.

    They are of that gradient, of it times the normalised input, and the gradient of 1 / tau where that is learned.

    Args:
        grad_output: gradient of the spikes.
        affine: (scale, shift, mean, inverse), float32 `(channels,)`; mean and inverse give the second sum.
        slope: (detach_reset, index into `cpu/norm_lif.SURROGATES`, alpha).
        summed: whether the first two sums are wanted.
    """
    sums = np.zeros((MAX_CHUNKS, 3, x.shape[-1]))
    tau, inverse_tau, *others = neuron
    *norm, inverse = affine
    (grad_output, x, grad_x), (*norm, inverse_tau) = fold((grad_output, x, grad_x), (*norm, inverse_tau))
    neuron = (tau, inverse_tau, *others)
    work = functools.partial(
        _fire_backward_chunks, grad_output, x, tuple(norm), neuron, slope, summed, grad_x, sums
    )  # fmt: skip
    parallel_for(work, x.shape[0] * x.shape[2], x.size, threads)
    found = sums.sum(0)
    found[1] *= inverse
    return found
