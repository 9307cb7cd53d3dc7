"""Anytime inference: what a Spikformer answers after each of its time steps, from one run."""

from __future__ import annotations

from typing import Annotated, Any

import keras
from keras import ops

from kspike._types import Array, Signal
from kspike.layers.coding import RateDecoding, check_places, mean_of_places
from kspike.models.spikformer import Spikformer


def running_mean(x: Signal) -> Annotated[Array, "batch time channels"]:
    """(batch, time, ..., channels) -> (batch, time, channels) in float32: over all between, then the steps so far."""
    x = mean_of_places(x)
    time = x.shape[1] if x.shape[1] is not None else ops.shape(x)[1]
    return ops.cumsum(x, axis=1) / ops.reshape(ops.arange(1, time + 1, dtype="float32"), (1, -1, 1))


def together(model: keras.Model) -> int:
    """The most time steps that a component of a model takes together: above 1 it does not run step by step."""
    made = (getattr(layer, "component", None) for layer in model._flatten_layers(include_self=False))
    return max((getattr(component, "together", 1) for component in made), default=1)


def step_by_step(model: Any, name: str) -> None:
    """Refuses what is no Spikformer with its head, or does not run step by step, by ValueError naming a function."""
    if not isinstance(model, Spikformer):
        raise ValueError(f"{name} expects a kspike.Spikformer, got {type(model).__name__}; extract a supernet's first.")
    if not model.include_top:
        raise ValueError(f"{name} expects a Spikformer with its head; this one was made with include_top=False.")
    if together(model) > 1:
        raise ValueError(
            f"{name} expects a network whose time steps look back alone; a mixer of this one takes {together(model)} "
            "steps together (its chunk)."
        )


def one_by_one(model: Any, name: str) -> None:
    """Refuses what `step_by_step` does, and what cannot run a step before the next one is there."""
    step_by_step(model, name)
    neuron = model.config.neuron_component
    if neuron.at_once > 1:
        raise ValueError(
            f"{name} expects a network that runs one time step at a time; its neurons, {neuron.label}, take "
            f"{neuron.at_once} together. Give the network of levels that it was unrolled from."
        )


def over_time(model: Spikformer) -> RateDecoding:
    """The layer that takes the mean over time."""
    return model.get_layer("decoding" if model.config.head == "mean" else "averaging")


@keras.saving.register_keras_serializable(package="kspike")
class AnytimeDecoding(keras.layers.Layer):
    """Averages over tokens, then over the steps so far: y[t] = mean over s <= t of the mean over tokens of x[s].

    Input shape: `(batch, time, ..., channels)`: of a Spikformer `(batch, time, tokens, channels)`. Output shape:
    `(batch, time, channels)`.

    Raises:
        ValueError: an input without time and channels.
    """

    def call(self, inputs: Signal) -> Annotated[Array, "batch time channels"]:
        return ops.cast(running_mean(inputs), self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        check_places(input_shape)
        return (input_shape[0], input_shape[1], input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        # Keras writes one by itself only for a layer whose dtype policy was given by name
        return super().get_config()


def anytime(model: Spikformer) -> keras.Model:
    """Gives a model of the same weights that returns the logits after every time step, `(batch, T, num_classes)`.

    Step t answers as the network with T = t, these weights and *these* normalisation statistics would: neurons look
    back alone. They are the statistics of the whole run, so a network of a shorter T that recalibrated its own
    (`Supernet.calibrate`) is another network, and as a rule the better one; a search never judges a short T this way.

    All T steps are run. `early_exit` stops where the answer is decided; `exit_curve` says what that costs in accuracy.

    Args:
        model: a `Spikformer` with its head.

    Raises:
        ValueError: something else, a Spikformer without its head, or one that takes several steps together.

    Example:
        >>> import kspike, numpy as np
        >>> from kspike.models import anytime
        >>> config = kspike.SpikformerConfig(input_shape=(8, 8, 1), embed_dim=16, depth=1, num_heads=2, timesteps=3)
        >>> anytime(kspike.Spikformer(config)).predict(np.zeros((2, 8, 8, 1)), verbose=0).shape
        (2, 3, 10)
    """
    step_by_step(model, "anytime")
    mean, head = over_time(model), model.get_layer("head")
    reading = AnytimeDecoding(dtype=mean.dtype_policy, name="anytime_decoding")(mean.input)
    logits = reading if model.config.averages_logits else head(reading)
    return keras.Model(model.input, logits, name=f"{model.name}_anytime")
