"""Prepares the data of a search: training images to calibrate, two halves of validation images to score and to pick."""

from __future__ import annotations

import hashlib
from typing import Any

import keras
import numpy as np

from kspike._finite import bad_rows, scaled
from kspike.models.image_model import Shaped
from kspike.training.inputs import Arrays

#: Batches checked for NaN and shape before work starts; a whole ImageNet would take hours.
LOOKED_AT = 8


#: Batch size for data given as arrays.
BATCH_SIZE = 64


class Batches(Arrays):
    """Batches of (images, labels) held in memory, for users who bring arrays instead of a kspike data set."""

    def halves(self) -> tuple[Batches, Batches]:
        """Every second image of each class: two disjoint, balanced halves."""
        first, second = _every_second(self.labels)
        labels = _classes(self.labels)
        return (
            Batches(self.images[first], labels[first], self.batch_size),
            Batches(self.images[second], labels[second], self.batch_size),
        )

    def without_augmentation(self) -> Batches:
        """The same images in the order they came."""
        return Batches(self.images, self.labels, self.batch_size)


class Half(keras.utils.PyDataset):
    """Yields some of the images of each batch of another data set, read on demand.

    Args:
        data: batches of (images, labels), the same ones each time.
        rows: (number of a batch, the rows of it), for each batch that has any.
    """

    def __init__(self, data: Any, rows: list[tuple[int, np.ndarray]]) -> None:
        super().__init__()
        self.data, self.rows = data, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        number, rows = self.rows[index]
        images, labels = self.data[number][:2]
        return np.asarray(images)[rows], _classes(labels)[rows]


def arranged(train: Any, y: Any, validation: Any) -> tuple[Any, Any]:
    """Reads both forms that users write, (x, y, validation_data=) and (train, validation): training, validation data.

    Raises:
        ValueError: labels beside data that has its own, or images without any.
    """
    alone = hasattr(train, "shape")  # an array, of whatever package: images
    if y is None:
        if alone:
            raise ValueError(
                "These images have no labels: pass (images, labels), or the labels as the second argument."
            )
        return train, validation
    if alone:
        return (train, y), validation
    if validation is not None:
        raise ValueError(
            f"Labels y were given beside a {type(train).__name__}, which has labels of its own; pass them with an "
            "array of images, or leave them out."
        )
    return train, y


def refuse_fit_arguments(given: dict[str, Any], why: str) -> None:
    """Says of arguments that `fit` takes why a search takes none of them.

    Raises:
        ValueError: there are any.
    """
    if given:
        raise ValueError(f"search takes no {', '.join(given)}: {why}.")


def as_data(data: Any, name: str, seed: int | None = None) -> Any:
    """Accepts a split of a kspike data set, or (images, labels) as arrays, which a seed shuffles.

    Raises:
        ValueError: something else, or images and labels of different number.
    """
    if data is None:
        raise ValueError(f"{name} data is missing; pass data.{name} of kspike.data.load(...), or (images, labels).")
    if isinstance(data, (tuple, list)):
        if len(data) != 2 or len(data[0]) != len(data[1]) or not len(data[0]):
            raise ValueError(f"{name} data as arrays must be (images, labels) of the same number, at least one.")
        labels = np.asarray(data[1])
        return Batches(data[0], labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels, BATCH_SIZE, seed)
    if not hasattr(data, "__getitem__") or not hasattr(data, "__len__"):
        raise ValueError(
            f"{name} data must be a split of a kspike data set or (images, labels), got {type(data).__name__}."
        )
    if not len(data):
        raise ValueError(f"{name} data must hold at least one batch, got a {type(data).__name__} of none.")
    return data


def check(data: Any, name: str, config: Shaped) -> None:
    """Checks the first batches: right shapes, finite numbers.

    Raises:
        ValueError: says what is wrong, before any work starts.
    """
    for i in range(len(data) if isinstance(data, Arrays) else min(LOOKED_AT, len(data))):  # arrays: all of them
        images = np.asarray(data[i][0])
        scaled(name, images)
        if images.shape[1:] != config.input_shape:
            raise ValueError(
                f"The {name} images have shape {images.shape[1:]}, the search space is made for {config.input_shape}; "
                "load the data at that size, or change the space's input_shape."
            )
        if (bad := bad_rows(images)) is not None:
            raise ValueError(f"The {name} data has NaN or infinite pixels (batch {i}: {bad}); clean it first.")
        labels = np.asarray(data[i][1])
        if labels.dtype.kind not in "fiub" or labels.ndim not in (1, 2) or len(labels) != len(images):
            raise ValueError(
                f"The {name} labels must be a number an image, or one-hot (images, classes); batch {i} has "
                f"{labels.dtype} of shape {labels.shape} for {len(images)} images."
            )


def halves(data: Any) -> tuple[Any, Any]:
    """One half of the validation images scores candidates, the other picks the final network.

    Raises:
        ValueError: the data cannot be halved: it has less than two images, or gives others each time it is read.
    """
    if hasattr(data, "halves"):
        return data.halves()
    once, again = data[0], data[0]
    if not all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(once[:2], again[:2], strict=True)):
        raise ValueError(
            "The validation data must come in two fixed halves (one scores, one picks), but its first batch is another "
            "one when it is read again: switch shuffling and augmentation off, or pass data.validation of "
            "kspike.data.load(...), or (images, labels) as arrays."
        )
    labels = [_classes(data[i][1]) for i in range(len(data))]
    starts = np.cumsum([0, *map(len, labels)])
    if starts[-1] < 2:
        raise ValueError(f"The validation data must have two images at least, got {starts[-1]}.")
    first, second = (
        [
            (i, half[(half >= start) & (half < end)] - start)
            for i, (start, end) in enumerate(zip(starts[:-1], starts[1:], strict=True))
            if ((half >= start) & (half < end)).any()
        ]
        for half in _every_second(np.concatenate(labels))
    )
    return Half(data, first), Half(data, second)


def _every_second(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(_classes(labels), kind="stable")
    return np.sort(order[::2]), np.sort(order[1::2])


def _classes(labels: Any) -> np.ndarray:
    labels = np.asarray(labels)
    return labels.argmax(-1) if labels.ndim > 1 and labels.shape[-1] > 1 else labels.reshape(len(labels))


def describe(data: Any) -> str:
    """A hash that tells one set of scoring images from another, whatever batches they come in."""
    if hasattr(data, "hash"):
        return data.hash
    digest = hashlib.sha256()
    for i in range(len(data)):
        digest.update(np.ascontiguousarray(data[i][1]).tobytes())
    digest.update(np.ascontiguousarray(data[0][0]).tobytes())
    return digest.hexdigest()
