"""Reads a user's data as batches: arrays as `fit` takes them, data sets, iterables of batches."""

from __future__ import annotations

import itertools
import numbers
from collections.abc import Iterable, Iterator
from typing import Any

import keras

#: Batch size for data that does not come in batches.
BATCH = 32
#: Images that data of unknown length may give, before it counts as data without end. ImageNet has 1.3 million.
MOST = 2_000_000


def batches_of(data: Any, size: int = BATCH, most: int | None = None) -> Iterable[Any]:
    """Gives each batch once: those of the data, or slices of its arrays.

    Args:
        data: one array of images; a tuple of arrays, (images, labels, ...), as many of each; a `keras.utils.PyDataset`;
            or any iterable of batches, a list of arrays among them.
        size: items a batch, of arrays.
        most: images that data of unknown length may give; `MOST` where None.

    Raises:
        ValueError: something else, or arrays of different length; as it is read, data of unknown length that gives
            more images than that.
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
    if isinstance(data, keras.utils.PyDataset) and not without_end(data):  # iterating over it would not end
        return (data[i] for i in range(data.num_batches))
    if hasattr(data, "__iter__") and not isinstance(data, (str, bytes, dict)):
        return bounded(data, data, "The data", "say how many batches are read, or leave out what goes round", most)
    splits = [name for name in ("train", "validation", "test") if hasattr(data, name)]
    hint = f" It has splits: pass one, such as data.{splits[-1]}." if splits else ""
    raise ValueError(f"Expected images, or batches of (images, labels), received {type(data).__name__}.{hint}")


def without_end(data: Any) -> bool:
    """Whether data says of itself that it has no end."""
    count = getattr(data, "cardinality", None)
    if callable(count) and int(count()) == -1:  # tf.data.INFINITE_CARDINALITY
        return True
    if isinstance(data, keras.utils.PyDataset) and not hasattr(data, "__len__"):
        try:
            return data.num_batches is None
        except NotImplementedError:  # Keras reads on and on
            return True
    endless = isinstance(data, itertools.repeat) and _length(data) is None
    return endless or isinstance(data, (itertools.count, itertools.cycle))


def check_end(data: Any, what: str, remedy: str) -> None:
    """Refuses data that says of itself that it has no end.

    Args:
        data: any data.
        what: how a message calls it: "the training data".
        remedy: what to do, for the message.

    Raises:
        ValueError: it has none.
    """
    if without_end(data):
        raise ValueError(f"{what} repeats without end: {remedy}.")


def bounded(batches: Iterable[Any], length: Any, what: str, remedy: str, most: int | None = None) -> Iterator[Any]:
    """Passes batches on; of data whose length nobody knows, `most` images (`MOST` where None) and no more.

    Args:
        batches: what is read.
        length: the data, which may say how many batches it has.
        what: how a message calls it.
        remedy: what to do, for the message.

    Raises:
        ValueError: it gave more.
    """
    known, given, most = _length(length) is not None, 0, MOST if most is None else most
    for batch in batches:
        yield batch
        first = batch[0] if isinstance(batch, (tuple, list)) and batch else batch
        shape = getattr(next(iter(first.values()), None) if isinstance(first, dict) else first, "shape", None)
        given += int(shape[0]) if shape is not None and len(shape) else 1
        if not known and given > most:
            raise ValueError(
                f"{what} has no known length, and gave more than {most:,} images: it seems to have no end; {remedy}."
            )


def _length(data: Any) -> int | None:
    try:
        return len(data)
    except TypeError:  # none, or one of an unknown length
        return None


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
