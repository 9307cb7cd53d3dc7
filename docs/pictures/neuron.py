"""Draws docs/pictures/neuron.png from what the LIF layer really fires. Run: python docs/pictures/neuron.py"""

from __future__ import annotations

from pathlib import Path

import keras
import matplotlib
import numpy as np

from kspike import layers, surrogate

matplotlib.use("Agg")
from matplotlib import pyplot as plt

STEPS, TAU, THRESHOLD = 40, 4.0, 1.0


def current() -> np.ndarray:
    """Silence, a weak step that never fires, a strong step, and a ramp."""
    x = np.zeros(STEPS, "float32")
    x[3:11], x[15:25] = 0.9, 2.2
    x[28:] = np.linspace(0.2, 3.2, STEPS - 28)
    return x


def potential(x: np.ndarray, spikes: np.ndarray, soft: bool) -> np.ndarray:
    """h[t] before the reset, by the layer's equations, driven by the spikes that the layer gave."""
    v, h = 0.0, np.empty(STEPS)
    for t in range(STEPS):
        h[t] = v + (x[t] - v) / TAU
        v = h[t] - spikes[t] * THRESHOLD if soft else (1.0 - spikes[t]) * h[t]
    return h


def main() -> None:
    x = current()
    figure, axes = plt.subplots(2, 2, figsize=(10, 5.2), layout="constrained")
    (top_left, top_right), (bottom_left, bottom_right) = axes
    steps = np.arange(STEPS)
    top_left.step(steps, x, where="mid", color="tab:gray")
    top_left.set(title="input current x[t]", ylabel="x")
    for axis, v_reset, title in ((top_right, 0.0, "v_reset=0.0 (hard)"), (bottom_left, None, "v_reset=None (soft)")):
        spikes = np.asarray(keras.ops.convert_to_numpy(layers.LIF(tau=TAU, v_reset=v_reset)(x[None, :, None])))[0, :, 0]
        h = potential(x, spikes, soft=v_reset is None)
        axis.plot(steps, h, marker=".", color="tab:blue", label="h[t]")
        axis.axhline(THRESHOLD, color="tab:gray", linestyle="--", linewidth=1, label="v_threshold")
        fired = spikes > 0
        axis.scatter(steps[fired], h[fired], color="tab:red", zorder=3, label=f"spikes ({int(fired.sum())})")
        axis.set(title=f"membrane, {title}", ylabel="h", xlabel="time step")
        axis.legend(fontsize="small", loc="upper left")
    u = np.linspace(-1.5, 1.5, 601).astype("float32")
    for name in surrogate.names():
        slope = keras.ops.convert_to_numpy(surrogate.get(name).derivative(keras.ops.convert_to_tensor(u)))
        bottom_right.plot(u, slope, label=name, linewidth=1.2)
    bottom_right.set(title="surrogate gradients, default alpha", xlabel="u = h - v_threshold", ylim=(0, None))
    bottom_right.legend(fontsize="x-small")
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=100, metadata={"Software": None})


if __name__ == "__main__":
    main()
