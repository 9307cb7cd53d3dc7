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
from kspike.space import Genome
from kspike.supernet.places import ElasticComponent, options_of
from kspike.supernet.view import SlicedView, word_choices


def copy_weights(supernet: keras.Model, model: Spikformer, genome: Genome) -> None:
    """Fills `model` with what its config uses of the shared weights and of the stored statistics.

    Args:
        supernet: a `Supernet`.
        model: the network that the genome expresses.
        genome: of the supernet's space.
    """
    config, choices = model.config, word_choices(genome.space, genome.indices)
    view = SlicedView(config, choices, genome.blocks)

    def copy(place: Any, layer: Any) -> None:
        options = options_of(place)
        at = options[0].at
        _copy_component(options[view.choice(at.field, at.index)], layer, view.sizes(at), config)

    copy(supernet.stem, model.get_layer("stem"))
    for i, slot in enumerate(genome.blocks):
        block = model.get_layer(f"block_{i}")
        for path, place in supernet.blocks[slot].places.items():
            if getattr(block, path) is not None:  # a second mixer is there in some networks alone
                copy(place, getattr(block, path))
    for stage, place in enumerate(supernet.downs, 1):
        copy(place, model.get_layer(f"down_{stage}"))
    if supernet.decoding is not None and config.head != "mean":
        copy(supernet.decoding, model.get_layer("decoding"))
    head = model.get_layer("head")
    head.kernel.assign(_array(supernet.head.kernel)[: config.features, 0])
    head.bias.assign(_array(supernet.head.bias)[0])


def _copy_component(shared: ElasticComponent, layer: Any, sizes: Mapping[str, int], config: SpikformerConfig) -> None:
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
