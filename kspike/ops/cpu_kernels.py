"""The neuron, and normalisation with the neuron after it, as compiled loops over a CPU's memory (numba).

One pass over the input each way, whatever T: a row of channels stays in the first-level cache while its time steps are
walked through, and the way back computes the potentials again instead of having kept them. bfloat16 is read and written
as it lies in memory (uint16 here), and computed in float32. What a spike depends on is written as the reference has it,
in its order and without fused multiply-adds, so that spikes are the same bit for bit.

A row's numbers are walked through by several short loops, each in a function of its own: beside other code, or over so
many arrays that the compiler would need more than eight comparisons to tell them apart, a loop is not vectorised. What
every paper of this family uses (hard reset, decayed input, one tau; on the way back sigmoid and detached reset) has
loops that do more at once.

Arrays are `(batch, time, places, channels)`, contiguous. Work is cut into pieces by its size, whatever the number of
threads, and sums are added up in float64 piece by piece: results do not depend on the machine's cores.
"""

from __future__ import annotations

import concurrent.futures
import functools
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic, overload

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

#: At most so many pieces, of no fewer than so many numbers: a thread is worth waking for some 20 microseconds of work.
CHUNKS, PIECE = 16, 1 << 14
#: Rows whose float32 sums are added to the float64 ones.
BLOCK = 64
#: Numbers walked through at a time. Each loop over a row costs some 30 ns before it begins; what several loops hand on
#: to each other is quicker in the first-level cache.
ROW = 1536
#: The same where what is summed by number has to be added up by channel afterwards.
SUMMED = 256

F = np.float32


@intrinsic
def _float_of(typing: Any, bits: Any) -> Any:
    """The float32 whose bits these are."""

    def make(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(types.float32))

    return types.float32(types.uint32), make


@intrinsic
def _bits_of(typing: Any, x: Any) -> Any:
    """The bits of a float32."""

    def make(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(types.uint32))

    return types.uint32(types.float32), make


def _load(x: Any) -> Any:
    """A number of an array as float32."""


def _store(array: Any, at: Any, x: Any) -> None:
    """Writes a float32 into an array, rounded to nearest even where it holds bfloat16."""


@overload(_load, inline="always")
def _load_as(x):  # numba compares signatures, annotations and all
    if x == types.uint16:
        return lambda x: _float_of(np.uint32(x) << np.uint32(16))
    return lambda x: x


@overload(_store, inline="always")
def _store_as(array, at, x):
    def narrow(array, at, x):
        bits = _bits_of(x)
        array[at] = np.uint16((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16))

    def whole(array, at, x):
        array[at] = x

    return narrow if array.dtype == types.uint16 else whole


