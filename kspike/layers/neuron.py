"""Spiking neurons as layers: what all of them share, and any component as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
from keras import ops

from kspike import components
from kspike import config as checks
from kspike import surrogate as surrogates
from kspike._types import Currents, Spikes
from kspike.layers.stepping import Membrane, check_step, fire, run, starts
from kspike.ops import lif
from kspike.regularizers import activity_loss


class SpikingNeuron(keras.layers.Layer):
    """Base of all neuron layers: their parameters, and a membrane that stays in float32.

    Input shape: `(batch, time, ...)`. Output shape: the same.
    """

    #: Whether `kspike.ops.norm_lif` may stand for a normalisation and this layer: not where `call` is a subclass' own.
    one_pass = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "one_pass" not in vars(cls):
            cls.one_pass = cls.call is SpikingNeuron.call

    def __init__(
        self,
        *,
        v_threshold: float = 1.0,
        v_reset: float | None = 0.0,
        decay_input: bool = True,
        detach_reset: bool = True,
        surrogate: Any = "sigmoid",
        **kwargs: Any,
    ) -> None:
        # Not cast on the way in: counts past 256 (attention) come in float32, and the membrane is float32 in any case.
        super().__init__(autocast=False, **kwargs)
        self.v_threshold = checks.check_threshold(v_threshold)
        checks.check_neuron(v_reset, self.v_threshold)
        self.v_reset = None if v_reset is None else float(v_reset)
        self.decay_input = bool(decay_input)
        self.detach_reset = bool(detach_reset)
        self.surrogate = surrogates.get(surrogate)
        self.supports_masking = True
        #: Takes the spikes of every call, for metrics; a function, or None.
        self.listener: Callable[[Any], None] | None = None
        #: Potentials that a call starts from, and puts its last ones in place of; None, as ever but while a network is
        #: run step by step (`kspike.models.early_exit`): every call starts from v_reset, and nothing is kept.
        self.potentials: Any = None

    @property
    def start(self) -> tuple[Any, ...]:
        """What every state starts from, as `potentials` takes it: a number each."""
        return (float(self.v_reset or 0.0),)

    def states(self) -> tuple[Any, ...]:
        """The states after the last call, where `resume` was called before it."""
        return (self.potentials,)

    def resume(self, states: tuple[Any, ...] | None) -> None:
        """Makes the next call start from these states and keep those after it; None: as ever."""
        # into the instance's own dict: a traced tensor is nothing for Keras to track
        self.__dict__["potentials"] = None if states is None else states[0]

    def time_constant(self, channels: int | None) -> dict[str, Any]:
        """tau, or a learned 1 / tau of each of the channels, as `kspike.ops.lif` takes it."""
        return {"tau": self.tau}

    def call(self, inputs: Currents) -> Spikes:
        if len(inputs.shape) < 2:
            raise ValueError(f"{self.name} expects (batch, time, ...), got shape {tuple(inputs.shape)}.")
        x = inputs if keras.backend.is_float_dtype(inputs.dtype) else ops.cast(inputs, self.compute_dtype)
        found = lif(x, **self.fused(inputs.shape[-1]))
        spikes = self._kept(found)
        if self.listener is not None:
            self.listener(spikes)
        return spikes

    def _kept(self, found: Any) -> Any:
        """The spikes of what `kspike.ops.lif` found, its potentials put aside where the next call goes on from them."""
        if self.potentials is None:
            return found
        # into the instance's own dict: a traced tensor is nothing for Keras to track
        spikes, self.__dict__["potentials"] = found
        return spikes

    def fired(self, found: Any) -> Spikes:
        """The spikes of what a fused pass found, past `__call__`: done with them is what it would have done."""
        spikes = self._kept(found)
        if self.activity_regularizer is not None:
            self.add_loss(activity_loss(self.activity_regularizer, spikes))
        if self.listener is not None:
            self.listener(spikes)
        return spikes

    def fused(self, channels: int | None) -> dict[str, Any]:
        """All that `kspike.ops.lif`, or `norm_lif`, is told of it, for so many channels."""
        how = {"dtype": self.compute_dtype, "v": self.potentials}
        return {**self.time_constant(channels), **self.neuron_arguments, **how}

    @property
    def neuron_arguments(self) -> dict[str, Any]:
        """What `kspike.ops.lif` is told beside the time constant."""
        return {
            "v_threshold": self.v_threshold,
            "v_reset": self.v_reset,
            "decay_input": self.decay_input,
            "detach_reset": self.detach_reset,
            "surrogate": self.surrogate,
        }

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return tuple(input_shape)

    def compute_output_spec(self, inputs: Currents, *args: Any, **kwargs: Any) -> keras.KerasTensor:
        return keras.KerasTensor(inputs.shape, dtype=self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            **self.neuron_arguments,
            "surrogate": surrogates.serialize(self.surrogate),
        }


@keras.saving.register_keras_serializable(package="kspike")
class Neuron(SpikingNeuron):
    """Any neuron component as a layer: its `step`, over axis 1.

    Args:
        neuron: a name, an object with settings, or its JSON form; see `kspike.components`.
        tau: membrane time constant in time steps, above 1; the start where it is learned.
        groups: the last axis is split into this many equal parts, each with learned weights of its own.
        v_threshold, v_reset, decay_input, detach_reset, surrogate, activity_regularizer: as `LIF`, where `step` reads
            them.

    Input shape: `(batch, time, ..., channels)`. Output shape: the same.

    Raises:
        ValueError: an unknown component, a parameter out of range, or a step that returns other states than declared.
    """

    def __init__(self, neuron: Any = "lif", *, tau: float = 2.0, groups: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.component = components.get("neuron", neuron)
        check_step(self.component)
        self.tau = checks.check_tau(tau)
        if not isinstance(groups, int) or groups < 1:
            raise ValueError(f"groups must be a whole number of at least 1, got {groups!r}.")
        self.groups = groups

    @property
    def one_pass(self) -> bool:  # type: ignore[override]  # the component says it
        """Whether `kspike.ops.norm_lif` may stand for a normalisation and this layer."""
        return self.component.one_pass

    def build(self, input_shape: tuple) -> None:
        if self.groups > 1 and (input_shape[-1] is None or input_shape[-1] % self.groups):
            raise ValueError(f"groups ({self.groups}) must divide the channels, got an input of shape {input_shape}.")
        for name, start in self.component.weights(self.tau).items():
            weight = self.add_weight(
                shape=(self.groups,),
                initializer=keras.initializers.Constant(start),
                name=name,
                dtype="float32",
                autocast=False,
            )
            setattr(self, name, weight)

    def membrane(self, channels: int | None) -> Membrane:
        """The neuron and its parameters, as `kspike.layers.stepping.run` takes them."""
        weights = {name: getattr(self, name) for name in self.component.weights(self.tau)}
        spread = learned_weights(weights, channels or 0)
        return Membrane(self.component, tau=self.tau, weights=spread, **self.neuron_arguments)

    def fused(self, channels: int | None) -> dict[str, Any]:
        return {**self.membrane(channels).fused, "dtype": self.compute_dtype, "v": self.potentials}

    def call(self, inputs: Currents) -> Spikes:
        if self.one_pass:
            return super().call(inputs)
        if len(inputs.shape) < 2:
            raise ValueError(f"{self.name} expects (batch, time, ...), got shape {tuple(inputs.shape)}.")
        membrane = self.membrane(inputs.shape[-1])
        if self.potentials is None:
            spikes = fire(membrane, inputs, self.compute_dtype)
        else:
            spikes, self.__dict__["potentials"] = run(membrane, inputs, self.potentials, self.compute_dtype)
        if self.listener is not None:
            self.listener(spikes)
        return spikes

    @property
    def start(self) -> tuple[Any, ...]:
        return starts(self.component, self.v_reset)

    def states(self) -> tuple[Any, ...]:
        return super().states() if self.one_pass else self.potentials

    def resume(self, states: tuple[Any, ...] | None) -> None:
        if self.one_pass:
            super().resume(states)
            return
        self.__dict__["potentials"] = states

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "neuron": components.describe(self.component),
            "tau": self.tau,
            "groups": self.groups,
        }


def learned_weights(weights: Mapping[str, keras.Variable], channels: int) -> dict[str, Any]:
    """Learned weights, one number a group of channels -> one number a channel, or one for all."""
    found = {name: ops.convert_to_tensor(weight) for name, weight in weights.items()}
    return {name: w if w.shape[0] == 1 else ops.repeat(w, channels // w.shape[0]) for name, w in found.items()}
