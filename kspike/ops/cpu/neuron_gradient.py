"""The neuron's way back as compiled loops: potentials computed again, then gradients from the last step to the first.

Loops are short for the reason that `cpu/neuron` gives; sigmoid and detached reset have one of their own.
"""

from __future__ import annotations

import functools

import numpy as np

from kspike.ops.cpu.compiling import F, compiled, float_of, load, store
from kspike.ops.cpu.neuron import charge, reset, usual_charge
from kspike.ops.cpu.threads import BLOCK, CHUNKS, run, side_by_side


@functools.partial(compiled, fastmath={"contract"})
def _exp(x):
    """e^x to 2 units in the last place, of operations that vectorise (Cephes' reduction and polynomial).

    With fused multiply-adds where the processor has them: no spike depends on it, and it is half of the way back.
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
    """The surrogate's derivative at h - threshold, for a row of potentials; `kspike.surrogate` says which is which."""
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
def _through(upstream, h, slope, threshold, rest, soft, detach_reset, back):
    """d loss / d h[t] of a row, in place of d loss / d v[t]."""
    n = h.shape[0]
    if soft:
        if detach_reset:
            for c in range(n):
                back[c] += load(upstream[c]) * slope[c]
        else:
            for c in range(n):
                back[c] = load(upstream[c]) * slope[c] + back[c] * (F(1) - threshold * slope[c])
    elif detach_reset:
        for c in range(n):
            back[c] = load(upstream[c]) * slope[c] + (F(0) if h[c] >= threshold else back[c])
    else:
        for c in range(n):
            kept = F(0) if h[c] >= threshold else back[c]
            back[c] = load(upstream[c]) * slope[c] + kept + back[c] * (rest - h[c]) * slope[c]


@compiled
def _to_learned(back, x, scale, shift, v, rest, decay_input, total):
    """Adds a row of d loss / d (1 / tau), from d loss / d h[t] and v[t-1]."""
    if decay_input:
        for c in range(back.shape[0]):
            total[c] += back[c] * ((load(x[c]) * scale[c] + shift[c]) - (v[c] - rest))
    else:
        for c in range(back.shape[0]):
            total[c] -= back[c] * (v[c] - rest)


@compiled
def _out(back, tau, learned, decay_input, grad, reached):
    """What of d loss / d h[t] reaches the input of a row; the rest is d loss / d v[t-1]."""
    if learned.shape[0]:
        for c in range(back.shape[0]):
            part = back[c] * learned[c]
            q = part if decay_input else back[c]
            reached[c] = q
            store(grad, c, q)
            back[c] -= part
    elif decay_input:
        for c in range(back.shape[0]):
            q = back[c] / tau
            reached[c] = q
            store(grad, c, q)
            back[c] -= q
    else:
        for c in range(back.shape[0]):
            q = back[c]
            reached[c] = q
            store(grad, c, q)
            back[c] = q - q / tau


@compiled
def _usual_back(alpha, upstream, h, threshold, tau, back, grad):
    """`_slopes` of the sigmoid, `_through` a detached hard reset, and `_out`; what reaches the input replaces h."""
    for c in range(h.shape[0]):
        p = h[c]
        s = F(1) / (F(1) + _exp(-alpha * (p - threshold)))
        b = load(upstream[c]) * (alpha * s * (F(1) - s)) + (F(0) if p >= threshold else back[c])
        q = b / tau
        h[c] = q
        store(grad, c, q)
        back[c] = b - q


@compiled
def _sum_up(reached, x, mean, plain, scaled):
    """Adds a row to the sums that a normalisation's gradient needs."""
    for c in range(reached.shape[0]):
        plain[c] += reached[c]
        scaled[c] += reached[c] * (load(x[c]) - mean[c])


@compiled
def _flush(part, total):
    """Adds float32 sums, of places side by side, to the float64 ones of their channels, and begins them anew."""
    channels = total.shape[0]
    for first in range(0, part.shape[0], channels):
        place = part[first : first + channels]
        for c in range(channels):
            total[c] += place[c]
            place[c] = F(0)


