"""Finds the layers of a model that multiply by weights, and counts the multiply-accumulates of one call."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import keras

CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
TRANSPOSED = (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose)
DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
DENSE = (keras.layers.Dense, keras.layers.EinsumDense)
NORMS = (keras.layers.BatchNormalization, keras.layers.LayerNormalization, keras.layers.GroupNormalization)
POOLS = (
    keras.layers.MaxPooling1D,
    keras.layers.MaxPooling2D,
    keras.layers.MaxPooling3D,
    keras.layers.AveragePooling1D,
    keras.layers.AveragePooling2D,
    keras.layers.AveragePooling3D,
)
#: They multiply activations with activations, which no layer inside them shows.
HIDDEN = (
    keras.layers.MultiHeadAttention,
    keras.layers.GroupQueryAttention,
    keras.layers.Attention,
    keras.layers.AdditiveAttention,
    keras.layers.Dot,
)


#: What kspike's neurons, normalisations and elastic components tell: a function of theirs, or None.
LISTENER = "listener"


@dataclasses.dataclass(frozen=True)
class Tap:
    """One hook into a model: the method of a layer whose values are recorded, and the layer's role in the count.

    Args:
        name: path of the layer, "block_0/attention/qkv".
        layer: the layer.
        method: name of the method whose values are recorded, "call" for most; LISTENER where the layer itself tells
            what it fired, or is about to normalise: nothing then stands in the way of a fused pass.
        role: "conv", "dense", "attention", "neuron", "norm" or "pool".
        operator: for a product, the Keras layer whose geometry is counted; None where the closed form must give it.
    """

    name: str
    layer: keras.Layer
    method: str
    role: str
    operator: keras.Layer | None = None


def role_of(layer: keras.Layer) -> str | None:
    """ "conv" or "dense" for a Keras layer that multiplies its input by weights, else None."""
    if isinstance(layer, (*TRANSPOSED, *DEPTHWISE, *CONVOLUTIONS)):
        return "conv"
    return "dense" if isinstance(layer, DENSE) else None


def find(
    model: keras.Layer, is_neuron: Callable[[keras.Layer], bool], known: dict[str, str]
) -> tuple[list[Tap], dict[str, str]]:
    """Walks through a model: (taps, path -> a note on products that no row counts).

    These notes are known before anything runs; `left_out` reports on each product that ran.

    Args:
        model: any Keras model.
        is_neuron: says whether a layer is a spiking neuron.
        known: path -> role of layers that the closed form names, whatever their class is (elastic layers).
    """
    taps: list[Tap] = []
    notes: dict[str, str] = {}
    for name, layer in walk(model):
        inner = getattr(layer, "layer", None) if isinstance(layer, keras.layers.TimeDistributed) else layer
        role = role_of(inner) if inner is not None else None
        method = method_of(layer)
        if role is not None or name in known:
            taps.append(Tap(name, layer, method, role or known[name], inner if role else None))
        elif is_neuron(layer):
            taps.append(Tap(name, layer, LISTENER if layer.one_pass else "call", "neuron"))
        elif callable(getattr(layer, "attend", None)):
            taps.append(Tap(name, layer, "attend", "attention"))
        elif isinstance(layer, NORMS):
            taps.append(Tap(name, layer, LISTENER if getattr(layer, "one_pass", False) else "call", "norm"))
        elif isinstance(layer, POOLS):
            taps.append(Tap(name, layer, "call", "pool"))
        elif callable(getattr(layer, "downsample", None)):
            taps.append(Tap(f"{name}/pool", layer, "downsample", "pool"))
        if callable(getattr(layer, "fire", None)):
            taps.append(Tap(name, layer, LISTENER, "neuron"))
        if isinstance(layer, HIDDEN):
            notes[name] = f"{name} ({type(layer).__name__}) multiplies activations with each other: not counted."
        elif role is None and not known and _has_kernel(layer):
            notes[name] = f"{name} ({type(layer).__name__}) holds weights that this report does not count."
    return taps, notes


def _has_kernel(layer: keras.Layer) -> bool:
    own = layer.weights if isinstance(layer, keras.layers.TimeDistributed) else layer._trainable_variables
    return any(len(v.shape) > 1 for v in own)


def method_of(layer: Any) -> str:
    """The method that computes a layer's output: a quantised layer has another one."""
    return "quantized_call" if getattr(layer, "quantization_mode", None) else "call"


def walk(layer: keras.Layer, prefix: str = "", seen: set[int] | None = None) -> Iterator[tuple[str, keras.Layer]]:
    """Gives (path, layer) of all layers inside, except those inside a product."""
    seen = set() if seen is None else seen
    for child in layer._flatten_layers(include_self=False, recursive=False):
        if id(child) in seen or isinstance(child, (keras.layers.InputLayer, keras.metrics.Metric)):
            continue
        seen.add(id(child))
        name = f"{prefix}{child.name}"
        yield name, child
        if role_of(child) is None and not isinstance(child, keras.layers.TimeDistributed):
            yield from walk(child, f"{name}/", seen)


def multiply_accumulates(layer: keras.Layer, inputs: tuple[int, ...], outputs: tuple[int, ...]) -> int:
    """Multiply-accumulates of one call on whole tensors of these shapes, padding included."""
    size = math.prod(outputs)
    if isinstance(layer, keras.layers.Dense):
        return math.prod(inputs) * layer.units
    if isinstance(layer, keras.layers.EinsumDense):
        return size * _contracted(layer.equation, inputs)
    if isinstance(layer, TRANSPOSED):
        return math.prod(inputs) * math.prod(layer.kernel_size) * layer.filters
    if isinstance(layer, DEPTHWISE):
        return size * math.prod(layer.kernel_size)
    axis = 1 if layer.data_format == "channels_first" else -1
    axis += len(inputs) - len(layer.kernel_size) - 2 if axis > 0 else 0  # TimeDistributed has an axis more
    return size * math.prod(layer.kernel_size) * inputs[axis] // layer.groups


def _contracted(equation: str, inputs: tuple[int, ...]) -> int:
    """Product of the input's axes that the equation sums over; an ellipsis stands for axes that stay."""
    left, output = equation.replace(" ", "").split("->")
    source = left.split(",")[0]
    head, _, tail = source.partition("...")
    labels = dict(zip(head, inputs[: len(head)], strict=True))
    labels |= dict(zip(tail, inputs[len(inputs) - len(tail) :], strict=True))
    return math.prod(n for label, n in labels.items() if label not in output)
