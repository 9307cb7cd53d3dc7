"""The neuron as compiled loops: spikes of rows of numbers, time step by time step.

A row's numbers are walked through by several short loops, each in a function of its own: beside other code, or over so
many arrays that the compiler would need more than eight comparisons to tell them apart, a loop is not vectorised. What
every paper of this family uses (hard reset, decayed input, one tau) has loops that do more at once.
"""

from __future__ import annotations

import functools

import numpy as np

from kspike.ops.cpu.compiling import F, compiled, load
from kspike.ops.cpu.threads import run, side_by_side


@compiled
def charge(x, scale, shift, v, tau, learned, rest, decay_input, h):
    """h[t] of a row, from its input x * scale + shift and v[t-1]; `learned` is 1 / tau by channel, or empty."""
    if learned.shape[0]:
        if decay_input:
            for c in range(h.shape[0]):
                h[c] = v[c] + ((load(x[c]) * scale[c] + shift[c]) - (v[c] - rest)) * learned[c]
        else:
            for c in range(h.shape[0]):
                h[c] = v[c] - (v[c] - rest) * learned[c] + (load(x[c]) * scale[c] + shift[c])
    elif decay_input:
        for c in range(h.shape[0]):
            h[c] = v[c] + ((load(x[c]) * scale[c] + shift[c]) - (v[c] - rest)) / tau
    else:
        for c in range(h.shape[0]):
            h[c] = v[c] - (v[c] - rest) / tau + (load(x[c]) * scale[c] + shift[c])


@compiled
def reset(h, threshold, rest, soft, v):
    """v[t] of a row."""
    if soft:
        for c in range(h.shape[0]):
            v[c] = h[c] - threshold if h[c] >= threshold else h[c]
    else:
        for c in range(h.shape[0]):
            v[c] = rest if h[c] >= threshold else h[c]


@compiled
def usual_charge(x, scale, shift, v, tau, threshold, rest, h):
    """`charge` with decayed input and one tau, and `reset` to v_reset."""
    for c in range(h.shape[0]):
        p = v[c] + ((load(x[c]) * scale[c] + shift[c]) - (v[c] - rest)) / tau
        h[c] = p
        v[c] = rest if p >= threshold else p


@compiled
def _usual_fire(x, scale, shift, v, tau, threshold, rest, silent, one, nan, spikes):
    """The spikes of a row beside `usual_charge`; the potentials before them are not kept."""
    for c in range(v.shape[0]):
        p = v[c] + ((load(x[c]) * scale[c] + shift[c]) - (v[c] - rest)) / tau
        spikes[c] = one if p >= threshold else (silent if p < threshold else nan)
        v[c] = rest if p >= threshold else p


@compiled
def _fire(
    x, scale, shift, tau, learned, threshold, rest, soft, decay_input, values, out, start, end, bounds, first, last
):  # fmt: skip
    """Spikes of the pieces of rows (batch x places) from first to last; a potential that is nan makes no 0 but nan."""
    silent, one, nan = values
    _, steps, places, channels = x.shape
    usual = decay_input and not soft and learned.shape[0] == 0
    v, h = np.empty(channels, F), np.empty(channels, F)
    for row in range(bounds[first], bounds[last]):
        n, s = row // places, row % places
        if start.shape[0]:
            v[:] = start[n, s]
        else:
            v[:] = rest
        for t in range(steps):
            spikes = out[n, t, s]
            if usual:
                _usual_fire(x[n, t, s], scale, shift, v, tau, threshold, rest, silent, one, nan, spikes)
                continue
            charge(x[n, t, s], scale, shift, v, tau, learned, rest, decay_input, h)
            for c in range(channels):
                spikes[c] = one if h[c] >= threshold else (silent if h[c] < threshold else nan)
            reset(h, threshold, rest, soft, v)
        if end.shape[0]:
            end[n, s] = v


#: No potentials to start from, or to keep.
NONE = np.empty((0, 1, 1), "float32")


def fire(
    x: np.ndarray, scale: np.ndarray, shift: np.ndarray, neuron: tuple, out: np.ndarray, threads: int,
    start: np.ndarray = NONE, end: np.ndarray = NONE,
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
    tau, learned, *others = neuron
    (x, out, start, end), (scale, shift, learned) = side_by_side((x, out, start, end), (scale, shift, learned))
    # 0, 1 and nan; bfloat16's own bits
    values = tuple(out.dtype.type(a) for a in ((0, 0x3F80, 0x7FC0) if out.dtype == np.uint16 else (0, 1, np.nan)))
    work = functools.partial(_fire, x, scale, shift, tau, learned, *others, values, out, start, end)
    run(work, x.shape[0] * x.shape[2], x.size, threads)
