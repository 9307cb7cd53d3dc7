"""Whatever a user calls data -> batches of images, all of one size, the last one filled up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np

#: Images a batch where the data does not come in batches.
BATCH = 32


def count(data: Any, limit: int | None) -> int | None:
    """How many batches `batches` will give, where the data knows."""
    data = _unpacked(data)
    try:
        n = -(-len(data) // BATCH) if _is_array(data) else len(data)
    except TypeError:  # a generator, or a tf.data.Dataset of unknown length
        return limit
    return n if limit is None else min(n, limit)


def batches(data: Any, shape: tuple[int | None, ...], limit: int | None = None) -> Iterator[tuple[np.ndarray, int]]:
    """Gives (images float32, how many of them are real), batch by batch.

    A batch that is smaller than the first is filled up with its own last image, so that no second program is compiled
    for it; the copies are taken out of every sum again.

    Args:
        data: images as one array; a `keras.utils.PyDataset`; or any iterable of batches, each images or (images, ...).
        shape: the model's input shape, the batch axis in front.
        limit: how many batches at most.

    Raises:
        ValueError: no image at all, images of another shape, or numbers that are not finite.
    """
    size = 0
    for i, batch in enumerate(_batches(_unpacked(data))):
        if i == limit:
            break
        images = _images(batch, shape)
        n = len(images)
        if n == 0:
            continue
        size = size or n
        if n < size:
            images = np.concatenate([images, np.repeat(images[-1:], size - n, axis=0)])
        yield images, n
    if not size:
        raise ValueError(
            "Expected at least one batch of images, received none: the energy of nothing cannot be measured."
        )


def _batches(data: Any) -> Iterable[Any]:
    if _is_array(data):
        return (data[i : i + BATCH] for i in range(0, len(data), BATCH))
    if isinstance(data, keras.utils.PyDataset):  # has no end of its own to iterate to
        return (data[i] for i in range(len(data)))
    if hasattr(data, "__iter__"):
        return data
    parts = [name for name in ("train", "validation", "test") if hasattr(data, name)]
    hint = f" It has parts: pass one, such as data.{parts[-1]}." if parts else ""
    raise ValueError(f"Expected images, or batches of (images, labels), received {type(data).__name__}.{hint}")


def _unpacked(data: Any) -> Any:
    """The images of a pair of whole arrays (images, labels)."""
    if isinstance(data, tuple) and data and all(_is_array(part) for part in data):
        return data[0]
    return data


def _is_array(data: Any) -> bool:
    return hasattr(data, "shape") and hasattr(data, "__getitem__") and not isinstance(data, (list, tuple))


def _images(batch: Any, shape: tuple[int | None, ...]) -> np.ndarray:
    images = batch[0] if isinstance(batch, (list, tuple)) else batch
    if not _is_array(images):
        raise ValueError(f"Expected a batch of images as one array, received {type(images).__name__}.")
    if not isinstance(images, np.ndarray):
        images = keras.ops.convert_to_numpy(images)
    images = np.asarray(images, dtype="float32")
    fits = images.ndim == len(shape) and all(
        n is None or n == m for n, m in zip(shape[1:], images.shape[1:], strict=True)
    )
    if not fits:
        raise ValueError(
            f"Expected images of shape {tuple(shape[1:])} in batches, received a batch of shape {images.shape}; "
            "resize them, or measure a model of that input_shape."
        )
    if not np.isfinite(images).all():
        raise ValueError(
            "The images hold numbers that are not finite (nan or infinity); look at where they are normalised."
        )
    return images
