"""Which variable of a Spikformer is which tensor of a state dict, in PyTorch's layouts and in Keras'."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from kspike.convert.architecture import Architecture, float32, neurons, units
from kspike.convert.namings import NEURON_TENSOR, NORM_TENSORS, Naming, Unit


@dataclasses.dataclass(frozen=True)
class Place:
    """A product of a model with what stands behind it, and the units of a state dict that are the same.

    Args:
        group: stem, rpe, qkv, proj, fc1 or fc2.
        path: of the product in the model.
        product, norm, neuron: the model's layers.
        units: the state dict's names: one, or those of q, k and v, whose outputs lie side by side in the model.
    """

    group: str
    path: str
    product: Any
    norm: Any
    neuron: Any
    units: tuple[Unit, ...]


def places(model: Any, naming: Naming, depth: int) -> Iterator[Place]:
    """Every product of a Spikformer, in running order."""
    groups: dict[str, list[Unit]] = {}
    for group, unit in units(naming, depth):
        groups.setdefault(group, []).append(unit)
    stem = model.get_layer("stem")
    for i, unit in enumerate(groups["stem"]):
        found = stem.conv_layers[i], stem.norm_layers[i], stem.neuron_layers[i]
        yield Place("stem", f"stem/conv_{i}", *found, (unit,))
    yield Place("rpe", "stem/rpe_conv", stem.rpe_conv, stem.rpe_norm, stem.rpe_neuron, tuple(groups["rpe"]))
    count = len(naming.qkv)
    for i in range(depth):
        block = model.get_layer(f"block_{i}")
        for group, layer in (("qkv", "attention"), ("proj", "attention"), ("fc1", "mlp"), ("fc2", "mlp")):
            holder, many = getattr(block, layer), count if group == "qkv" else 1
            product, norm, neuron = (getattr(holder, f"{group}{end}") for end in ("", "_norm", "_neuron"))
            mine = tuple(groups[group][many * i : many * (i + 1)])
            yield Place(group, f"block_{i}/{layer}/{group}", product, norm, neuron, mine)


def attention_neurons(model: Any, naming: Naming, depth: int) -> Iterator[tuple[Any, str]]:
    """The neurons behind attention, each with its name in the state dict."""
    for i, name in enumerate(neurons(naming, depth)[-depth:]):
        yield model.get_layer(f"block_{i}").attention.attention_neuron, name


def assign(model: Any, architecture: Architecture, tensors: Mapping[str, Any]) -> None:
    """Fills every variable of `model`; names and shapes have been checked by `recognise`.

    Layouts: linear (out, in), with any kernel axes of size 1 -> (in, out); convolution (out, in, h, w) -> (h, w, in,
    out); q, k and v side by side become the columns q|k|v of one product.
    """
    naming, depth = architecture.naming, architecture.depth
    for place in places(model, naming, depth):

        def joined(names: list[str], turn: Any) -> np.ndarray:
            return np.concatenate([turn(tensors[name]) for name in names], axis=-1)

        place.product.kernel.assign(joined([f"{unit.product}.weight" for unit in place.units], _kernel))
        if place.product.use_bias:
            place.product.bias.assign(joined([f"{unit.product}.bias" for unit in place.units], float32))
        for name, variable in NORM_TENSORS.items():
            found = joined([f"{unit.norm}.{name}" for unit in place.units], float32)
            getattr(place.norm, variable).assign(found)
        _assign_tau(place.neuron, [unit.neuron for unit in place.units], tensors)
    for neuron, name in attention_neurons(model, naming, depth):
        _assign_tau(neuron, [name], tensors)
    head = model.get_layer("head")
    head.kernel.assign(_kernel(tensors[f"{naming.head}.weight"]))
    head.bias.assign(float32(tensors[f"{naming.head}.bias"]))


def _assign_tau(layer: Any, names: list[str], tensors: Mapping[str, Any]) -> None:
    """A learned time constant: one for each source, repeated over the layer's (one fused qkv neuron for all three)."""
    if f"{names[0]}.{NEURON_TENSOR}" in tensors:
        values = [float(float32(tensors[f"{name}.{NEURON_TENSOR}"])) for name in names]
        layer.w.assign(np.resize(np.array(values, dtype="float32"), tuple(layer.w.shape)))


def _kernel(tensor: Any) -> np.ndarray:
    tensor = float32(tensor)
    if tensor.ndim == 4 and tensor.shape[2:] != (1, 1):
        return tensor.transpose(2, 3, 1, 0)
    return tensor.reshape(tensor.shape[:2]).T


# -- back -------------------------------------------------------------------------------------------------------------


def tensors_of(model: Any, naming: Naming, depth: int) -> dict[str, np.ndarray]:
    """The state dict of a Spikformer under the names of a code base: what `assign` reads.

    A bias that the code does not build is taken into the mean that its normalisation subtracts; one that it builds and
    the model does not have is 0.

    Raises:
        ValueError: learned time constants that differ where the code has one neuron.
    """
    out: dict[str, np.ndarray] = {}
    for place in places(model, naming, depth):
        many = len(place.units)
        kernels = np.split(_numpy(place.product.kernel), many, axis=-1)
        biases = np.split(_bias(place), many)
        norms = {name: np.split(_numpy(getattr(place.norm, v)), many) for name, v in NORM_TENSORS.items()}
        built = place.group in naming.biased
        for i, unit in enumerate(place.units):
            out[f"{unit.product}.weight"] = _torch_kernel(kernels[i], unit.axes)
            if built:
                out[f"{unit.product}.bias"] = biases[i]
            for name, values in norms.items():
                moved = name == "running_mean" and not built
                out[f"{unit.norm}.{name}"] = values[i] - biases[i] if moved else values[i]
        out |= _tau(place.neuron, [unit.neuron for unit in place.units], place.path)
    for neuron, name in attention_neurons(model, naming, depth):
        out |= _tau(neuron, [name], f"{neuron.path}")
    head = model.get_layer("head")
    out[f"{naming.head}.weight"], out[f"{naming.head}.bias"] = _numpy(head.kernel).T, _numpy(head.bias)
    return {
        name: np.array(value, order="C") for name, value in out.items()
    }  # ascontiguousarray gives an axis to a number


def _numpy(variable: Any) -> np.ndarray:
    from keras import ops

    return ops.convert_to_numpy(variable)


def _bias(place: Place) -> np.ndarray:
    product = place.product
    return _numpy(product.bias) if product.use_bias else np.zeros(product.kernel.shape[-1], "float32")


def _torch_kernel(kernel: np.ndarray, axes: int) -> np.ndarray:
    if kernel.ndim == 4:
        return kernel.transpose(3, 2, 0, 1)
    return kernel.T.reshape(*kernel.T.shape, *[1] * axes)


def _tau(layer: Any, names: list[str], path: str) -> dict[str, np.ndarray]:
    if not hasattr(layer, "w"):
        return {}
    values = _numpy(layer.w)
    if len(names) == 1 and len(set(values.tolist())) > 1:
        raise ValueError(
            f"The neurons of {path} learned {len(values)} time constants, {values.tolist()}, where this code has one "
            "neuron for q, k and v: write the official names, which have three."
        )
    values = np.resize(values, len(names))
    return {f"{name}.{NEURON_TENSOR}": np.asarray(value) for name, value in zip(names, values, strict=True)}