def _compiled(fn: Callable, **options: Any) -> Callable:
    """njit, kept on the disk; what is kept is written by one process at a time.

    numba 0.68 writes the code and the index that names it one after the other, under names that two processes compiling
    for different types may both choose: the index could then name the other's code.
    """
    try:
        compiled = njit(fn, nogil=True, cache=True, error_model="numpy", **options)
    except RuntimeError:  # neither the package's folder nor the user's own can be written
        return njit(fn, nogil=True, error_model="numpy", **options)
    kept = getattr(compiled, "_cache", None)
    if fcntl is not None and hasattr(kept, "save_overload"):
        save = kept.save_overload

        def alone(*args: Any) -> None:
            os.makedirs(kept.cache_path, exist_ok=True)
            with open(os.path.join(kept.cache_path, ".kspike_kernels.lock"), "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                save(*args)

        kept.save_overload = alone
    return compiled


@functools.partial(_compiled, fastmath={"contract"})
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
    return (p * f * f + f + F(1.0)) * _float_of(np.uint32((np.int32(k) + np.int32(127)) << np.int32(23)))


@_compiled
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


@_compiled
def _charge(x, scale, shift, v, tau, learned, rest, decay_input, h):
    """h[t] of a row, from its input x * scale + shift and v[t-1]; `learned` is 1 / tau by channel, or empty."""
    if learned.shape[0]:
        if decay_input:
            for c in range(h.shape[0]):
                h[c] = v[c] + ((_load(x[c]) * scale[c] + shift[c]) - (v[c] - rest)) * learned[c]
        else:
            for c in range(h.shape[0]):
                h[c] = v[c] - (v[c] - rest) * learned[c] + (_load(x[c]) * scale[c] + shift[c])
    elif decay_input:
        for c in range(h.shape[0]):
            h[c] = v[c] + ((_load(x[c]) * scale[c] + shift[c]) - (v[c] - rest)) / tau
    else:
        for c in range(h.shape[0]):
            h[c] = v[c] - (v[c] - rest) / tau + (_load(x[c]) * scale[c] + shift[c])


@_compiled
def _reset(h, threshold, rest, soft, v):
    """v[t] of a row."""
    if soft:
        for c in range(h.shape[0]):
            v[c] = h[c] - threshold if h[c] >= threshold else h[c]
    else:
        for c in range(h.shape[0]):
            v[c] = rest if h[c] >= threshold else h[c]


@_compiled
def _usual_charge(x, scale, shift, v, tau, threshold, rest, h):
    """`_charge` with decayed input and one tau, and `_reset` to v_reset."""
    for c in range(h.shape[0]):
        p = v[c] + ((_load(x[c]) * scale[c] + shift[c]) - (v[c] - rest)) / tau
        h[c] = p
        v[c] = rest if p >= threshold else p


@_compiled
def _usual_fire(x, scale, shift, v, tau, threshold, rest, one, spikes):
    """The spikes of a row beside `_usual_charge`; the potentials before them are not kept."""
    for c in range(v.shape[0]):
        p = v[c] + ((_load(x[c]) * scale[c] + shift[c]) - (v[c] - rest)) / tau
        spikes[c] = one if p >= threshold else 0
        v[c] = rest if p >= threshold else p


@_compiled
def _fire(x, scale, shift, tau, learned, threshold, rest, soft, decay_input, one, out, start, end, first, last):
    """Spikes of the rows (batch x places) from first to last."""
    _, steps, places, channels = x.shape
    usual = decay_input and not soft and learned.shape[0] == 0
    v, h = np.empty(channels, F), np.empty(channels, F)
    for row in range(first, last):
        n, s = row // places, row % places
        if start.shape[0]:
            v[:] = start[n, s]
        else:
            v[:] = rest
        for t in range(steps):
            spikes = out[n, t, s]
            if usual:
                _usual_fire(x[n, t, s], scale, shift, v, tau, threshold, rest, one, spikes)
                continue
            _charge(x[n, t, s], scale, shift, v, tau, learned, rest, decay_input, h)
            for c in range(channels):
                spikes[c] = one if h[c] >= threshold else 0
            _reset(h, threshold, rest, soft, v)
        if end.shape[0]:
            end[n, s] = v


@_compiled
def _through(upstream, h, slope, threshold, rest, soft, detach_reset, back):
    """d loss / d h[t] of a row, in place of d loss / d v[t]."""
    n = h.shape[0]
    if soft:
        if detach_reset:
            for c in range(n):
                back[c] += _load(upstream[c]) * slope[c]
        else:
            for c in range(n):
                back[c] = _load(upstream[c]) * slope[c] + back[c] * (F(1) - threshold * slope[c])
    elif detach_reset:
        for c in range(n):
            back[c] = _load(upstream[c]) * slope[c] + (F(0) if h[c] >= threshold else back[c])
    else:
        for c in range(n):
            kept = F(0) if h[c] >= threshold else back[c]
            back[c] = _load(upstream[c]) * slope[c] + kept + back[c] * (rest - h[c]) * slope[c]


@_compiled
def _to_learned(back, x, scale, shift, v, rest, decay_input, total):
    """Adds a row of d loss / d (1 / tau), from d loss / d h[t] and v[t-1]."""
    if decay_input:
        for c in range(back.shape[0]):
            total[c] += back[c] * ((_load(x[c]) * scale[c] + shift[c]) - (v[c] - rest))
    else:
        for c in range(back.shape[0]):
            total[c] -= back[c] * (v[c] - rest)


@_compiled
def _out(back, tau, learned, decay_input, grad, reached):
    """What of d loss / d h[t] reaches the input of a row; the rest is d loss / d v[t-1]."""
    if learned.shape[0]:
        for c in range(back.shape[0]):
            part = back[c] * learned[c]
            q = part if decay_input else back[c]
            reached[c] = q
            _store(grad, c, q)
            back[c] -= part
    elif decay_input:
        for c in range(back.shape[0]):
            q = back[c] / tau
            reached[c] = q
            _store(grad, c, q)
            back[c] -= q
    else:
        for c in range(back.shape[0]):
            q = back[c]
            reached[c] = q
            _store(grad, c, q)
            back[c] = q - q / tau


@_compiled
def _usual_back(alpha, upstream, h, threshold, tau, back, grad):
    """`_slopes` of the sigmoid, `_through` a detached hard reset, and `_out`; what reaches the input replaces h."""
    for c in range(h.shape[0]):
        p = h[c]
        s = F(1) / (F(1) + _exp(-alpha * (p - threshold)))
        b = _load(upstream[c]) * (alpha * s * (F(1) - s)) + (F(0) if p >= threshold else back[c])
        q = b / tau
        h[c] = q
        _store(grad, c, q)
        back[c] = b - q


@_compiled
def _sum_up(reached, x, mean, plain, scaled):
    """Adds a row to the sums that a normalisation's gradient needs."""
    for c in range(reached.shape[0]):
        plain[c] += reached[c]
        scaled[c] += reached[c] * (_load(x[c]) - mean[c])


@_compiled
def _flush(part, total):
    """Adds float32 sums, of places side by side, to the float64 ones of their channels, and begins them anew."""
    channels = total.shape[0]
    for first in range(0, part.shape[0], channels):
        place = part[first : first + channels]
        for c in range(channels):
            total[c] += place[c]
            place[c] = F(0)


@_compiled
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
                _usual_charge(x[n, t, s], scale, shift, v, tau, threshold, rest, potentials[t])
            else:
                _charge(x[n, t, s], scale, shift, v, tau, learned, rest, decay_input, potentials[t])
                _reset(potentials[t], threshold, rest, soft, v)
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
                    _reset(potentials[t - 1], threshold, rest, soft, v)
                _to_learned(back, x[n, t, s], scale, shift, v, rest, decay_input, taus)
            _out(back, tau, learned, decay_input, grad[n, t, s], slope)
            if summed:
                _sum_up(slope, x[n, t, s], mean, plain, scaled)
        if (row - first) % BLOCK == BLOCK - 1 or row == last - 1:
            _flush(plain, sums[0])
            _flush(scaled, sums[1])
            _flush(taus, sums[2])


@_compiled
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


@_compiled
def _moments(x, out, first, last):
    """Mean and summed squared deviations of (rows, channels), from first to last, block by block (Chan et al.)."""
    channels = x.shape[1]
    total, squares, centre = np.empty(channels, F), np.empty(channels, F), np.empty(channels, F)
    mean, spread = out[0], out[1]
    seen = 0
    for start in range(first, last, BLOCK):
        stop = min(start + BLOCK, last)
        count = stop - start
        total[:] = 0
        squares[:] = 0
        for row in range(start, stop):
            place = x[row]
            for c in range(channels):
                total[c] += _load(place[c])
        for c in range(channels):
            centre[c] = total[c] / F(count)
        for row in range(start, stop):
            place = x[row]
            for c in range(channels):
                d = _load(place[c]) - centre[c]
                squares[c] += d * d
        for c in range(channels):
            # the block's exact mean is total / count; `centre`, its rounding, moves the squares by less than theirs
            delta = total[c] / np.float64(count) - mean[c]
            mean[c] += delta * count / (seen + count)
            spread[c] += squares[c] + delta * delta * seen * count / (seen + count)
        seen += count


@_compiled
def _moments_pieces(x, out, bounds, first, last):
    for i in range(first, last):
        _moments(x, out[i], bounds[i], bounds[i + 1])


@_compiled
def _norm_back(grad, x, scale, mean, inverse, mean_plain, mean_scaled, first, last):
    """In place: gradient of the normalised input -> gradient of the input, (rows, channels) from first to last."""
    channels = x.shape[1]
    for row in range(first, last):
        g, place = grad[row], x[row]
        for c in range(channels):
            normal = (_load(place[c]) - mean[c]) * inverse[c]
            _store(g, c, scale[c] * (_load(g[c]) - mean_plain[c] - normal * mean_scaled[c]))


@functools.lru_cache(maxsize=1)
def _pool(process: int, threads: int) -> concurrent.futures.ThreadPoolExecutor:
    # for each process its own: a pool does not survive a fork
    return concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix="kspike")


