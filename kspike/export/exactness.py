"""Says whether float32 holds every potential of a neuron exactly, so that integers decide the same spikes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kspike.config import SpikformerConfig

#: Bits of a float32's fraction, with the one before the point.
BITS = 24
#: Currents are looked at down to multiples of 2^-DEEPEST.
DEEPEST = 24


def why_inexact(layer: Any, config: SpikformerConfig, currents: np.ndarray) -> str | None:
    """Why float32 has to round a neuron's potential somewhere, or None.

    A potential of T steps is a multiple of 2^-(p + a T): p of the currents, a = log2 tau added by every step.

    Args:
        layer: the neuron.
        config: the network's.
        currents: what came in, `(batch, time, ...)`.
    """
    component = config.neuron_component
    behind = _behind(currents)
    if behind is None:
        return "its currents are no multiples of a power of two (a factor of attention, or a mean over tokens)"
    if not component.states:
        return None
    if component.learns_tau:
        return "its time constant is learned"
    if not component.one_pass:
        return f"the step of {component.label} is its own"
    constants = {"tau": float(getattr(layer, "tau", 1.0)), "v_reset": layer.v_reset, **component.constants}
    tau, each = constants["tau"], 0
    if not math.isinf(tau):
        each = round(math.log2(tau))
        if 2.0**each != tau:
            return f"its time constant, {tau:g}, is no power of two"
    for name, value in (("v_reset", layer.v_reset), ("v_threshold", layer.v_threshold if layer.v_reset is None else 0)):
        if value and (value * 2.0**8) % 1:
            return f"its {name}, {value:g}, is no multiple of 2^-8"
    steps = currents.shape[1]
    highest = max(float(np.abs(currents).max(initial=0.0)), abs(layer.v_threshold))
    if not config.decay_input or math.isinf(tau):  # potentials add up
        highest *= steps
    need = behind + each * steps + max(math.ceil(math.log2(highest)), 0)
    if need > BITS:
        return f"its potential has {need} bits after {steps} steps, a float32 {BITS}"
    return None


def _behind(currents: np.ndarray) -> int | None:
    """The smallest p for which all are multiples of 2^-p; None past `DEEPEST`."""
    values = currents.astype("float64").ravel()
    for p in range(DEEPEST + 1):
        scaled = values * 2.0**p
        rest = scaled != np.rint(scaled)
        if not rest.any():
            return p
        values = values[rest]
    return None
