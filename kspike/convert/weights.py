"""Assigns the tensors of a state dict to the variables of a Spikformer, turning PyTorch's layouts into Keras'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kspike.convert.architecture import Architecture, float32, neurons, units
from kspike.convert.namings import NEURON_TENSOR, NORM_TENSORS, Unit


def assign(model: Any, architecture: Architecture, tensors: Mapping[str, Any]) -> None:
    """Fills every variable of `model`; names and shapes have been checked by `recognise`.

    Layouts: linear (out, in), with any kernel axes of size 1 -> (in, out); convolution (out, in, h, w) -> (h, w, in,
    out); q, k and v side by side become the columns q|k|v of one product.
    """
    groups: dict[str, list[Unit]] = {}
    for group, unit in units(architecture.naming, architecture.depth):
        groups.setdefault(group, []).append(unit)
    stem = model.get_layer("stem")
    for i, unit in enumerate(groups["stem"]):
        _assign_unit(stem.conv_layers[i], stem.norm_layers[i], stem.neuron_layers[i], [unit], tensors)
    _assign_unit(stem.rpe_conv, stem.rpe_norm, stem.rpe_neuron, groups["rpe"], tensors)
    count = len(architecture.naming.qkv)
    behind_attention = neurons(architecture.naming, architecture.depth)[-architecture.depth :]
    for i in range(architecture.depth):
        block = model.get_layer(f"block_{i}")
        ssa, mlp = block.attention, block.mlp
        _assign_unit(ssa.qkv, ssa.qkv_norm, ssa.qkv_neuron, groups["qkv"][count * i : count * (i + 1)], tensors)
        _assign_unit(ssa.proj, ssa.proj_norm, ssa.proj_neuron, [groups["proj"][i]], tensors)
        _assign_unit(mlp.fc1, mlp.fc1_norm, mlp.fc1_neuron, [groups["fc1"][i]], tensors)
        _assign_unit(mlp.fc2, mlp.fc2_norm, mlp.fc2_neuron, [groups["fc2"][i]], tensors)
        _neuron(ssa.attention_neuron, behind_attention[i], tensors)
    head = model.get_layer("head")
    head.kernel.assign(_kernel(tensors[f"{architecture.naming.head}.weight"]))
    head.bias.assign(float32(tensors[f"{architecture.naming.head}.bias"]))


def _assign_unit(product: Any, norm: Any, neuron: Any, sources: Sequence[Unit], tensors: Mapping[str, Any]) -> None:
    def joined(names: list[str], turn: Any) -> np.ndarray:
        return np.concatenate([turn(tensors[name]) for name in names], axis=-1)

    product.kernel.assign(joined([f"{unit.product}.weight" for unit in sources], _kernel))
    if product.use_bias:
        product.bias.assign(joined([f"{unit.product}.bias" for unit in sources], float32))
    for name, variable in NORM_TENSORS.items():
        getattr(norm, variable).assign(joined([f"{unit.norm}.{name}" for unit in sources], float32))
    for unit in sources[:1]:
        _neuron(neuron, unit.neuron, tensors, [unit.neuron for unit in sources])


def _neuron(layer: Any, name: str, tensors: Mapping[str, Any], names: Sequence[str] = ()) -> None:
    """A learned time constant: one for each source, repeated over the layer's (one fused qkv neuron for all three)."""
    if f"{name}.{NEURON_TENSOR}" in tensors:
        values = [float(float32(tensors[f"{n}.{NEURON_TENSOR}"])) for n in names or (name,)]
        layer.w.assign(np.resize(np.array(values, dtype="float32"), tuple(layer.w.shape)))


def _kernel(tensor: Any) -> np.ndarray:
    tensor = float32(tensor)
    if tensor.ndim == 4 and tensor.shape[2:] != (1, 1):
        return tensor.transpose(2, 3, 1, 0)
    return tensor.reshape(tensor.shape[:2]).T