def _run(work: Callable[[np.ndarray, int, int], None], rows: int, size: int, threads: int) -> None:
    """Cuts rows, `size` numbers, into pieces, and calls work(bounds, first, last) once a thread for some of them.

    Piece i is rows bounds[i] to bounds[i + 1]; the loops hold no lock.
    """
    count = max(1, min(CHUNKS, rows, size // PIECE))
    bounds = np.arange(count + 1) * rows // count
    threads = min(threads, count)
    if threads < 2:
        work(bounds, 0, count)
        return
    shares = [(count * i // threads, count * (i + 1) // threads) for i in range(threads)]
    others = [_pool(os.getpid(), threads - 1).submit(work, bounds, *share) for share in shares[1:]]
    work(bounds, *shares[0])
    for other in others:
        other.result()


def _side_by_side(places: int, channels: int, row: int = ROW) -> int:
    """How many places are taken as one long row: few channels alone make loops that are over before they are fast."""
    most = max(1, row // max(1, channels))
    return next(g for g in range(min(most, max(1, places)), 0, -1) if places % g == 0)


def _joined(x: np.ndarray, together: int) -> np.ndarray:
    return x.reshape(*x.shape[:2], x.shape[2] // together, x.shape[3] * together)


def _repeated(a: np.ndarray, together: int) -> np.ndarray:
    """Numbers by channel, for so many places: np.tile in a third of its time."""
    return np.broadcast_to(a, (together, a.size)).reshape(-1)


#: No potentials to start from, or to keep.
_NONE = np.empty((0, 1, 1), "float32")


def fire(
    x: np.ndarray, scale: np.ndarray, shift: np.ndarray, neuron: tuple, out: np.ndarray, threads: int,
    start: np.ndarray = _NONE, end: np.ndarray = _NONE,
) -> None:  # fmt: skip
    """Writes the spikes of neurons fed with x * scale + shift (one a channel) into `out`.

    Args:
        x: `(batch, time, places, channels)`, float32, or bfloat16 as uint16.
        scale, shift: float32 `(channels,)`.
        neuron: (tau, learned, v_threshold, v_reset or 0, soft, decay_input); `learned` is an empty array, or 1 / tau by
            channel in place of tau; numbers are float32.
        out: of x's shape, float32, or bfloat16 as uint16.
        threads: how many threads to use.
        start: potentials to start from, float32 `(batch, places, channels)`; of size 0 for v_reset.
        end: those after the last step are written here; of size 0 for nowhere.
    """
    together = _side_by_side(*x.shape[2:])
    x, out = _joined(x, together), _joined(out, together)
    start, end = (a.reshape(a.shape[0], *x.shape[2:]) if a.size else a for a in (start, end))
    scale, shift = _repeated(scale, together), _repeated(shift, together)
    neuron = (neuron[0], _repeated(neuron[1], together), *neuron[2:])
    rows = x.shape[0] * x.shape[2]
    one = out.dtype.type(0x3F80 if out.dtype == np.uint16 else 1)  # bfloat16's 1

    def work(bounds: np.ndarray, first: int, last: int) -> None:
        _fire(x, scale, shift, *neuron, one, out, start, end, bounds[first], bounds[last])

    _run(work, rows, x.size, threads)


def fire_back(
    upstream: np.ndarray, x: np.ndarray, affine: tuple, neuron: tuple, slope: tuple, grad: np.ndarray, summed: bool,
    threads: int,
) -> np.ndarray:  # fmt: skip
    """Writes the gradient of x * scale + shift into `grad`; returns three sums a channel, float64.

    They are of that gradient, of it times the normalised input, and the gradient of 1 / tau where that is learned.

    Args:
        upstream: gradient of the spikes.
        affine: (scale, shift, mean, inverse), float32 `(channels,)`; mean and inverse give the second sum.
        slope: (detach_reset, place in `cpu_pass.SURROGATES`, alpha).
        summed: whether the first two sums are wanted.
    """
    channels, together = x.shape[-1], _side_by_side(*x.shape[2:])
    upstream, x, grad = (_joined(a, together) for a in (upstream, x, grad))
    rows_of = tuple(_repeated(a, together) for a in affine[:3])
    neuron = (neuron[0], _repeated(neuron[1], together), *neuron[2:])
    sums = np.zeros((CHUNKS, 3, channels))

    def work(bounds: np.ndarray, first: int, last: int) -> None:
        _fire_back_pieces(upstream, x, rows_of, neuron, slope, summed, grad, sums, bounds, first, last)

    _run(work, x.shape[0] * x.shape[2], x.size, threads)
    found = sums.sum(0)
    found[1] *= affine[3]
    return found


def moments(x: np.ndarray, threads: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and biased variance of each channel of (rows, channels), float64."""
    rows, channels = x.shape
    together = _side_by_side(rows, channels, SUMMED)
    x = x.reshape(rows // together, together * channels)
    parts = np.zeros((CHUNKS, 2, x.shape[1]))
    counts = np.zeros((CHUNKS, 1, 1))

    def work(bounds: np.ndarray, first: int, last: int) -> None:
        counts[first:last, 0, 0] = bounds[first + 1 : last + 1] - bounds[first:last]
        _moments_pieces(x, parts, bounds, first, last)

    _run(work, len(x), x.size, threads)
    means, spreads = parts.reshape(CHUNKS, 2, together, channels).swapaxes(0, 1)
    mean = (means * counts).sum((0, 1)) / rows
    return mean, (spreads + np.square(means - mean) * counts).sum((0, 1)) / rows


def norm_back(
    grad: np.ndarray, x: np.ndarray, scale: np.ndarray, mean: np.ndarray, inverse: np.ndarray, means: np.ndarray,
    threads: int,
) -> None:  # fmt: skip
    """In place: gradient of the normalised input -> gradient of the input; all `(rows, channels)`."""
    rows, channels = x.shape
    together = _side_by_side(rows, channels)
    grad, x = (a.reshape(rows // together, together * channels) for a in (grad, x))
    numbers = [_repeated(a, together) for a in (scale, mean, inverse, *means.astype("float32"))]

    def work(bounds: np.ndarray, first: int, last: int) -> None:
        _norm_back(grad, x, *numbers, bounds[first], bounds[last])

    _run(work, len(x), x.size, threads)
