"""Reads what `train` is given as data: a data set, one part of it, or arrays; and holds it to the recipe."""

from __future__ import annotations

import hashlib
from typing import Any

import keras
import numpy as np

from kspike._finite import bad_rows
from kspike.data import Augmentation, Dataset, Split
from kspike.data.named_augmentations import as_augmentation
from kspike.training.recipe import Recipe


class Arrays(keras.utils.PyDataset):
    """Yields batches of (images, labels) held in memory, in an order that the seed and the epoch alone decide.

    Args:
        images: float32, (n, ...).
        labels: whole numbers (n,), or shares of classes (n, classes).
        batch_size: images a batch.
        seed: of the order; None for the order as it is, the last batch then being what is left.
    """

    def __init__(self, images: Any, labels: Any, batch_size: int, seed: int | None = None) -> None:
        super().__init__()
        self.images, self.labels = np.asarray(images), np.asarray(labels)
        self.batch_size, self.seed, self.epoch = batch_size, seed, 0

    def __len__(self) -> int:
        if self.seed is None:
            return -(-len(self.images) // self.batch_size)
        return max(1, len(self.images) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        order = np.arange(len(self.images))
        if self.seed is not None:
            order = np.random.default_rng([self.seed, self.epoch]).permutation(order)
        rows = order[index * self.batch_size : (index + 1) * self.batch_size]
        return self.images[rows], self.labels[rows]

    def set_epoch(self, epoch: int) -> None:
        """Goes to the order of an epoch."""
        self.epoch = epoch

    @property
    def hash(self) -> str:
        """SHA-256 over images and labels."""
        return hashlib.sha256(self.images.tobytes() + self.labels.tobytes()).hexdigest()

    def one_hot(self, classes: int) -> Arrays:
        """The same with shares of classes as labels."""
        if self.labels.ndim > 1:
            return self
        return Arrays(self.images, np.eye(classes, dtype="float32")[self.labels], self.batch_size, self.seed)


def read(data: Any, validation: Any, recipe: Recipe) -> tuple[Any, Any]:
    """Gives training and validation batches (None for none); the test part of a data set is never touched.

    Raises:
        ValueError: something that holds no batches, or batches that are not the recipe's.
    """
    if isinstance(data, Dataset):
        validation = data.validation if validation is None else validation
        data = data.train
    train = _part(data, "training", recipe, recipe.seed)
    if isinstance(train, Split):
        _hold(train, recipe)
    return train, None if validation is None else _part(validation, "validation", recipe, None)


def soften(train: Any, validation: Any, recipe: Recipe, classes: int) -> tuple[Any, Any, bool]:
    """Gives both with shares of classes as labels where the recipe needs it, and whether they are so."""
    label = np.asarray(train[0][1])
    if not recipe.label_smoothing and label.ndim == 1:
        return train, validation, False
    return _one_hot(train, classes), None if validation is None else _one_hot(validation, classes), True


def check_first(train: Any, model: Any) -> None:
    """Looks at the first batch, of arrays at all: the model's shape, finite numbers, labels that exist."""
    images, labels = (np.asarray(a) for a in train[0])
    if isinstance(train, Arrays):  # in memory: all of them, and by the place the user knows them by
        images, labels = train.images, train.labels
    shape, classes = tuple(model.input_shape[1:]), int(model.output_shape[-1])
    if len(images.shape) != len(shape) + 1 or any(
        want not in (None, got) for want, got in zip(shape, images.shape[1:], strict=False)
    ):
        raise ValueError(f"The model takes images of shape {shape}, the training images have {images.shape[1:]}.")
    if (bad := bad_rows(images)) is not None:
        raise ValueError(f"Expected finite training images; {bad}. Clean them first.")
    if labels.ndim == 1 and (labels.min() < 0 or labels.max() >= classes):
        raise ValueError(f"The model has {classes} classes, the labels reach from {labels.min()} to {labels.max()}.")
    if labels.ndim == 2 and labels.shape[1] != classes:
        raise ValueError(f"The model has {classes} classes, the labels have {labels.shape[1]}.")


def bad_batch(train: Any, first: int, last: int) -> str | None:
    """Reads batches again, from first to last: which is the first with images that hold NaN; None for none."""
    for i in range(first, last):
        if (bad := bad_rows(train[i][0])) is not None:
            return f"in batch {i + 1}, read again, {bad}"
    return None


def _part(data: Any, name: str, recipe: Recipe, seed: int | None) -> Any:
    if isinstance(data, (tuple, list)):
        if len(data) != 2 or len(data[0]) != len(data[1]) or not len(data[0]):
            raise ValueError(f"{name} data as arrays must be (images, labels), as many of each, at least one.")
        return Arrays(data[0], data[1], recipe.batch_size, seed)
    if not (hasattr(data, "__getitem__") and hasattr(data, "__len__")):
        raise ValueError(
            f"{name} data must be a data set of kspike.data.load(...), a part of it, a keras.utils.PyDataset or "
            f"(images, labels), received {type(data).__name__}."
        )
    return data


def _hold(train: Split, recipe: Recipe) -> None:
    """A recipe that does not describe the run would be worse than none."""
    for name in ("batch_size", "seed"):
        want, got = getattr(recipe, name), getattr(train, name)
        if want != got:
            raise ValueError(
                f"The recipe says {name}={want}, the data was loaded with {got}: load it by recipe.load_data(name), or "
                f"use recipe.replace({name}={got})."
            )
    if train.augmentation not in _meanings(recipe.augment):
        raise ValueError(
            f"The recipe says augment={recipe.augment!r}, the data was loaded with {train.augmentation}: load it by "
            "recipe.load_data(name), or change the recipe."
        )


def _meanings(augment: Any) -> list[Augmentation]:
    """What a name means, where images may be mirrored and where not."""
    found = [as_augmentation(augment, True)]
    if isinstance(augment, str) and augment != "flip_shift":
        found.append(as_augmentation(augment, False))
    return found


def _one_hot(data: Any, classes: int) -> Any:
    if isinstance(data, Arrays):
        return data.one_hot(classes)
    if np.asarray(data[0][1]).ndim > 1:
        return data
    if not hasattr(data, "one_hot"):
        raise ValueError("label_smoothing and mixup need one-hot labels (batch, classes): give the data such labels.")
    return data.one_hot()
