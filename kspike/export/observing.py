"""Looks at every neuron of a network: its spikes as further outputs, and which of them rounding decides."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from kspike._types import Images
from kspike.data.normalization import product_and_sum
from kspike.layers.neuron import SpikingNeuron

#: How far an input may be moved by rounding, over the largest of its layer: sums of some thousand float32 terms in
#: another order differ by about 2^-19 of their size.
ROUNDING = 2.0**-17


def neurons_of(model: keras.Model) -> dict[str, SpikingNeuron]:
    """Path -> neuron layer, of all inside a model."""
    return {layer.path: layer for layer in model._flatten_layers() if isinstance(layer, SpikingNeuron)}


@contextlib.contextmanager
def listening(model: keras.Model) -> Iterator[list[tuple[str, Any]]]:
    """Within it every call of the model fills the list with (name, spikes) of each neuron, in running order.

    A neuron that runs several times is named "path", "path#2" and so on.
    """
    seen: list[tuple[str, Any]] = []
    neurons = neurons_of(model)
    before = {name: neuron.listener for name, neuron in neurons.items()}

    def listener(name: str) -> Any:
        return lambda spikes: seen.append((_numbered(name, seen), spikes))

    try:
        for name, neuron in neurons.items():
            neuron.listener = listener(name)
        yield seen
    finally:
        for name, neuron in neurons.items():
            neuron.listener = before[name]


def _numbered(name: str, seen: Sequence[tuple]) -> str:
    times = sum(each == name or each.startswith(f"{name}#") for each, *_ in seen)
    return f"{name}#{times + 1}" if times else name


def recorded(model: keras.Model, images: Images) -> tuple[Any, list[tuple[str, Any, Any]]]:
    """(logits, [(name, spikes, near)]) of a batch; near: where rounding of the neuron's input decides the spike.

    Those that fire otherwise once all that comes in is larger, or smaller, by `ROUNDING` of the layer's largest.
    """
    seen: list[tuple[str, Any, Any]] = []
    neurons = neurons_of(model)

    def wrapped(name: str, neuron: SpikingNeuron) -> Any:
        call = neuron.call

        def run(inputs: Any, *args: Any, **kwargs: Any) -> Any:
            spikes = call(inputs, *args, **kwargs)
            shift = ROUNDING * ops.maximum(ops.max(ops.abs(inputs)), float(neuron.v_threshold))
            near = ops.logical_or(
                call(inputs + shift, *args, **kwargs) != spikes, call(inputs - shift, *args, **kwargs) != spikes
            )
            seen.append((_numbered(name, seen), spikes, near))
            return spikes

        return run

    try:
        for name, neuron in neurons.items():
            # past Keras, which would track a layer's attribute
            neuron.__dict__["call"] = wrapped(name, neuron)
        return model(images, training=False), seen
    finally:
        for neuron in neurons.values():
            neuron.__dict__.pop("call", None)


def scaled_pixels(images: Any, pixels: Mapping[str, Any]) -> Any:
    """Raw pixels -> the network's input, as `kspike.data.normalization.normalize` gives it, bit for bit."""
    scale, offset = product_and_sum(pixels["mean"], pixels["std"], pixels["range"])
    # Keras' operations: of a tensor of torch's times an array, NumPy would make an array
    return ops.add(ops.multiply(ops.cast(images, "float32"), scale), offset)


class Observed(keras.Model):
    """A network as it is written: raw pixels scaled where asked for, and every neuron's spikes where `watch` says so.

    Args:
        network: a `Spikformer`.
        pixels: range, mean and std where the file takes raw pixels; None where it takes what the network takes.
        watch: whether spikes of all neurons follow the logits.
        named: whether outputs are a dict: "0000" the logits, "0001" and on the neurons.
    """

    def __init__(self, network: keras.Model, pixels: Any = None, watch: bool = False, named: bool = False) -> None:
        super().__init__(name="network")
        self.network = network
        self.watch, self.named = watch, named
        # past Keras, which would track and wrap it
        self.__dict__["pixels"] = pixels
        self.__dict__["names"] = []
        # built, as exporters ask; and the names are known before one of them takes a copy of the model
        self(keras.KerasTensor((None, *network.config.input_shape), dtype="float32" if pixels is None else "uint8"))

    def call(self, images: Images) -> Any:
        x = images if self.pixels is None else scaled_pixels(images, self.pixels)
        with listening(self.network) as seen:
            logits = self.network(x, training=False)
        self.names[:] = [name for name, _ in seen]
        outputs = [logits, *(spikes for _, spikes in seen if self.watch)]
        if self.named:
            return {"logits" if not self.watch else f"{i:04}": each for i, each in enumerate(outputs)}
        return outputs if self.watch else logits
