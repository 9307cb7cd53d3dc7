"""Turns a user's data into batches of images and labels; for a compiled program all of one size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from kspike._batches import BATCH, batches_of, check_end, is_array, whole_arrays
from kspike._finite import bad_rows, scaled
from kspike.models.image_model import single

#: Images of data of unknown length that are measured, where nobody says how many: twice ImageNet's validation images.
MOST = 100_000


def count(data: Any, limit: int | None, most: int | None = None) -> int | None:
    """How many batches `batches` will give; the limit, or None, where the data does not say."""
    arrays = whole_arrays(data)
    try:
        n = -(-len(arrays[0]) // BATCH) if arrays else len(data)
    except TypeError:  # a generator, or a tf.data.Dataset of unknown length
        return limit
    if most is not None:
        size = BATCH if arrays else getattr(data, "batch_size", None)
        n = min(n, -(-most // size)) if isinstance(size, int) and size > 0 else n
    return n if limit is None else min(n, limit)


def batches(
    data: Any,
    shape: tuple[int | None, ...],
    limit: int | None = None,
    most: int | None = None,
    whole: bool = True,
) -> Iterator[tuple[np.ndarray, np.ndarray | None, int]]:
    """Gives (images float32, labels of the real ones or None, how many are real), batch by batch.

    With `whole`, a batch that is smaller than the first is padded with copies of its last image, so that no second
    program is compiled for it; the copies are left out of every sum.

    Args:
        data: images as one array; a `keras.utils.PyDataset`; or any iterable of batches, each images or (images, ...).
        shape: the model's input shape, the batch axis in front.
        limit: how many batches at most.
        most: how many images at most.
        whole: whether all batches are of one size.

    Raises:
        ValueError: no image at all, images of another shape, numbers that are not finite, or no end and no limit.
    """
    size = given = 0
    for images in whole_arrays(data)[:1]:
        if tuple(images.shape) == tuple(shape[1:]):  # before it is cut along its height
            raise ValueError(f"Expected images of shape {tuple(shape[1:])} in batches; {single(tuple(images.shape))}")
    if limit is None and most is None:
        check_end(data, "The data", "say how much of it is measured, by batches= or images=")
    for i, batch in enumerate(batches_of(data, most=MOST)):
        if i == limit:
            break
        images = _images(batch, shape)
        n = len(images)
        if n == 0:
            continue
        size = size or n
        labels = _labels(batch, n)
        if most is not None:
            n = min(n, most - given)
        given += n
        if not whole:
            images = images[:n]
        elif len(images) < size:
            images = np.concatenate([images, np.repeat(images[-1:], size - len(images), axis=0)])
        yield images, None if labels is None else labels[:n], n
        if given == most:
            break
    if not size:
        raise ValueError(
            "Expected at least one batch of images, received none: the energy of nothing cannot be measured."
        )


def _images(batch: Any, shape: tuple[int | None, ...]) -> np.ndarray:
    images = batch[0] if isinstance(batch, (list, tuple)) else batch
    if not is_array(images):
        read = "; kspike.data.from_dataset reads dictionaries" if isinstance(images, dict) else ""
        raise ValueError(f"Expected a batch of images as one array, received {type(images).__name__}{read}.")
    if not isinstance(images, np.ndarray):
        images = keras.ops.convert_to_numpy(images)
    scaled("measured", images)
    images = np.asarray(images, dtype="float32")
    fits = images.ndim == len(shape) and all(
        n is None or n == m for n, m in zip(shape[1:], images.shape[1:], strict=True)
    )
    if images.shape == tuple(shape[1:]):
        raise ValueError(f"Expected images of shape {tuple(shape[1:])} in batches; {single(images.shape)}")
    if not fits:
        raise ValueError(
            f"Expected images of shape {tuple(shape[1:])} in batches, received a batch of shape {images.shape}; "
            "resize them, or measure a model of that input_shape."
        )
    if (bad := bad_rows(images)) is not None:
        raise ValueError(f"Expected images that are finite; {bad}. Look at where they are normalised.")
    return images


def _labels(batch: Any, n: int) -> np.ndarray | None:
    """The class of each image, where the batch says one: indices, or one number a class (one-hot, mixed labels)."""
    if not isinstance(batch, (list, tuple)) or len(batch) < 2 or not is_array(batch[1]):
        return None
    labels = batch[1] if isinstance(batch[1], np.ndarray) else keras.ops.convert_to_numpy(batch[1])
    if labels.ndim == 2 and labels.shape[1] > 1:
        labels = labels.argmax(axis=1)
    labels = labels.reshape(len(labels), -1)
    if labels.shape != (n, 1) or labels.dtype.kind not in "biuf":
        return None  # words, among others
    if not (np.isfinite(labels).all() and (labels % 1 == 0).all()):
        return None  # no classes: what a regression is to give
    return labels[:, 0].astype("int64")
