"""Reports the products that ran but that no row counts, by what ran and not by layer names."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import keras

from kspike.cost.measured import layers
from kspike.cost.measured.layers import Tap
from kspike.ops.watching import Ran

#: Index of the model itself, and of the sums that the measurement computes.
MODEL, MEASURING = 0, 1


@dataclasses.dataclass(frozen=True)
class Place:
    """One layer (or operation of a functional model) in which products may run.

    Args:
        name: its path, "" of the model itself.
        layer: the layer; None for the model, so that nothing here keeps it alive.
        method: the method that computes its output.
        described: path and class, for a note.
        own: whether it runs a user's code, and not Keras' or kspike's alone.
        tap: the hook whose values a row may count; None where nothing is recorded.
    """

    name: str
    layer: Any
    method: str
    described: str
    own: bool
    tap: Tap | None = None


def places(model: keras.Model, taps: Sequence[Tap]) -> list[Place]:
    """Every place of a model, in order of its number: the model, the sums of the measurement, then layer by layer."""
    heard: dict[int, list[Tap]] = {}
    for tap in taps:
        heard.setdefault(id(tap.layer), []).append(tap)
    found = [Place("", None, "call", f"{model.name} ({type(model).__name__})", is_own(model))] * 2
    for name, layer in _all(model):
        here = heard.get(id(layer), [])
        found += [_place(tap.name, layer, tap.method, tap) for tap in here]
        told = [tap.method for tap in here]
        # kspike's own that tell it themselves run no product, and are no longer fused where `call` is hooked
        tells = layers.LISTENER in told and not callable(getattr(layer, "fire", None)) and not is_own(layer)
        if layers.method_of(layer) not in told and not tells:
            found.append(_place(name, layer, layers.method_of(layer)))
    return found


def _place(name: str, layer: Any, method: str, tap: Tap | None = None) -> Place:
    inner = getattr(layer, "layer", None) if isinstance(layer, keras.layers.TimeDistributed) else None
    kind = type(layer).__name__ + (f" of {type(inner).__name__}" if inner is not None else "")
    return Place(name, layer, method, f"{name} ({kind})", is_own(layer), tap)


def _all(model: keras.Model) -> Iterator[tuple[str, Any]]:
    """Layers, and the operations of functional models that are no layers (`keras.ops` of symbolic tensors)."""
    inside: list[tuple[str, Any]] = [("", model)]
    for name, layer in layers.walk(model):
        inside.append((f"{name}/", layer))
        yield name, layer
    seen: set[int] = set()
    for prefix, layer in inside:
        for operation in getattr(layer, "operations", ()) if isinstance(layer, keras.Model) else ():
            if not isinstance(operation, keras.Layer) and id(operation) not in seen:
                seen.add(id(operation))
                yield f"{prefix}{operation.name}", operation


def notes(
    found: Sequence[Place], static: dict[str, str], ran: Sequence[Ran], counted: dict[int, int | None], batch: int
) -> tuple[str, ...]:
    """What a report leaves out: one sentence a layer, in the order of the layers.

    Args:
        found: the places.
        static: path -> the note known before running, used for layers in which no product was seen.
        ran: the products of one batch.
        counted: number of a tap's place -> multiply-accumulates of the batch that its row counts, None where a closed
            form counts.
        batch: images in it.
    """
    texts: dict[str, str] = {}
    for number, place in enumerate(found):
        here = [each for each in ran if each.place == number]
        if number == MEASURING or not here:
            continue
        exact, macs = all(each.exact for each in here), sum(each.macs for each in here)
        if place.tap is None:
            what = f"runs {len(here)} product{'s' * (len(here) > 1)} that this report does not count"
        else:
            # A row counts all that Keras' and our own layers do; a user's subclass may do more than its base class.
            mine = counted.get(number, 0)
            if not place.own or mine is None or (macs <= mine and exact):
                continue
            macs, what = max(0, macs - mine), "runs more products than its row counts"
        size = f"{max(1, round(macs / batch)):,} multiply-accumulates an image" if macs else "of unknown size"
        texts[place.name] = f"{place.described} {what}: {'' if exact or not macs else 'at least '}{size}."
    merged = static | texts
    order = {place.name: number for number, place in enumerate(found)}
    return tuple(merged[name] for name in sorted(merged, key=lambda name: order.get(name, -1)))


def is_own(layer: Any) -> bool:
    """Whether a layer runs a user's code: its class, a layer that it wraps, or a function given to it."""
    if _foreign(layer):
        return True
    inner = [getattr(layer, name, None) for name in ("cell", "layer", "forward_layer")]
    inner += getattr(layer, "cells", ())
    functions = [getattr(layer, name, None) for name in ("activation", "function")]
    return any(is_own(each) for each in inner if isinstance(each, keras.Layer)) or any(
        _foreign(each) for each in functions if callable(each)
    )


def _foreign(thing: Any) -> bool:
    """Whether a function, or an object's class, comes neither from Keras nor from kspike."""
    return (getattr(thing, "__module__", None) or "").split(".")[0] not in ("keras", "kspike")
