"""Extraction: copies the leading slices of a supernet's weights into an ordinary Spikformer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from kspike import components
from kspike.components import parts as kinds_of_part
from kspike.components.parts import Conv, Dense, DepthwiseConv, Norm, number_of
from kspike.config import SpikformerConfig
from kspike.models import Spikformer
from kspike.supernet.places import ElasticComponent, ElasticPlace


def copy_weights(supernet: keras.Model, model: Spikformer, choices: Mapping[str, int]) -> None:
    """Fills `model` with what its config uses of the shared weights and of the stored statistics.

    Args:
        supernet: a `Supernet`.
        model: the network that a genome of its space expresses.
        choices: slot of a word gene -> which of its choices.
    """
    config = model.config
    _copy_place(supernet.stem, choices.get("stem", 0), model.get_layer("stem"), config.sizes(), config)
    for i in range(config.depth):
        block, shared = model.get_layer(f"block_{i}"), supernet.blocks[i]
        for field, name in (("mixer", "attention"), ("mlp", "mlp")):
            chosen = choices.get(f"{field}/{i}", 0)
            _copy_place(getattr(shared, name), chosen, getattr(block, name), config.sizes(i), config)
    head = model.get_layer("head")
    head.kernel.assign(_array(supernet.head.kernel)[: config.embed_dim, 0])
    head.bias.assign(_array(supernet.head.bias)[0])


def _copy_place(place: Any, chosen: int, layer: Any, sizes: Mapping[str, int], config: SpikformerConfig) -> None:
    shared: ElasticComponent = place.options[chosen] if isinstance(place, ElasticPlace) else place
    neuron = config.neuron_component
    for name, part in shared.declared.items():
        if isinstance(part, kinds_of_part.Neuron):
            _copy_neuron(shared, name, neuron, layer.part(name))
            continue
        if not isinstance(part, (Dense, Conv, DepthwiseConv, Norm)):
            continue
        source, target = shared.part(name), layer.part(name)
        number = lambda size: number_of(sizes, size)
        if isinstance(part, Norm):
            source.copy_to(target, number(part.channels))
            continue
        outputs = number(part.sizes[-1])
        if isinstance(part, Dense):
            inputs = number(part.inputs)
            target.kernel.assign(_array(source.kernel)[:inputs, :, :outputs].reshape(inputs, -1))
        elif isinstance(part, Conv):
            target.kernel.assign(_array(source.kernel)[:, :, : number(part.inputs), :outputs])
        else:
            target.kernel.assign(_array(source.kernel)[:, :, :outputs])
        if part.bias:
            target.bias.assign(_array(source.bias)[..., :outputs].reshape(-1))


def _copy_neuron(shared: ElasticComponent, name: str, neuron: components.Neuron, layer: Any) -> None:
    for weight in neuron.weights(2.0):
        getattr(layer, weight).assign(_array(shared.learned[name, neuron, weight]))


def _array(variable: keras.Variable) -> np.ndarray:
    return ops.convert_to_numpy(variable)
