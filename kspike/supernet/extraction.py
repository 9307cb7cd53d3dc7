"""Extraction: copies the leading slices of a supernet's weights into an ordinary Spikformer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import numpy as np
from keras import ops

from kspike.models import Spikformer

if TYPE_CHECKING:
    from kspike.layers import PLIF
    from kspike.layers.products import Dense
    from kspike.supernet.blocks import ElasticPart
    from kspike.supernet.elastic import ElasticDense


def copy_weights(supernet: keras.Model, model: Spikformer) -> None:
    """Fills `model` with what its config uses of the shared weights and of the stored statistics."""
    config = model.config
    d = config.embed_dim
    stem, elastic = model.get_layer("stem"), supernet.stem
    inputs = config.image_shape[-1]
    for i, outputs in enumerate(config.stage_channels):
        stem.conv_layers[i].kernel.assign(_array(elastic.conv_layers[i].kernel)[:, :, :inputs, :outputs])
        elastic.norm_layers[i].copy_to(stem.norm_layers[i], outputs)
        inputs = outputs
    stem.rpe_conv.kernel.assign(_array(elastic.rpe_conv.kernel)[:, :, :d, :d])
    elastic.rpe_norm.copy_to(stem.rpe_norm, d)
    neurons = {f"neuron_{i}": layer for i, layer in enumerate(stem.neuron_layers)}
    _copy_neurons(elastic, neurons | {"rpe_neuron": stem.rpe_neuron})
    for i in range(config.depth):
        block, shared = model.get_layer(f"block_{i}"), supernet.blocks[i]
        _copy_dense(shared.attention.qkv, block.attention.qkv, d, d)
        _copy_dense(shared.attention.proj, block.attention.proj, d, d)
        _copy_dense(shared.mlp.fc1, block.mlp.fc1, d, config.hidden_dims[i])
        _copy_dense(shared.mlp.fc2, block.mlp.fc2, config.hidden_dims[i], d)
        shared.attention.qkv_norm.copy_to(block.attention.qkv_norm, d)
        shared.attention.proj_norm.copy_to(block.attention.proj_norm, d)
        shared.mlp.fc1_norm.copy_to(block.mlp.fc1_norm, config.hidden_dims[i])
        shared.mlp.fc2_norm.copy_to(block.mlp.fc2_norm, d)
        for part in ("attention", "mlp"):
            names = getattr(shared, part).learned
            _copy_neurons(getattr(shared, part), {name: getattr(getattr(block, part), name) for name in names})
    _copy_dense(supernet.head, model.get_layer("head"), d, config.num_classes)


def _array(variable: keras.Variable) -> np.ndarray:
    return ops.convert_to_numpy(variable)


def _copy_dense(shared: ElasticDense, dense: Dense, inputs: int, outputs: int) -> None:
    dense.kernel.assign(_array(shared.kernel)[:inputs, :, :outputs].reshape(inputs, -1))
    if shared.bias is not None:
        dense.bias.assign(_array(shared.bias)[:, :outputs].reshape(-1))


def _copy_neurons(shared: ElasticPart, neurons: dict[str, PLIF]) -> None:
    for name, weight in shared.learned.items():
        neurons[name].w.assign(_array(weight))
