"""Turns a published entry into a model: checked by hash, built from our own classes, the same on every backend."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from kspike.zoo import weights as storage
from kspike.zoo.entry import Entry

if TYPE_CHECKING:
    from kspike.models import Spikformer

_HEAD = "head"


def load(
    name_or_folder: str | os.PathLike,
    weights: bool = True,
    num_classes: int | None = None,
    include_top: bool = True,
    *,
    directory: str | os.PathLike | None = None,
) -> Spikformer:
    """Turns the name or the folder of an entry into its model.

    Nothing from the entry is executed: the architecture is data, the model is `kspike.Spikformer`, the weights are
    arrays. The SHA-256 of the config and of the weights is checked before either is opened.

    Args:
        name_or_folder: a name of the published zoo ("auto_spikformer_c10": the newest version;
            "auto_spikformer_c10.v1": that one), or a folder of your own ("./my_zoo/my_entry", with or without ".vN").
        weights: False gives the architecture, freshly initialised.
        num_classes: gives the model a new, untrained head with that many outputs, to fine-tune; None keeps the
            published one.
        include_top: False leaves the head off: the model gives features `(batch, embed_dim)`.
        directory: a zoo folder in which to look for the name instead of the published one.

    Returns:
        A `kspike.Spikformer`, not compiled. Its input is what `preprocess` returns, its output are logits.

    Raises:
        ValueError: unknown entry (the message names the nearest); a file that is missing, truncated, altered, linked or
            absurdly large; options that contradict each other. Raised before the weights are opened.

    Example:
        >>> import kspike
        >>> model = kspike.zoo.load("auto_spikformer_digits")
        >>> features = kspike.zoo.load("auto_spikformer_digits", include_top=False)
    """
    if num_classes is not None and not include_top:
        raise ValueError(
            "Expected num_classes with a head; received include_top=False, which has none. Give one of the two."
        )
    if num_classes is not None and (
        isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 1
    ):
        raise ValueError(f"Expected num_classes to be a whole number above 0, or None; received {num_classes!r}.")
    entry = Entry.open(name_or_folder, directory)
    config = entry.config()
    name = entry.metadata["name"]
    published = num_classes is None and include_top
    changed = config if num_classes is None else config.replace(num_classes=num_classes)
    if not weights:
        return storage.build(changed, include_top, name=name, drawn=True)
    content = entry.weights()
    model = storage.build(config, name=name)
    storage.fill(model, content, entry.name)
    if published:
        return model
    return _transfer(model, storage.build(changed, include_top, name=name, drawn=True))


def _transfer(source: Spikformer, target: Spikformer) -> Spikformer:
    """Copies the weights of every layer but the head, by name."""
    for layer in target.layers:
        if layer.name != _HEAD and layer.weights:
            layer.set_weights(source.get_layer(layer.name).get_weights())
    return target
