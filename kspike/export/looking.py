"""Runs calibration images through a network: what comes into every product, and what every neuron fires."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from keras import ops

from kspike.export.folding import Place
from kspike.export.observing import listening
from kspike.export.running import pack
from kspike.models import Spikformer
from kspike.ops import jit

#: Levels of an integer neuron are multiples of it.
LEVEL = 1 / 16


@contextlib.contextmanager
def calls(layers: dict[str, Any], see: Any) -> Iterator[None]:
    """Within it `see(name, inputs, outputs)` is told of every call of these layers."""

    def wrapped(name: str, layer: Any) -> Any:
        call = layer.call

        def run(inputs: Any, *args: Any, **kwargs: Any) -> Any:
            outputs = call(inputs, *args, **kwargs)
            see(name, inputs, outputs)
            return outputs

        return run

    try:
        for name, layer in layers.items():
            # past Keras, which would track a layer's attribute
            layer.__dict__["call"] = wrapped(name, layer)
        yield
    finally:
        for layer in layers.values():
            layer.__dict__.pop("call", None)


def look(
    model: Spikformer, places: Sequence[Place], batches: Sequence[np.ndarray]
) -> tuple[dict[str, tuple[float, bool]], dict[str, np.ndarray], list[tuple[np.ndarray, dict[str, Any]]]]:
    """(of every product the largest number that comes in, and whether all are whole; the mean of every channel that
    comes in; logits and spikes by batch).

    Raises:
        ValueError: real numbers come into a product that spikes should reach; a normalisation takes something else than
            the part before it gives.
    """
    before = {norm: chain[i] for place in places for chain in [[place.path, *(n for n, _ in place.norms)]]
              for i, (norm, _) in enumerate(place.norms)}  # fmt: skip
    layers = {place.path: place.product for place in places} | dict(n for place in places for n in place.norms)
    largest: dict[str, tuple[float, bool]] = {place.path: (0.0, True) for place in places}
    levels = dict.fromkeys(largest, True)

    def run(images: Any) -> tuple[dict[str, Any], dict[str, Any], Any, list[Any]]:
        inputs: dict[str, Any] = {}
        same: dict[str, Any] = {}
        outputs: dict[str, Any] = {}

        def see(name: str, x: Any, y: Any) -> None:
            outputs[name] = y
            if name in before:
                same[name] = ops.all(ops.reshape(x, (-1,)) == ops.reshape(outputs[before[name]], (-1,)))
                return
            fine = ops.divide(x, LEVEL)
            mean = ops.mean(ops.reshape(x, (-1, x.shape[-1])), axis=0)
            inputs[name] = (ops.max(ops.abs(x)), ops.all(ops.round(x) == x), ops.all(ops.round(fine) == fine), mean)

        with listening(model) as seen, calls(layers, see):
            logits = model(images, training=False)
        return inputs, same, logits, [spikes for _, spikes in seen]

    compiled, fired = jit(run, model.variables), []
    sums: dict[str, Any] = {}
    for images in batches:
        inputs, same, logits, spikes = compiled(images)
        fired.append((ops.convert_to_numpy(logits), pack([ops.convert_to_numpy(each) for each in spikes])))
        for name, equal in same.items():
            if not bool(ops.convert_to_numpy(equal)):
                raise ValueError(
                    f"{name} normalises something else than {before[name]} gives, which its component's parts say "
                    "stands before it: what it does cannot go into int8 weights."
                )
        for name, (highest, whole, level, mean) in inputs.items():
            sums[name] = sums.get(name, 0.0) + len(images) * np.asarray(ops.convert_to_numpy(mean), "float64")
            known, was = largest[name]
            highest = float(ops.convert_to_numpy(highest))
            largest[name] = max(known, highest), was and bool(ops.convert_to_numpy(whole))
            levels[name] &= bool(ops.convert_to_numpy(level))
    for place in places:
        if not place.rounds and place.path != "head" and not levels[place.path]:
            raise ValueError(
                f"Real numbers come into {place.path}, where its component's parts say spikes, levels or sums of them: "
                f"neurons {model.config.neuron_component.label} that fire neither, or a forward that does something "
                "between a neuron and this product, are nothing that kspike.quantize knows."
            )
    count = sum(map(len, batches))
    return largest, {name: total / count for name, total in sums.items()}, fired
