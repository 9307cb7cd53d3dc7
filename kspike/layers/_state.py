"""What a user changed on the layers inside a composite or a model, as data: frozen parts, dtype policies, LoRA.

A functional Keras model writes each layer's own config and so keeps such changes; a layer or model that makes its parts
from few arguments would forget them. The record holds what differs from the parts as they are made, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras

#: Where a config keeps the record; absent where nothing was changed.
KEY = "layer_state"


def layer_state(root: keras.Layer, policy_of: Callable[[str], Any] | None = None) -> dict[str, dict[str, Any]]:
    """Describes every layer inside `root` that is not as it was made: path -> what differs, ready for JSON.

    Args:
        root: a layer, or a model.
        policy_of: path -> the dtype policy a layer inside is made with; None where all have the root's.
    """
    found = {}
    for path, layer, parent in _inside(root):
        made = root.dtype_policy if policy_of is None else policy_of(path)
        policy = keras.dtype_policies.serialize(layer.dtype_policy)
        entry: dict[str, Any] = {}
        if layer.trainable != parent.trainable:
            entry["trainable"] = layer.trainable
        if policy != keras.dtype_policies.serialize(made):
            entry["dtype"] = policy
        if getattr(layer, "lora_enabled", False):
            entry["lora"] = [layer.lora_rank, layer.lora_alpha]
        variables = {v.name: v.trainable for v in layer._trainable_variables if v.trainable != layer.trainable}
        if variables:
            entry["variables"] = variables
        if entry:
            found[path] = entry
    return found


def restore(root: keras.Layer, state: Mapping[str, Mapping[str, Any]] | None) -> None:
    """Puts what `layer_state` described onto the layers inside `root`, which is built.

    Raises:
        ValueError: the record speaks of a layer or a variable that is not there.
    """
    if not state:
        return
    inside = list(_inside(root))
    unknown = sorted(set(state) - {path for path, _, _ in inside})
    if unknown:
        raise ValueError(
            f"{KEY} of {root.name!r} expected layers that are there, received {', '.join(map(repr, unknown))}; the "
            "file was written for another network."
        )
    for path, layer, _ in inside:
        entry = state.get(path, {})
        if "dtype" in entry:
            layer.dtype_policy = keras.dtype_policies.deserialize(entry["dtype"])
        if "lora" in entry and not layer.lora_enabled:
            rank, alpha = entry["lora"]
            layer.enable_lora(rank, lora_alpha=alpha)
    for path, layer, parent in inside:  # parents first: freezing one freezes what is in it
        set_trainable(layer, state.get(path, {}).get("trainable", parent.trainable))
    for path, layer, _ in inside:
        own = {v.name: v for v in layer._trainable_variables}
        for name, trainable in state.get(path, {}).get("variables", {}).items():
            if name not in own:
                raise ValueError(f"{KEY} of {root.name!r}: {path!r} has no variable {name!r}, but {sorted(own)}.")
            own[name].trainable = trainable


def set_trainable(layer: keras.Layer, value: bool) -> None:
    """layer.trainable = value, also where it is so already: TensorFlow would then change nothing inside it."""
    type(layer).trainable.fset(layer, value)


def _inside(root: keras.Layer, prefix: str = "") -> Iterator[tuple[str, keras.Layer, keras.Layer]]:
    """(path, layer, the one it is in) of every layer inside, parents first."""
    for layer in root._layers:
        path = prefix + layer.name
        yield path, layer, root
        yield from _inside(layer, f"{path}/")
