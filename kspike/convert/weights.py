"""Assigns the tensors of a state dict to the variables of a Spikformer, turning PyTorch's layouts into Keras'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kspike.convert.architecture import Architecture, float32, neurons, parts
from kspike.convert.namings import NEURON_TENSOR, NORM_TENSORS, Part


def assign(model: Any, architecture: Architecture, tensors: Mapping[str, Any]) -> None:
    """Fills every variable of `model`; names and shapes have been checked by `recognise`.

    Layouts: linear (out, in), with any kernel axes of size 1 -> (in, out); convolution (out, in, h, w) -> (h, w, in,
    out); q, k and v side by side become the columns q|k|v of one product.
    """
    groups: dict[str, list[Part]] = {}
    for group, part in parts(architecture.naming, architecture.depth):
        groups.setdefault(group, []).append(part)
    stem = model.get_layer("stem")
    for i, part in enumerate(groups["stem"]):
        _part(stem.conv_layers[i], stem.norm_layers[i], stem.neuron_layers[i], [part], tensors)
    _part(stem.rpe_conv, stem.rpe_norm, stem.rpe_neuron, groups["rpe"], tensors)
    count = len(architecture.naming.qkv)
    behind_attention = neurons(architecture.naming, architecture.depth)[-architecture.depth :]
    for i in range(architecture.depth):
        block = model.get_layer(f"block_{i}")
        ssa, mlp = block.attention, block.mlp
        _part(ssa.qkv, ssa.qkv_norm, ssa.qkv_neuron, groups["qkv"][count * i : count * (i + 1)], tensors)
        _part(ssa.proj, ssa.proj_norm, ssa.proj_neuron, [groups["proj"][i]], tensors)
        _part(mlp.fc1, mlp.fc1_norm, mlp.fc1_neuron, [groups["fc1"][i]], tensors)
        _part(mlp.fc2, mlp.fc2_norm, mlp.fc2_neuron, [groups["fc2"][i]], tensors)
        _neuron(ssa.attention_neuron, behind_attention[i], tensors)
    head = model.get_layer("head")
    head.kernel.assign(_kernel(tensors[f"{architecture.naming.head}.weight"]))
    head.bias.assign(float32(tensors[f"{architecture.naming.head}.bias"]))


def _part(product: Any, norm: Any, neuron: Any, sources: Sequence[Part], tensors: Mapping[str, Any]) -> None:
    def joined(names: list[str], turn: Any) -> np.ndarray:
        return np.concatenate([turn(tensors[name]) for name in names], axis=-1)

    product.kernel.assign(joined([f"{part.product}.weight" for part in sources], _kernel))
    if product.use_bias:
        product.bias.assign(joined([f"{part.product}.bias" for part in sources], float32))
    for name, variable in NORM_TENSORS.items():
        getattr(norm, variable).assign(joined([f"{part.norm}.{name}" for part in sources], float32))
    for part in sources[:1]:
        _neuron(neuron, part.neuron, tensors, [part.neuron for part in sources])


def _neuron(layer: Any, name: str, tensors: Mapping[str, Any], names: Sequence[str] = ()) -> None:
    """A learned time constant: one for each source, spread over the layer's (one fused qkv neuron serves all three)."""
    if f"{name}.{NEURON_TENSOR}" in tensors:
        values = [float(float32(tensors[f"{n}.{NEURON_TENSOR}"])) for n in names or (name,)]
        layer.w.assign(np.resize(np.array(values, dtype="float32"), tuple(layer.w.shape)))


def _kernel(tensor: Any) -> np.ndarray:
    tensor = float32(tensor)
    if tensor.ndim == 4 and tensor.shape[2:] != (1, 1):
        return tensor.transpose(2, 3, 1, 0)
    return tensor.reshape(tensor.shape[:2]).T