@compiled
def _fire_back(
    upstream, x, scale, shift, mean, tau, learned, threshold, rest, soft, decay_input, detach_reset, kind, alpha,
    summed, grad, sums, first, last,
):  # fmt: skip
    """The gradient of the normalised input, for rows from first to last; and its sums for the normalisation's own.

    sums[0] is over all rows and steps of it, sums[1] of it times x - mean, sums[2] is the gradient of 1 / tau; each by
    channel, of which a row holds several places.
    """
    _, steps, places, channels = x.shape
    usual = decay_input and not soft and learned.shape[0] == 0
    v, back, slope = np.empty(channels, F), np.empty(channels, F), np.empty(channels, F)
    potentials = np.empty((steps, channels), F)
    plain, scaled, taus = np.zeros(channels, F), np.zeros(channels, F), np.zeros(channels, F)
    for row in range(first, last):
        n, s = row // places, row % places
        v[:] = rest
        for t in range(steps):
            if usual:
                usual_charge(x[n, t, s], scale, shift, v, tau, threshold, rest, potentials[t])
            else:
                charge(x[n, t, s], scale, shift, v, tau, learned, rest, decay_input, potentials[t])
                reset(potentials[t], threshold, rest, soft, v)
        back[:] = F(0)  # d loss / d v[t]
        for later in range(steps):
            t = steps - 1 - later
            if usual and detach_reset and kind == 0:
                _usual_back(alpha, upstream[n, t, s], potentials[t], threshold, tau, back, grad[n, t, s])
                if summed:
                    _sum_up(potentials[t], x[n, t, s], mean, plain, scaled)
                continue
            _slopes(kind, alpha, potentials[t], threshold, slope)
            _through(upstream[n, t, s], potentials[t], slope, threshold, rest, soft, detach_reset, back)
            if learned.shape[0]:
                v[:] = rest
                if t:
                    reset(potentials[t - 1], threshold, rest, soft, v)
                _to_learned(back, x[n, t, s], scale, shift, v, rest, decay_input, taus)
            _out(back, tau, learned, decay_input, grad[n, t, s], slope)
            if summed:
                _sum_up(slope, x[n, t, s], mean, plain, scaled)
        if (row - first) % BLOCK == BLOCK - 1 or row == last - 1:
            _flush(plain, sums[0])
            _flush(scaled, sums[1])
            _flush(taus, sums[2])


@compiled
def _fire_back_pieces(upstream, x, affine, neuron, slope, summed, grad, sums, bounds, first, last):
    """Pieces from first to last, each with sums of its own."""
    scale, shift, mean = affine
    tau, learned, threshold, rest, soft, decay_input = neuron
    detach_reset, kind, alpha = slope
    for i in range(first, last):
        _fire_back(
            upstream, x, scale, shift, mean, tau, learned, threshold, rest, soft, decay_input, detach_reset, kind,
            alpha, summed, grad, sums[i], bounds[i], bounds[i + 1],
        )  # fmt: skip


def fire_back(
    upstream: np.ndarray, x: np.ndarray, affine: tuple, neuron: tuple, slope: tuple, grad: np.ndarray, summed: bool,
    threads: int,
) -> np.ndarray:  # fmt: skip
    """Writes the gradient of x * scale + shift into `grad`; returns three sums a channel, float64.

    They are of that gradient, of it times the normalised input, and the gradient of 1 / tau where that is learned.

    Args:
        upstream: gradient of the spikes.
        affine: (scale, shift, mean, inverse), float32 `(channels,)`; mean and inverse give the second sum.
        slope: (detach_reset, place in `cpu/norm_lif.SURROGATES`, alpha).
        summed: whether the first two sums are wanted.
    """
    sums = np.zeros((CHUNKS, 3, x.shape[-1]))
    *to_normal, inverse = affine
    (upstream, x, grad), (*to_normal, learned) = side_by_side((upstream, x, grad), (*to_normal, neuron[1]))
    neuron = (neuron[0], learned, *neuron[2:])
    work = functools.partial(_fire_back_pieces, upstream, x, tuple(to_normal), neuron, slope, summed, grad, sums)
    run(work, x.shape[0] * x.shape[2], x.size, threads)
    found = sums.sum(0)
    found[1] *= inverse
    return found
