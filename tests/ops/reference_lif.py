"""The neuron written out once more in NumPy float32, one rounding an operation: what every compiled path must equal."""

from __future__ import annotations

import numpy as np


def lif(
    x: np.ndarray,
    tau: float = 2.0,
    v_threshold: float = 1.0,
    v_reset: float | None = 0.0,
    decay_input: bool = True,
    **_: object,
) -> tuple[np.ndarray, np.ndarray]:
    """Spikes and potentials h of inputs (batch, time, ...), in float32."""
    f = np.float32
    rest, tau, v_threshold = f(v_reset or 0.0), f(tau), f(v_threshold)
    v = np.full_like(x[:, 0], rest)
    spikes, potentials = np.empty_like(x), np.empty_like(x)
    for t in range(x.shape[1]):
        if decay_input:
            h = v + (x[:, t] - (v - rest)) / tau
        else:
            h = v - (v - rest) / tau + x[:, t]
        s = (h >= v_threshold).astype("float32")
        v = h - s * v_threshold if v_reset is None else (f(1) - s) * h + s * rest
        spikes[:, t], potentials[:, t] = s, h
    return spikes, potentials
