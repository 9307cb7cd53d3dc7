"""Reads a user's data as batches: arrays as `fit` takes them, data sets, iterables of batches."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Iterator
from typing import Any

import keras

#: Batch size for data that does not come in batches.
BATCH = 32


def batches_of(data: Any, size: int = BATCH) -> Iterable[Any]:
    """Gives each batch once: those of the data, or slices of its arrays.

    Args:
        data: one array of images; a tuple of arrays, (images, labels, ...), as many of each; a `keras.utils.PyDataset`;
            or any iterable of batches, a list of arrays among them.
        size: items a batch, of arrays.

    Raises:
        ValueError: something else, or arrays of different length.
    """
    arrays = whole_arrays(data)
    if arrays:
        lengths = [len(array) for array in arrays]
        if len(set(lengths)) > 1:
            raise ValueError(f"Expected arrays of one length, (images, labels), received lengths {lengths}.")
        rows = range(0, lengths[0], size)
        if is_array(data):
            return (data[i : i + size] for i in rows)
        return (tuple(array[i : i + size] for array in arrays) for i in rows)
    if isinstance(data, keras.utils.PyDataset):  # iterating over it would not end
        return (data[i] for i in range(len(data)))
    if hasattr(data, "__iter__") and not isinstance(data, (str, bytes, dict)):
        return data
    splits = [name for name in ("train", "validation", "test") if hasattr(data, name)]
    hint = f" It has splits: pass one, such as data.{splits[-1]}." if splits else ""
    raise ValueError(f"Expected images, or batches of (images, labels), received {type(data).__name__}.{hint}")


def check_count(batches: Any, name: str = "batches") -> None:
    """Refuses a number of batches, or of images, that is none: a whole number of at least 1, or None for all.

    Raises:
        ValueError: another value.
    """
    whole = isinstance(batches, numbers.Integral) and not isinstance(batches, bool)
    if batches is None or (whole and int(batches) >= 1):
        return
    what = repr(batches) if isinstance(batches, (bool, int, float, str)) else f"a {type(batches).__name__}"
    raise ValueError(f"{name} must be at least 1, a whole number, or None for all, got {what}.")


def labelled(data: Any, size: int = BATCH) -> Iterator[tuple[Any, Any]]:
    """Gives (images, labels), batch by batch; anything else in a batch is left out.

    Raises:
        ValueError: as `batches_of`, or batches without labels.
    """
    for batch in batches_of(data, size):
        if not isinstance(batch, (tuple, list)) or len(batch) < 2:
            raise ValueError("Expected (images, labels), received images without labels; give both.")
        yield batch[0], batch[1]


def unaugmented(data: Any) -> Any:
    """The same images unaugmented and in fixed order, if the data is a split of a kspike data set."""
    return data.without_augmentation() if hasattr(data, "without_augmentation") else data


def whole_arrays(data: Any) -> tuple[Any, ...]:
    """(images,) or (images, labels, ...) where those are whole arrays, and () where data comes in batches."""
    if is_array(data):
        return (data,)
    if isinstance(data, tuple) and data and all(is_array(array) for array in data):
        return data
    return ()


def is_array(data: Any) -> bool:
    """Whether this is one array, or tensor, with a first axis to slice."""
    return hasattr(data, "shape") and hasattr(data, "__getitem__") and not isinstance(data, (list, tuple))
