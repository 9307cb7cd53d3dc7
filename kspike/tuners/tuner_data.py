"""What a search does with its data: training images that calibrate, images that score, images that pick."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from kspike._finite import bad_rows
from kspike.config import SpikformerConfig
from kspike.training.inputs import Arrays

#: Images looked at for NaN and shape before work starts; a whole ImageNet would take hours.
LOOKED_AT = 8


#: Images a batch of data that comes as arrays.
BATCH_SIZE = 64


class Batches(Arrays):
    """Batches of (images, labels) held in memory, for users who bring arrays instead of a kspike data set."""

    def halves(self) -> tuple[Batches, Batches]:
        """Every second image of each class: two disjoint, balanced halves."""
        order = np.argsort(self.labels, kind="stable")
        first, second = (np.sort(half) for half in (order[::2], order[1::2]))
        return (
            Batches(self.images[first], self.labels[first], self.batch_size),
            Batches(self.images[second], self.labels[second], self.batch_size),
        )

    def without_augmentation(self) -> Batches:
        """The same images in the order they came."""
        return Batches(self.images, self.labels, self.batch_size)


def as_data(data: Any, name: str, seed: int | None = None) -> Any:
    """Takes a kspike data set's part, or (images, labels) as arrays, which a seed shuffles.

    Raises:
        ValueError: something else, or images and labels of different number.
    """
    if data is None:
        raise ValueError(f"{name} data is missing; pass data.{name} of kspike.data.load(...), or (images, labels).")
    if isinstance(data, (tuple, list)):
        if len(data) != 2 or len(data[0]) != len(data[1]):
            raise ValueError(f"{name} data as arrays must be (images, labels) of the same number.")
        return Batches(data[0], data[1], BATCH_SIZE, seed)
    if not hasattr(data, "__getitem__") or not hasattr(data, "__len__"):
        raise ValueError(
            f"{name} data must be a kspike data set's part or (images, labels), got {type(data).__name__}."
        )
    return data


def check(data: Any, name: str, config: SpikformerConfig) -> None:
    """Looks at the first batches: right shape, finite numbers.

    Raises:
        ValueError: says what is wrong, before any work starts.
    """
    for i in range(len(data) if isinstance(data, Arrays) else min(LOOKED_AT, len(data))):  # arrays: all of them
        images = np.asarray(data[i][0])
        if images.shape[1:] != config.input_shape:
            raise ValueError(
                f"The {name} images have shape {images.shape[1:]}, the search space is made for {config.input_shape}; "
                "load the data at that size, or change the space's input_shape."
            )
        if (bad := bad_rows(images)) is not None:
            raise ValueError(f"The {name} data has NaN or infinite pixels (batch {i}: {bad}); clean it first.")


def halves(data: Any) -> tuple[Any, Any]:
    """One half of the validation images scores candidates, the other picks the final network.

    Raises:
        ValueError: the data cannot be halved.
    """
    if not hasattr(data, "halves"):
        raise ValueError(
            "The validation data must come in two fixed halves (one scores, one picks): pass data.validation of "
            "kspike.data.load(...), or (images, labels) as arrays."
        )
    return data.halves()


def describe(data: Any) -> str:
    """A hash that tells one set of scoring images from another, whatever batches they come in."""
    if hasattr(data, "hash"):
        return data.hash
    digest = hashlib.sha256()
    for i in range(len(data)):
        digest.update(np.ascontiguousarray(data[i][1]).tobytes())
    digest.update(np.ascontiguousarray(data[0][0]).tobytes())
    return digest.hexdigest()
