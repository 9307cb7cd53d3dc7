"""Whatever a user calls data, read as batches: arrays as `fit` takes them, data sets, iterables of batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import keras

#: Items a batch where the data does not come in batches.
BATCH = 32


def batches_of(data: Any, size: int = BATCH) -> Iterable[Any]:
    """Gives batches once: those of the data, or slices of its arrays.

    Args:
        data: one array of images; a tuple of arrays, (images, labels, ...), as many of each; a `keras.utils.PyDataset`;
            or any iterable of batches, a list of arrays among them.
        size: items a batch, of arrays.

    Raises:
        ValueError: something else, or arrays of different length.
    """
    arrays = whole_arrays(data)
    if arrays:
        lengths = [len(part) for part in arrays]
        if len(set(lengths)) > 1:
            raise ValueError(f"Expected arrays of one length, (images, labels), received lengths {lengths}.")
        rows = range(0, lengths[0], size)
        if is_array(data):
            return (data[i : i + size] for i in rows)
        return (tuple(part[i : i + size] for part in arrays) for i in rows)
    if isinstance(data, keras.utils.PyDataset):  # has no end of its own to iterate to
        return (data[i] for i in range(len(data)))
    if hasattr(data, "__iter__") and not isinstance(data, (str, bytes, dict)):
        return data
    parts = [name for name in ("train", "validation", "test") if hasattr(data, name)]
    hint = f" It has parts: pass one, such as data.{parts[-1]}." if parts else ""
    raise ValueError(f"Expected images, or batches of (images, labels), received {type(data).__name__}.{hint}")


def labelled(data: Any, size: int = BATCH) -> Iterator[tuple[Any, Any]]:
    """Gives (images, labels), batch by batch; what a batch holds beside them is left out.

    Raises:
        ValueError: as `batches_of`, or batches without labels.
    """
    for batch in batches_of(data, size):
        if not isinstance(batch, (tuple, list)) or len(batch) < 2:
            raise ValueError("Expected (images, labels), received images without labels; give both.")
        yield batch[0], batch[1]


def unaugmented(data: Any) -> Any:
    """The same images as they are and in fixed order, where the data is a part of a kspike data set."""
    return data.without_augmentation() if hasattr(data, "without_augmentation") else data


def whole_arrays(data: Any) -> tuple[Any, ...]:
    """(images,) or (images, labels, ...) where those are whole arrays, and () where data comes in batches."""
    if is_array(data):
        return (data,)
    if isinstance(data, tuple) and data and all(is_array(part) for part in data):
        return data
    return ()


def is_array(data: Any) -> bool:
    """Whether this is one array, or tensor, with a first axis to cut."""
    return hasattr(data, "shape") and hasattr(data, "__getitem__") and not isinstance(data, (list, tuple))
