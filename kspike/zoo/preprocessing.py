"""Turns raw images into the model's input as in training, and logits into named classes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from kspike._messages import shown
from kspike.zoo.entry import Entry
from kspike.zoo.event_input import frames_of
from kspike.zoo.inputs import check_shape, to_numpy


def preprocess(images: Any, name: str | os.PathLike, *, directory: str | os.PathLike | None = None) -> np.ndarray:
    """Raw images of the entry's range (0..255 for most) -> normalised float32 images, as in training.

        y = ((x - lowest) / (highest - lowest) - mean) / std          per channel; range, mean and std from the card

    Of an entry for event cameras: recordings -> frames, as its card says; counts stay as they are.

    Args:
        images: `(n, height, width, channels)`, or `(n, time, height, width, channels)` where the entry takes frames;
            integers, or floats in the raw range. For an entry of events also a recording (`kspike.events.Recording`, a
            structured array, or a file's path), or a list of these.
        name: the entry's name or folder, as in `load`.
        directory: as in `load`.

    Returns:
        float32 array of the same shape; of recordings `(n, time, height, width, channels)`.

    Raises:
        ValueError: another shape or kind of number, NaN, values outside the raw range, images that are scaled already.

    Example:
        >>> import numpy as np, kspike
        >>> kspike.zoo.preprocess(np.zeros((1, 8, 8, 1), "uint8"), "auto_spikformer_digits").shape
        (1, 8, 8, 1)
    """
    entry = _open(name, directory, "images")
    stated = entry.metadata["input"]
    if stated.get("events") is not None:
        return frames_of(images, stated, entry.name)
    if stated.get("range") is None or stated.get("mean") is None or stated.get("std") is None:
        raise ValueError(
            f"Expected the card of {entry.name} to state range, mean and std; it was published without data. "
            "Normalise the images as its author did."
        )
    array = to_numpy(images)
    check_shape(array, tuple(stated["shape"]), entry.name)
    check_values(array, stated["range"], entry.name)
    from kspike.data.normalization import normalize

    low, high = stated["range"]
    return normalize(array, stated["mean"], stated["std"], (low, high))


def decode_predictions(
    logits: Any, name: str | os.PathLike, top: int = 5, *, directory: str | os.PathLike | None = None
) -> list[list[tuple[int, str, float]]]:
    """Logits `(n, classes)` -> for each image the `top` classes, likeliest first, as (index, name, probability).

    Args:
        logits: what the model returns: not yet probabilities.
        name: the entry's name or folder, as in `load`.
        top: how many classes; more than there are gives all.
        directory: as in `load`.

    Raises:
        ValueError: another number of classes than the entry has, NaN, top below 1.

    Example:
        >>> import numpy as np, kspike
        >>> kspike.zoo.decode_predictions(np.eye(10)[:1], "auto_spikformer_digits", top=1)[0][0][1]
        '0'
    """
    entry = _open(name, directory, "logits")
    classes = entry.config().num_classes
    check_top(top)
    array = to_numpy(logits).astype("float64")
    if array.ndim != 2 or array.shape[1] != classes:
        raise ValueError(
            f"Expected logits of shape (n, {classes}), one a class of {entry.name}; received {array.shape}. "
            "A model with a new head has classes of its own."
        )
    if not np.all(np.isfinite(array)):
        raise ValueError("Expected finite logits; received NaN or infinity.")
    return decode(array, entry.metadata.get("class_names") or [str(index) for index in range(classes)], top)


def decode(logits: np.ndarray, names: Sequence[str], top: int) -> list[list[tuple[int, str, float]]]:
    """Logits `(n, classes)` -> for each image the `top` classes, likeliest first, as (index, name, probability)."""
    array = logits.astype("float64")
    shifted = np.exp(array - array.max(axis=-1, keepdims=True))
    probabilities = shifted / shifted.sum(axis=-1, keepdims=True)
    # A stable sort: of equal logits the lower index comes first, on every backend.
    order = np.argsort(-array, axis=-1, kind="stable")[:, :top]
    return [[(int(k), names[k], float(row[k])) for k in best] for best, row in zip(order, probabilities, strict=True)]


def check_top(top: Any) -> None:
    """Refuses a `top` that is no whole number above 0, by ValueError."""
    if isinstance(top, bool) or not isinstance(top, int) or top < 1:
        raise ValueError(f"Expected top to be a whole number above 0; received {top!r}.")


def _open(name: str | os.PathLike, directory: str | os.PathLike | None, first: str) -> Entry:
    if not isinstance(name, (str, os.PathLike)):
        raise ValueError(
            f"Expected the {first} first, then the name or the folder of an entry; received {shown(name)} in its place."
        )
    return Entry.open(name, directory)


def check_values(array: np.ndarray, span: Sequence[float], name: str) -> None:
    """Refuses pixels outside of the raw range, or scaled already, by ValueError."""
    if array.size == 0:
        return
    low, high = float(array.min()), float(array.max())
    if not np.isfinite(low) or not np.isfinite(high):
        raise ValueError(f"Expected finite pixel values for {name}; received NaN or infinity.")
    if low < span[0] or high > span[1]:
        raise ValueError(
            f"Expected raw pixel values from {span[0]:g} to {span[1]:g} for {name}; received {low:g} to {high:g}. "
            "Give the images as they were stored, not normalised."
        )
    if array.dtype.kind == "f" and 0 < high <= 1 < span[1]:
        raise ValueError(
            f"Expected raw pixel values from {span[0]:g} to {span[1]:g} for {name}; received floats from {low:g} "
            f"to {high:g}, "
            "which look scaled already. Give the raw images."
        )
