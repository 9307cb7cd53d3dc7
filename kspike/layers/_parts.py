"""What the composite layers share: their neurons by kind, their initialisers, folding time into batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import keras

from kspike import components
from kspike import config as checks
from kspike import surrogate as surrogates
from kspike._registry import nearest
from kspike.layers._state import KEY, layer_state, restore, set_trainable
from kspike.layers.initializers import TruncatedNormal, UniformFanIn
from kspike.layers.lif import layer_of
from kspike.layers.neuron import SpikingNeuron


def linear_initializer() -> keras.initializers.Initializer:
    """Truncated normal of deviation 0.02, as the official code fills every linear layer; a new one for each weight.

    One initialiser fills every weight alike: two products that shared it would start from the same numbers.
    """
    return TruncatedNormal(stddev=0.02)


def conv_initializer() -> keras.initializers.Initializer:
    """Uniform on +-1/sqrt(fan_in): PyTorch's default for convolutions, which the official code leaves in place."""
    return UniformFanIn()


class SpikingComposite(keras.layers.Layer):
    """Base of SPS, SSA, SpikingMLP and SpikformerBlock: neuron parameters by kind, kept as given for get_config."""

    #: Neuron kinds this layer may hold.
    kinds: Sequence[str] = checks.BLOCK_KINDS

    def __init__(
        self,
        *,
        residual: str = "add",
        neuron: Any = "lif",
        tau: Any = checks.DEFAULT_TAU,
        v_threshold: Any = checks.DEFAULT_THRESHOLD,
        v_reset: float | None = 0.0,
        decay_input: bool = True,
        detach_reset: bool = True,
        surrogate: Any = "sigmoid",
        spike_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        known = ("add", "membrane")
        if residual not in known:
            raise ValueError(f"residual must be one of {known}, got {residual!r}{nearest(residual, known)}.")
        self.residual = residual
        self.neuron = components.get("neuron", neuron).word
        self.tau = tau
        self.v_threshold = v_threshold
        self.v_reset = v_reset
        self.decay_input = bool(decay_input)
        self.detach_reset = bool(detach_reset)
        self.surrogate = surrogates.get(surrogate)
        self._spike_regularizer = keras.regularizers.get(spike_regularizer)
        self._tau_of = checks.by_kind(tau, self.kinds, {}, checks.DEFAULT_TAU, "tau")
        self._threshold_of = checks.by_kind(
            v_threshold, self.kinds, checks.DEFAULT_THRESHOLDS, checks.DEFAULT_THRESHOLD, "v_threshold"
        )
        for kind in self.kinds:
            self._tau_of[kind] = checks.check_tau(self._tau_of[kind], f"tau of {kind}")
            self._threshold_of[kind] = checks.check_threshold(self._threshold_of[kind], f"v_threshold of {kind}")

    @property
    def shared_arguments(self) -> dict[str, Any]:
        """The constructor's arguments that a composite hands on to the composites inside it."""
        return {
            "residual": self.residual,
            "neuron": self.neuron,
            "v_reset": self.v_reset,
            "decay_input": self.decay_input,
            "detach_reset": self.detach_reset,
            "surrogate": self.surrogate,
            "spike_regularizer": self._spike_regularizer,
            "dtype": self.dtype_policy,
        }

    @property
    def spike_regularizer(self) -> Any:
        """The activity regulariser of every neuron in here; a new one takes effect where a model is compiled anew."""
        return self._spike_regularizer

    @spike_regularizer.setter
    def spike_regularizer(self, value: Any) -> None:
        self._spike_regularizer = regularizer = keras.regularizers.get(value)
        for layer in self._flatten_layers(include_self=False):
            if isinstance(layer, SpikingComposite):
                layer._spike_regularizer = regularizer
            elif isinstance(layer, SpikingNeuron):
                layer.activity_regularizer = regularizer

    def make_neuron(self, kind: str, name: str, groups: int = 1) -> keras.layers.Layer:
        """A neuron layer of one kind, with this layer's parameters."""
        common = {
            "v_threshold": self._threshold_of[kind],
            "v_reset": self.v_reset,
            "decay_input": self.decay_input,
            "detach_reset": self.detach_reset,
            "surrogate": self.surrogate,
            "activity_regularizer": self._spike_regularizer,
            "dtype": self.dtype_policy,
            "name": name,
        }
        return layer_of(self.neuron, self._tau_of[kind], groups, common)

    def settle(self) -> None:
        """Ends every `build`: the parts made in it are frozen, or changed, as this layer and its config say."""
        if not self.trainable:
            for layer in self._flatten_layers():
                set_trainable(layer, False)
        restore(self, self.__dict__.pop(KEY, None))

    def quantize(self, mode: Any = None, type_check: bool = True, config: Any = None) -> NoReturn:
        """Refuses, by ValueError: Keras would leave every product in here as it is."""
        raise ValueError(unquantised(type(self).__name__))

    def get_config(self) -> dict[str, Any]:
        # what was changed on the parts is no argument: it is there only where there is something to say
        state = {**vars(self).get(KEY, {}), **layer_state(self)}
        return {
            **super().get_config(),
            **({KEY: state} if state else {}),
            "residual": self.residual,
            "neuron": components.describe(self.neuron),
            "tau": self.tau,
            "v_threshold": self.v_threshold,
            "v_reset": self.v_reset,
            "decay_input": self.decay_input,
            "detach_reset": self.detach_reset,
            "surrogate": surrogates.serialize(self.surrogate),
            "spike_regularizer": keras.regularizers.serialize(self._spike_regularizer)
            if self._spike_regularizer is not None
            else None,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SpikingComposite:
        config = dict(config)
        state = config.pop(KEY, None)
        layer = super().from_config(config)
        if state:
            vars(layer)[KEY] = state  # until the parts are there; past Keras, which would track and wrap it
        return layer


def known_sizes(layer: keras.Layer, input_shape: tuple, axes: str, known: tuple[str, ...]) -> None:
    """Refuses an input of other axes than these, or one that leaves the known ones open, by ValueError."""
    names = axes.split(", ")
    free = [name for name, size in zip(names, input_shape, strict=False) if name in known and size is None]
    if len(input_shape) != len(names) or free:
        where = f" {', '.join(known)} must be known when the layer is built: fix them in keras.Input(...)."
        raise ValueError(
            f"{type(layer).__name__} expects ({axes}), got shape {tuple(input_shape)}.{where if free else ''}"
        )


def unquantised(name: str) -> str:
    """Why `quantize` is refused."""
    return (
        f"quantize expects layers whose products Keras computes; those of {name} are kspike's own, which Keras leaves "
        "in float. kspike.quantize(model, images) makes a network with int8 weights; dtype='mixed_bfloat16' is half "
        "precision."
    )
