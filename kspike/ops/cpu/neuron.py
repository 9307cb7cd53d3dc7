"""The neuron's forward pass as compiled loops: spikes of rows, time step by time step.

Each time step runs several short loops over the row, each in a function of its own: a loop beside other code is not
vectorised, nor one over so many arrays that it needs more than eight alias checks at run time (LLVM's limit). The
common neuron (hard reset, decayed input, one tau) has fused loops.
"""

from __future__ import annotations

import functools

import numpy as np

from kspike.ops.cpu.compiling import F, compiled, load
from kspike.ops.cpu.threads import parallel_rows


@compiled
def charge(x, scale, shift, v, tau, inverse_tau, rest, decay_input, h):
    """h[t] of a row, from its input x * scale + shift and v[t-1]; `inverse_tau` is 1 / tau by channel, or empty."""
    if inverse_tau.shape[0]:
        if decay_input:
            for c in range(h.shape[0]):
                h[c] = v[c] + ((load(x[c]) * scale[c] + shift[c]) - (v[c] - rest)) * inverse_tau[c]
        else:
            for c in range(h.shape[0]):
                h[c] = v[c] - (v[c] - rest) * inverse_tau[c] + (load(x[c]) * scale[c] + shift[c])
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
    """`charge` with decayed input and one tau, fused with `reset` to v_reset."""
    for c in range(h.shape[0]):
        p = v[c] + ((load(x[c]) * scale[c] + shift[c]) - (v[c] - rest)) / tau
        h[c] = p
        v[c] = rest if p >= threshold else p


@compiled
def _usual_fire(x, scale, shift, v, tau, threshold, rest, silent, one, nan, spikes):
    """`usual_charge` fused with the spikes of the row; h[t] is not stored."""
    for c in range(v.shape[0]):
        p = v[c] + ((load(x[c]) * scale[c] + shift[c]) - (v[c] - rest)) / tau
        spikes[c] = one if p >= threshold else (silent if p < threshold else nan)
        v[c] = rest if p >= threshold else p


@compiled
def _fire(
    tau, threshold, rest, soft, decay_input, values, x, out, start, end, scale, shift, inverse_tau, bounds, first, last
):  # fmt: skip
    """Spikes of the chunks of rows (batch x places) from first to last; a nan potential gives a nan spike, not 0."""
    silent, one, nan = values
    _, steps, places, channels = x.shape
    usual = decay_input and not soft and inverse_tau.shape[0] == 0
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
            charge(x[n, t, s], scale, shift, v, tau, inverse_tau, rest, decay_input, h)
            for c in range(channels):
                spikes[c] = one if h[c] >= threshold else (silent if h[c] < threshold else nan)
            reset(h, threshold, rest, soft, v)
        if end.shape[0]:
            end[n, s] = v


#: No initial potentials, or nowhere to write the last ones.
NONE = np.empty((0, 1, 1), "float32")


def fire(
    x: np.ndarray, scale: np.ndarray, shift: np.ndarray, neuron: tuple, out: np.ndarray, threads: int,
    start: np.ndarray = NONE, end: np.ndarray = NONE,
) -> None:  # fmt: skip
    """Writes the spikes of neurons whose input is x * scale + shift (by channel) into `out`.

    Args:
        x: `(batch, time, places, channels)`, float32, or bfloat16 as uint16.
        scale, shift: float32 `(channels,)`.
        neuron: (tau, inverse_tau, v_threshold, v_reset or 0, soft, decay_input); `inverse_tau` is an empty array, or
            1 / tau by channel in place of tau; scalars are float32.
        out: of x's shape, float32, or bfloat16 as uint16.
        threads: how many threads to use.
        start: initial potentials, float32 `(batch, places, channels)`; of size 0 for v_reset.
        end: the potentials after the last step are written here; of size 0 for nowhere.
    """
    tau, inverse_tau, *others = neuron
    # 0, 1 and nan; for bfloat16 as bits
    values = tuple(out.dtype.type(a) for a in ((0, 0x3F80, 0x7FC0) if out.dtype == np.uint16 else (0, 1, np.nan)))
    work = functools.partial(_fire, tau, *others, values)
    parallel_rows(work, (x, out, start, end), (scale, shift, inverse_tau), threads)
