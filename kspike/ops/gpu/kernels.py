"""Normalisation, neuron, attention and pool on a GPU, as Triton kernels that read the input as rarely as they can.

Arrays are contiguous, `(batch, time, places, channels)`, of any float dtype; arithmetic is in float32, by the equations
of `cpu/kernels`. A tile is some rows (a place of an image with all its time steps) by some channels: potentials stay in
registers from the first step to the last, in backward too, which recomputes them from x. No sum depends on the order in
which programs end: two runs give the same bits.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _slope(u, KIND: tl.constexpr, alpha):
    """dS/du of `kspike.surrogate`, to which a test holds it; KIND is the index into `cpu/norm_lif.SURROGATES`."""
    size = tl.abs(u)
    if KIND == 0:
        s = 1.0 / (1.0 + tl.exp2(u * (alpha * -1.4426950408889634)))
        slope = alpha * s * (1.0 - s)
    elif KIND == 1:
        bent = 1.5707963267948966 * alpha * u
        slope = alpha * 0.5 / (1.0 + bent * bent)
    elif KIND == 2:
        far = 1.0 / alpha + size
        slope = 1.0 / (2.0 * alpha * far * far)
    elif KIND == 3:
        slope = alpha / ((1.0 + size) * (1.0 + size))
    elif KIND == 4:
        slope = 1.0 / ((1.0 + alpha * size) * (1.0 + alpha * size))
    elif KIND == 5:
        slope = alpha * 0.5641895835477563 * tl.exp(-alpha * alpha * u * u)
    elif KIND == 6:
        slope = tl.maximum(alpha - alpha * alpha * size, 0.0)
    elif KIND == 7:
        slope = alpha * 0.5 * tl.exp(-alpha * size)
    else:
        slope = tl.where(size <= 0.5 / alpha, alpha, 0.0)
    return slope


@triton.jit
def _leak(y, tau, inverse, LEAK: tl.constexpr):
    """y / tau, correctly rounded (LEAK 0); times 1 / tau where that is exact (3) or learned (1, 2)."""
    if LEAK == 0:
        found = tl.div_rn(y, y * 0.0 + tau)
    elif LEAK == 3:
        found = y * tau
    else:
        found = y * inverse
    return found


@triton.jit
def _charge(v, y, tau, inverse, v_reset, LEAK: tl.constexpr, DECAY: tl.constexpr):
    """h[t] from v[t-1] and the input y[t]."""
    rest = v - v_reset
    if DECAY:
        h = v + _leak(y - rest, tau, inverse, LEAK)
    else:
        h = v - _leak(rest, tau, inverse, LEAK) + y
    return h


@triton.jit
def _reset(h, v_threshold, v_reset, SOFT: tl.constexpr):
    """v[t] from h[t]."""
    if SOFT:
        v = tl.where(h >= v_threshold, h - v_threshold, h)
    else:
        v = tl.where(h >= v_threshold, v_reset, h)
    return v


@triton.jit
def _affine(mean, variance, gamma, beta, epsilon, c, here, NORM: tl.constexpr):
    """(scale, shift, mean, 1 / standard deviation) of the channels c."""
    if NORM:
        centre = tl.load(mean + c, mask=here, other=0.0)
        inverse = tl.div_rn(c * 0.0 + 1.0, tl.sqrt_rn(tl.load(variance + c, mask=here, other=1.0) + epsilon))
        scale = tl.load(gamma + c, mask=here, other=0.0) * inverse
        shift = tl.load(beta + c, mask=here, other=0.0) - centre * scale
    else:
        centre = c * 0.0
        inverse = centre + 1.0
        scale = inverse
        shift = centre
    return scale[None, :], shift[None, :], centre[None, :], inverse[None, :]


@triton.jit
def _learned(inverse_tau, c, here, LEAK: tl.constexpr):
    """Learned 1 / tau of the channels c: one for all (LEAK 1), one a channel (LEAK 2)."""
    if LEAK == 2:
        found = tl.load(inverse_tau + c, mask=here, other=0.0)
    elif LEAK == 1:
        found = tl.load(inverse_tau) + c * 0.0
    else:
        found = c * 0.0
    return found[None, :]


@triton.jit
def _offsets(tile, rows, places, channels, T: tl.constexpr, c, here, R: tl.constexpr):
    """Offsets of a tile's elements at the first time step, and the mask of those inside the array."""
    r = tile * R + tl.arange(0, R)
    start = ((r // places).to(tl.int64) * T * places + r % places) * channels
    return start[:, None] + c[None, :], (r < rows)[:, None] & here[None, :]


@triton.jit
def moments(x, means, spreads, counts, rows, channels, R: tl.constexpr, C: tl.constexpr):
    """Mean and sum of squared deviations of each program's share of (rows, channels), by Welford's recurrence."""
    part, parts = tl.program_id(0), tl.num_programs(0)
    c = tl.program_id(1) * C + tl.arange(0, C)
    here = c < channels
    mean = tl.zeros((R, C), tl.float32)
    spread = tl.zeros((R, C), tl.float32)
    count = tl.zeros((R,), tl.float32)
    for tile in range(part, tl.cdiv(rows, R), parts):
        r = tile * R + tl.arange(0, R)
        there = r < rows
        mask = there[:, None] & here[None, :]
        y = tl.load(x + r.to(tl.int64)[:, None] * channels + c[None, :], mask=mask, other=0.0).to(tl.float32)
        count += there.to(tl.float32)
        off = y - mean
        step = mean + off * (1.0 / tl.maximum(count, 1.0))[:, None]
        spread += tl.where(mask, off * (y - step), 0.0)
        mean = tl.where(mask, step, mean)
    total = tl.sum(count, 0)
    middle = tl.sum(mean * count[:, None], 0) / tl.maximum(total, 1.0)
    off = mean - middle[None, :]
    tl.store(means + part * channels + c, middle, mask=here)
    tl.store(spreads + part * channels + c, tl.sum(spread + off * off * count[:, None], 0), mask=here)
    if tl.program_id(1) == 0:
        tl.store(counts + part, total)


@triton.jit
def combine_moments(means, spreads, counts, mean, variance, parts, channels, P: tl.constexpr, C: tl.constexpr):
    """Combines the partial results of `moments`: mean and biased variance of each channel."""
    p = tl.arange(0, P)
    c = tl.program_id(0) * C + tl.arange(0, C)
    here = c < channels
    mask = (p < parts)[:, None] & here[None, :]
    at = p[:, None] * channels + c[None, :]
    count = tl.load(counts + p, mask=p < parts, other=0.0)
    part = tl.load(means + at, mask=mask, other=0.0)
    total = tl.sum(count, 0)
    middle = tl.sum(part * count[:, None], 0) / total
    off = part - middle[None, :]
    spread = tl.sum(tl.load(spreads + at, mask=mask, other=0.0) + off * off * count[:, None], 0)
    tl.store(mean + c, middle, mask=here)
    tl.store(variance + c, spread / total, mask=here)


@triton.jit
def fire(
    x, out, mean, variance, gamma, beta, inverse_tau, epsilon, tau, v_threshold, v_reset, rows, places, channels,
    T: tl.constexpr, NORM: tl.constexpr, LEAK: tl.constexpr, DECAY: tl.constexpr, SOFT: tl.constexpr,
    R: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    """Spikes of x, or of x normalised, in out's dtype."""
    c = tl.program_id(1) * C + tl.arange(0, C)
    here = c < channels
    scale, shift, _, _ = _affine(mean, variance, gamma, beta, epsilon, c, here, NORM)
    inverse = _learned(inverse_tau, c, here, LEAK)
    at, mask = _offsets(tl.program_id(0), rows, places, channels, T, c, here, R)
    v = tl.zeros((R, C), tl.float32) + v_reset
    for t in tl.static_range(T):
        y = tl.load(x + at + t * places * channels, mask=mask, other=0.0).to(tl.float32)
        if NORM:
            y = y * scale + shift
        h = _charge(v, y, tau, inverse, v_reset, LEAK, DECAY)
        # a potential of nan gives a spike of nan, not 0
        spikes = tl.where(h >= v_threshold, 1.0, tl.where(h < v_threshold, 0.0, h))
        tl.store(out + at + t * places * channels, spikes.to(out.dtype.element_ty), mask=mask)
        v = _reset(h, v_threshold, v_reset, SOFT)


@triton.jit
def fire_backward(
    grad_output, x, grad_x, mean, variance, gamma, beta, inverse_tau, means, parts, epsilon, tau, v_threshold,
    v_reset, alpha, rows, places, channels,
    T: tl.constexpr, NORM: tl.constexpr, LEAK: tl.constexpr, DECAY: tl.constexpr, SOFT: tl.constexpr,
    DETACH: tl.constexpr, KIND: tl.constexpr, SUMS: tl.constexpr, BATCH: tl.constexpr, R: tl.constexpr,
    C: tl.constexpr,
):  # fmt: skip
    """The backward pass of neuron and normalisation.

    With SUMS: partial sums over rows, `(programs, 3, channels)` into `parts`: of the gradient of the normalised input,
    of it times that input, and of the gradient of 1 / tau. gamma, beta, 1 / tau and the batch's moments need them.
    Without: grad_x, for which `means` (2, channels) are the first two sums divided by the number of rows.
    """
    first, programs = tl.program_id(0), tl.num_programs(0)
    c = tl.program_id(1) * C + tl.arange(0, C)
    here = c < channels
    scale, shift, centre, deviation = _affine(mean, variance, gamma, beta, epsilon, c, here, NORM)
    inverse = _learned(inverse_tau, c, here, LEAK)
    step = places * channels
    grad_beta = tl.zeros((R, C), tl.float32)
    grad_gamma = tl.zeros((R, C), tl.float32)
    grad_inverse = tl.zeros((R, C), tl.float32)
    if NORM and BATCH and not SUMS:
        mean_grad_beta = tl.load(means + c, mask=here, other=0.0)[None, :]
        mean_grad_gamma = tl.load(means + channels + c, mask=here, other=0.0)[None, :]
    for tile in range(first, tl.cdiv(rows, R), programs):
        at, mask = _offsets(tile, rows, places, channels, T, c, here, R)
        v = tl.zeros((R, C), tl.float32) + v_reset
        potentials = ()
        inputs = ()
        for t in tl.static_range(T):
            raw = tl.load(x + at + t * step, mask=mask, other=0.0)
            inputs = inputs + (raw,)
            y = raw.to(tl.float32)
            if NORM:
                y = y * scale + shift
            h = _charge(v, y, tau, inverse, v_reset, LEAK, DECAY)
            potentials = potentials + (h,)
            v = _reset(h, v_threshold, v_reset, SOFT)
        grad_v = tl.zeros((R, C), tl.float32)
        last = at + (T - 1) * step
        for steps_back in tl.static_range(T):
            h = potentials[T - 1 - steps_back]
            slope = _slope(h - v_threshold, KIND, alpha)
            grad_h = tl.load(grad_output + last - steps_back * step, mask=mask, other=0.0).to(tl.float32) * slope
            if steps_back > 0:
                if SOFT:
                    through = grad_v if DETACH else grad_v * (1.0 - v_threshold * slope)
                else:
                    through = tl.where(h >= v_threshold, 0.0, grad_v)
                    if not DETACH:
                        through += grad_v * (v_reset - h) * slope
                grad_h += through
            leaked = _leak(grad_h, tau, inverse, LEAK)
            grad_v = grad_h - leaked
            grad_y = leaked if DECAY else grad_h
            if NORM or LEAK == 1 or LEAK == 2:
                raw = inputs[T - 1 - steps_back].to(tl.float32)
            if SUMS:
                if NORM:
                    grad_beta += grad_y
                    grad_gamma += tl.where(mask, grad_y * (raw - centre) * deviation, 0.0)
                if LEAK == 1 or LEAK == 2:
                    if steps_back < T - 1:
                        rest = _reset(potentials[T - 2 - steps_back], v_threshold, v_reset, SOFT) - v_reset
                    else:
                        rest = tl.zeros((R, C), tl.float32)
                    if DECAY:
                        y = raw * scale + shift if NORM else raw
                        grad_inverse += tl.where(mask, grad_h * (y - rest), 0.0)
                    else:
                        grad_inverse -= tl.where(mask, grad_h * rest, 0.0)
            else:
                if NORM:
                    if BATCH:
                        grad_y = grad_y - mean_grad_beta - (raw - centre) * deviation * mean_grad_gamma
                    grad_y = grad_y * scale
                tl.store(grad_x + last - steps_back * step, grad_y.to(grad_x.dtype.element_ty), mask=mask)
    if SUMS:
        into = parts + first * 3 * channels + c
        tl.store(into, tl.sum(grad_beta, 0), mask=here)
        tl.store(into + channels, tl.sum(grad_gamma, 0), mask=here)
        tl.store(into + 2 * channels, tl.sum(grad_inverse, 0), mask=here)


@triton.jit
def _head(x, frame, token, head, n, d, mask):
    """One head of one frame, (tokens, channels), float32."""
    at = tl.program_id(0).to(tl.int64) * frame + tl.program_id(1) * head
    return tl.load(x + at + n[:, None] * token + d[None, :], mask=mask, other=0.0).to(tl.float32)


@triton.jit
def attend(
    q, k, v, out, frame, token, tokens, head_dim, N: tl.constexpr, D: tl.constexpr, PRECISION: tl.constexpr
):  # fmt: skip
    """q (k^T v) of one head of one frame; out `(frames, tokens, heads * head_dim)`, float32."""
    n, d = tl.arange(0, N), tl.arange(0, D)
    mask = (n < tokens)[:, None] & (d < head_dim)[None, :]
    mixed = tl.dot(
        tl.trans(_head(k, frame, token, head_dim, n, d, mask)), _head(v, frame, token, head_dim, n, d, mask),
        input_precision=PRECISION,
    )  # fmt: skip
    y = tl.dot(_head(q, frame, token, head_dim, n, d, mask), mixed, input_precision=PRECISION)
    width = tl.num_programs(1) * head_dim
    at = tl.program_id(0).to(tl.int64) * tokens * width + tl.program_id(1) * head_dim
    tl.store(out + at + n[:, None] * width + d[None, :], y, mask=mask)


@triton.jit
def attend_backward(
    q, k, v, grad_output, grad_q, grad_k, grad_v, frame, token, tokens, head_dim, N: tl.constexpr, D: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Gradients of q, k and v, `(frames, tokens, heads, head_dim)`, of one head of one frame."""
    n, d = tl.arange(0, N), tl.arange(0, D)
    mask = (n < tokens)[:, None] & (d < head_dim)[None, :]
    width = tl.num_programs(1) * head_dim
    at = tl.program_id(0).to(tl.int64) * tokens * width + tl.program_id(1) * head_dim
    at = at + n[:, None] * width + d[None, :]
    grad_block = tl.load(grad_output + at, mask=mask, other=0.0).to(tl.float32)
    keys = _head(k, frame, token, head_dim, n, d, mask)
    values = _head(v, frame, token, head_dim, n, d, mask)
    mixed = tl.dot(tl.trans(keys), values, input_precision=PRECISION)
    tl.store(
        grad_q + at,
        tl.dot(grad_block, tl.trans(mixed), input_precision=PRECISION).to(grad_q.dtype.element_ty),
        mask=mask,
    )
    grad_mixed = tl.dot(tl.trans(_head(q, frame, token, head_dim, n, d, mask)), grad_block, input_precision=PRECISION)
    grad_keys = tl.dot(values, tl.trans(grad_mixed), input_precision=PRECISION)
    tl.store(grad_k + at, grad_keys.to(grad_k.dtype.element_ty), mask=mask)
    grad_values = tl.dot(keys, grad_mixed, input_precision=PRECISION)
    tl.store(grad_v + at, grad_values.to(grad_v.dtype.element_ty), mask=mask)


@triton.jit
def _pixels(frames, height, width, channels, R: tl.constexpr, C: tl.constexpr):
    """The program's tile of (frames, height, width, channels): frame, row, column, channels, offsets, mask."""
    r = tl.program_id(0) * R + tl.arange(0, R)
    c = tl.program_id(1) * C + tl.arange(0, C)
    mask = (r < frames * height * width)[:, None] & (c < channels)[None, :]
    at = r.to(tl.int64)[:, None] * channels + c[None, :]
    return r // (height * width), (r // width) % height, r % width, c, at, mask


@triton.jit
def pool(
    x, out, place, frames, height, width, high, wide, channels, R: tl.constexpr, C: tl.constexpr
):  # fmt: skip
    """3x3 max-pool of stride 2 of (frames, height, width, channels), and the index of each maximum in its window."""
    frame, row, column, c, to, mask = _pixels(frames, high, wide, channels, R, C)
    most = tl.full((R, C), float("-inf"), tl.float32)
    first = tl.zeros((R, C), tl.int32)
    for k in tl.static_range(9):
        i = 2 * row - 1 + k // 3
        j = 2 * column - 1 + k % 3
        there = (i >= 0) & (i < height) & (j >= 0) & (j < width)
        at = ((frame.to(tl.int64) * height + i) * width + j) * channels
        value = tl.load(x + at[:, None] + c[None, :], mask=mask & there[:, None], other=float("-inf")).to(tl.float32)
        larger = (value > most) | (value != value)  # nan wins, the last of several
        first = tl.where(larger, k, first)
        most = tl.where(larger, value, most)
    tl.store(out + to, most.to(out.dtype.element_ty), mask=mask)
    tl.store(place + to, first.to(tl.uint8), mask=mask)


@triton.jit
def pool_backward(
    grad_output, place, grad_x, frames, height, width, high, wide, channels, R: tl.constexpr, C: tl.constexpr
):  # fmt: skip
    """Gradient of `pool`: each input gathers from the windows, up to two a direction, of which it was the maximum."""
    frame, row, column, c, to, mask = _pixels(frames, height, width, channels, R, C)
    total = tl.zeros((R, C), tl.float32)
    for k in tl.static_range(4):
        # an even row is the middle of window row / 2 alone; an odd one the last of one window and the first of the next
        i = (row + k // 2) // 2
        j = (column + k % 2) // 2
        there = (i < high) & (j < wide) & ((row % 2 == 1) | (k // 2 == 0)) & ((column % 2 == 1) | (k % 2 == 0))
        at = ((frame.to(tl.int64) * high + i) * wide + j) * channels
        which = 3 * (row - 2 * i + 1) + column - 2 * j + 1
        taken = mask & there[:, None]
        chosen = tl.load(place + at[:, None] + c[None, :], mask=taken, other=255).to(tl.int32)
        grad_block = tl.load(grad_output + at[:, None] + c[None, :], mask=taken, other=0.0).to(tl.float32)
        total += tl.where(chosen == which[:, None], grad_block, 0.0)
    tl.store(grad_x + to, total.to(grad_x.dtype.element_ty), mask=mask)
