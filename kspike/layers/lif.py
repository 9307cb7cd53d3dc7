"""Leaky integrate-and-fire neurons."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from kspike import config as checks
from kspike.layers.neuron import Neuron, SpikingNeuron


@keras.saving.register_keras_serializable(package="kspike")
class LIF(SpikingNeuron):
    """Turns currents into spikes with leaky integrate-and-fire neurons, one a channel.

    The membrane charges, fires and resets at each time step:

        h[t] = v[t-1] + (x[t] - (v[t-1] - v_reset)) / tau
        s[t] = 1 if h[t] >= v_threshold else 0              (equality fires)
        v[t] = v_reset where s[t], else h[t]                (hard reset)

    With `decay_input=False`, h[t] = v[t-1] - (v[t-1] - v_reset) / tau + x[t]; with `v_reset=None` (soft reset),
    v_reset reads 0 above and v[t] = h[t] - s[t] * v_threshold. The state starts at v_reset (0 for a soft reset)
    in every call: there is nothing to reset between calls, and T is simply the length of axis 1.

    Source: Spikformer (Zhou et al., 2023, eq. 1-3), as run by SpikingJelly's LIFNode, whose names and numbers these
    are. Departures: `detach_reset` is on by default, as every model of this family sets it; axes are batch first.

    Args:
        tau: membrane time constant in time steps, above 1; int or float.
        v_threshold: potential at which the neuron fires (dimensionless, rest at v_reset).
        v_reset: potential after a spike, below v_threshold; None for a soft reset.
        decay_input: whether the input is divided by tau too. snnTorch's `beta` is 1 - 1/tau with decay_input=False.
        detach_reset: whether the gradient ignores the reset.
        surrogate: gradient of the step on the way back; a name (see `kspike.surrogate.names()`) or an object.
        activity_regularizer: Keras' own; `kspike.regularizers.FiringRate` penalises firing.

    Input shape: `(batch, time, ...)`. Output shape: the same, every value exactly 0 or 1.

    Raises:
        ValueError: a parameter out of range, or an input without a time axis.

    Example:
        >>> import numpy as np
        >>> from kspike import layers
        >>> layers.LIF(tau=2.0)(np.full((1, 4, 1), 1.5, "float32"))[0, :, 0]   # h: 0.75, 1.125 (fires), 0.75, 1.125
        array([0., 1., 0., 1.], dtype=float32)
    """

    def __init__(
        self,
        *,
        tau: float = 2.0,
        v_threshold: float = 1.0,
        v_reset: float | None = 0.0,
        decay_input: bool = True,
        detach_reset: bool = True,
        surrogate: Any = "sigmoid",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            v_threshold=v_threshold,
            v_reset=v_reset,
            decay_input=decay_input,
            detach_reset=detach_reset,
            surrogate=surrogate,
            **kwargs,
        )
        self.tau = checks.check_tau(tau)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "tau": self.tau}


@keras.saving.register_keras_serializable(package="kspike")
class PLIF(SpikingNeuron):
    """LIF whose time constant is learned: 1 / tau = sigmoid(w), one weight w for the layer or for each channel group.

    Source: Fang et al., 2021 (PLIF), as SpikingJelly's ParametricLIFNode: the membrane equation multiplies by
    sigmoid(w) where LIF divides by tau. Departure: `groups`, so that one layer stands for the three neurons of q, k
    and v, each with a tau of its own.

    Args:
        init_tau: tau at the start, in time steps, above 1: w = -log(init_tau - 1).
        groups: the last axis is split into this many equal parts, each with its own w.
        v_threshold, v_reset, decay_input, detach_reset, surrogate, activity_regularizer: as `LIF`.

    Input shape: `(batch, time, ..., channels)`. Output shape: the same, every value exactly 0 or 1.
    """

    def __init__(
        self,
        *,
        init_tau: float = 2.0,
        groups: int = 1,
        v_threshold: float = 1.0,
        v_reset: float | None = 0.0,
        decay_input: bool = True,
        detach_reset: bool = True,
        surrogate: Any = "sigmoid",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            v_threshold=v_threshold,
            v_reset=v_reset,
            decay_input=decay_input,
            detach_reset=detach_reset,
            surrogate=surrogate,
            **kwargs,
        )
        self.init_tau = checks.check_tau(init_tau, "init_tau")
        if not isinstance(groups, int) or groups < 1:
            raise ValueError(f"groups must be a whole number of at least 1, got {groups!r}.")
        self.groups = groups

    def build(self, input_shape: tuple) -> None:
        if self.groups > 1 and (input_shape[-1] is None or input_shape[-1] % self.groups):
            raise ValueError(f"groups ({self.groups}) must divide the channels, got an input of shape {input_shape}.")
        self.w = self.add_weight(
            shape=(self.groups,),
            initializer=keras.initializers.Constant(-math.log(self.init_tau - 1.0)),
            name="w",
            dtype="float32",
            autocast=False,
        )

    @property
    def tau(self) -> Any:
        """The time constants learned so far, one a group, in time steps."""
        return 1.0 + ops.exp(-self.w)

    def time_constant(self, channels: int | None) -> dict[str, Any]:
        """1 / tau, as `kspike.ops.lif` takes it: one number, or one a channel where there are groups."""
        inverse_tau = ops.sigmoid(ops.convert_to_tensor(self.w))
        if self.groups > 1:
            inverse_tau = ops.repeat(inverse_tau, channels // self.groups)  # type: ignore[operator]
        return {"inverse_tau": inverse_tau}

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "init_tau": self.init_tau, "groups": self.groups}


def layer_of(neuron: Any, tau: float, groups: int, arguments: dict[str, Any]) -> SpikingNeuron:
    """The layer of a neuron component, as a config holds it: LIF and PLIF have layers of their own."""
    if neuron == "lif":
        return LIF(tau=tau, **arguments)
    if neuron == "plif":
        return PLIF(init_tau=tau, groups=groups, **arguments)
    return Neuron(neuron, tau=tau, groups=groups, **arguments)
