"""Unrolls a network of integer neurons into binary steps, with the same weights and the same answers."""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np
from keras import ops

from kspike import components
from kspike.config import SpikformerConfig
from kspike.layers.component import ComponentLayer
from kspike.models.spikformer import Spikformer

#: Where a component is linear, levels differ by rounding alone: at a half, on so many numbers at most.
TOLERANCE, ROUNDED = 1e-3, 0.01
#: Range of the shifts before neurons, over levels, of three probes: from seldom above 0 to mostly in between.
FIRING = ((-1.5, 0.1), (-1.0, 0.5), (-0.2, 1.0))


def unroll(model: Spikformer) -> Spikformer:
    """The network of T * D binary steps that answers what one of T steps and integer neurons of D levels answers.

    Each time step becomes D steps of 0 and 1. A level k is k spikes, in the first k of them: their mean is k / D. A
    neuron collects its input over the D steps, then fires. What is exact:

    - Products with weights, normalisation, shortcuts and means are linear: the mean over the D steps of what they give
      is what they give for the level.
    - The largest of spikes that all start at the first step is the largest level: pools of spikes run step by step.
      Pools of real numbers take the mean of the D steps.
    - Attention is a product of moving factors. q fires step by step; k and v are held for the D steps as how often they
      fire in all: sum over d of q[d] K V / D^2, K and V whole numbers. Every product adds up, none multiplies.
    - Another product of two signals in a mixer's `forward` (the gate of token QK attention, say) is not linear in
      either, and is refused with the component's name.

    Logits differ by rounding: a mean of D sums is another order of summation. A current that lies on a half may then
    round to the other level: sums of levels alone do so exactly, those with weights hardly ever meet one.

    Args:
        model: a `Spikformer` whose neuron fires levels, "integer". Nothing in it is changed.

    Returns:
        A `Spikformer` of timesteps T * D and `Integer(levels=D, unrolled=True)`. It takes the same images; of frames,
        each D times: `np.repeat(frames, D, axis=1)`. It is for inference: the unrolled neuron has no gradient.

    Raises:
        ValueError: no Spikformer, a neuron that fires 0 and 1 itself, or a component that multiplies two signals.

    Example:
        >>> import kspike, numpy as np
        >>> from kspike.models import unroll
        >>> config = kspike.SpikformerConfig(
        ...     input_shape=(8, 8, 1), embed_dim=16, depth=1, num_heads=2, timesteps=1, neuron="integer")
        >>> unroll(kspike.Spikformer(config)).config.timesteps
        4
    """
    if not isinstance(model, Spikformer):
        raise ValueError(f"unroll expects a kspike.Spikformer, got {type(model).__name__}; extract a supernet's first.")
    config = unrolled_config(model.config)
    check_linear(model.config)
    found = Spikformer(config, include_top=model.include_top, dtype=model.policy, name=f"{model.name}_unrolled")
    found.set_weights(model.get_weights())
    return found


def leveled(model: keras.Model) -> components.Neuron | None:
    """The neuron of a model that fires levels, or None: all its neurons fire 0 and 1."""
    config = getattr(model, "config", None)
    own = [config.neuron_component] if isinstance(config, SpikformerConfig) else []
    layers = (getattr(layer, "component", None) for layer in model._flatten_layers())
    found = [*own, *(each for each in layers if isinstance(each, components.Neuron))]
    return next((each for each in found if each.binary is not None), None)


def in_binary_steps(model: keras.Model) -> tuple[keras.Model, int]:
    """(the model in binary steps, D), where its neurons fire levels; else (the model, 1).

    Raises:
        ValueError: as `unroll`, and where neurons that fire levels stand in another model than a Spikformer.
    """
    neuron = leveled(model)
    if neuron is None or neuron.binary is None:
        return model, 1
    if not isinstance(model, Spikformer):
        raise ValueError(
            f"{model.name} has neurons that fire levels ({neuron.label}), which are counted as binary steps; of a "
            f"Spikformer alone kspike knows how, got {type(model).__name__}."
        )
    return unroll(model), neuron.binary.at_once


def unrolled_config(config: SpikformerConfig) -> SpikformerConfig:
    """The architecture in binary steps; see `unroll`."""
    neuron = config.neuron_component.binary
    if neuron is None:
        raise ValueError(
            f"unroll expects neurons that fire levels, as neuron='integer' does; {config.neuron_component.label} fires "
            "0 and 1."
        )
    timesteps = config.timesteps * neuron.at_once
    shape = (timesteps, *config.input_shape[1:]) if config.has_time else config.input_shape
    return config.replace(neuron=neuron, timesteps=timesteps, input_shape=shape)


@functools.lru_cache(maxsize=64)
def check_linear(config: SpikformerConfig) -> None:
    """Runs every component of a network as it is and in binary steps, over random weights.

    Raises:
        ValueError: the mean of the binary steps is not what the levels give.
    """
    levels, binary = Spikformer(config), Spikformer(unrolled_config(config))
    rng = np.random.default_rng(0)
    for low, high in FIRING:  # a gate that is always shut, or always open, multiplies by a constant
        for variable in levels.trainable_variables:
            shape = tuple(variable.shape)
            if len(shape) > 1:
                variable.assign(rng.normal(0.0, 2.0 / np.sqrt(np.prod(shape[:-1])), shape))
            elif variable.name == "beta":
                variable.assign(binary.config.neuron_component.at_once * rng.uniform(low, high, shape))
        binary.set_weights(levels.get_weights())
        for one, other in zip(_components(levels), _components(binary), strict=True):
            if _differ(one, other, config.timesteps, other.at_once, rng):
                raise ValueError(
                    f"The {one.component.role} {one.component.label} multiplies signals with each other, or is "
                    "otherwise not linear between its neurons: it has no exact unrolling into binary steps. Take "
                    "another, or keep the levels."
                )


def _differ(levels: Any, binary: Any, timesteps: int, n: int, rng: np.random.Generator) -> bool:
    """Whether the mean of a layer's n binary steps is another than what its levels give, for steps of one mean."""
    shape = tuple(levels.get_build_config()["input_shape"][2:])
    x = rng.normal(1.0, 1.0, (1, timesteps, *shape)).astype("float32")
    spread = rng.normal(0.0, 0.5, (1, timesteps, n, *shape)).astype("float32")
    steps = (x[:, :, None] + spread - spread.mean(axis=2, keepdims=True)).reshape(1, -1, *shape)
    wanted, found = (ops.convert_to_numpy(call(ops.convert_to_tensor(a))) for call, a in ((levels, x), (binary, steps)))
    found = found.reshape(1, timesteps, n, *found.shape[2:]).mean(axis=2)
    return bool(np.mean(np.abs(found - wanted) > TOLERANCE) > ROUNDED)


def _components(model: keras.Model) -> list[Any]:
    return [layer for layer in model._flatten_layers() if isinstance(layer, ComponentLayer)]
