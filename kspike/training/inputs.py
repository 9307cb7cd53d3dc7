"""Reads the data of `train`: a data set, one split of it, or arrays; and checks it against the recipe."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from kspike._batches import unaugmented
from kspike._finite import bad_rows, scaled
from kspike._messages import shown
from kspike.data import Augmentation, Dataset, Split
from kspike.data.events import EventAugmentation
from kspike.data.events.named_augmentations import as_event_augmentation
from kspike.data.named_augmentations import as_augmentation, augmentations
from kspike.data.split import ORDER, UNCHANGED
from kspike.data.teacher import TeacherLogits
from kspike.training.recipe import Recipe
from kspike.training.streams import Stream, changed, check_numbers

#: What can be read by number, by name or in some order, but holds no batches.
NO_BATCHES = (str, bytes, os.PathLike, Mapping, set)


class Arrays(keras.utils.PyDataset):
    """Yields batches of (images, labels) held in memory, in an order that the seed and the epoch alone decide.

    Order and changes are those of `kspike.data.Split` with the same seed. Edges are filled with the least value of each
    channel over all images, or its mean, as the augmentation says; erased pixels are set to the mean.

    Args:
        images: floats, (n, ...); (n, height, width, channels) where they are changed.
        labels: whole numbers (n,), or class probabilities (n, classes).
        batch_size: images a batch.
        seed: of the order and the changes; None for the order as it is, the last batch then being what is left.
        changes: the augmentation.

    Raises:
        ValueError: images of a shape that cannot be augmented.
    """

    def __init__(
        self, images: Any, labels: Any, batch_size: int, seed: int | None = None, changes: Augmentation = UNCHANGED
    ) -> None:
        super().__init__()
        self.images, self.labels = np.asarray(images), np.asarray(labels)
        self.batch_size, self.seed, self.epoch, self.changes = batch_size, seed, 0, changes
        if changes != UNCHANGED:
            if self.images.ndim != 4:
                raise ValueError(
                    f"An augmentation changes images (n, height, width, channels), the arrays have shape "
                    f"{self.images.shape}: use recipe.replace(augment=None), and augment them before."
                )
            over = (0, 1, 2)
            self._black, self._white = self.images.min(over), self.images.max(over)
            self._mean = self.images.mean(over, dtype="float64").astype("float32")

    def __len__(self) -> int:
        if self.seed is None:
            return -(-len(self.images) // self.batch_size)
        return max(1, len(self.images) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        order = np.arange(len(self.images))
        if self.seed is not None:
            order = np.random.default_rng([ORDER, self.seed, self.epoch]).permutation(order)
        rows = order[index * self.batch_size : (index + 1) * self.batch_size]
        images, labels = self.images[rows], self.labels[rows]
        if self.changes == UNCHANGED:
            return images, labels
        draw = (self.seed or 0, self.epoch, index)
        return changed(images, labels, self.changes, draw, self._black, self._mean, self._white)

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch, which decides the order."""
        self.epoch = epoch

    @property
    def hash(self) -> str:
        """SHA-256 over images and labels."""
        return hashlib.sha256(self.images.tobytes() + self.labels.tobytes()).hexdigest()

    def one_hot(self, classes: int) -> Arrays:
        """The same with one-hot labels."""
        if self.labels.ndim > 1:
            return self
        labels = np.eye(classes, dtype="float32")[self.labels]
        return Arrays(self.images, labels, self.batch_size, self.seed, self.changes)


def read(data: Any, validation: Any, recipe: Recipe) -> tuple[Any, Any]:
    """Gives training and validation batches (None for none); the test split of a data set is never used.

    Raises:
        ValueError: something that holds no batches, or batches that are not the recipe's.
    """
    if isinstance(data, Dataset):
        validation = data.validation if validation is None else validation
        data = data.train
    here = isinstance(data, (tuple, list)) or _is_stream(data)  # augmented here; others come as they are
    changes = as_augmentation(recipe.augment) if here else UNCHANGED
    train = _as_batches(data, "training", recipe, recipe.seed, changes)
    if isinstance(train, Stream):
        _check_batch_size(train, recipe)
    elif not isinstance(train, Arrays):
        _check_recipe(train, recipe)
    return train, None if validation is None else _as_batches(validation, "validation", recipe, None)


def taught(train: Any, recipe: Recipe, teacher: TeacherLogits | str | os.PathLike[str] | None) -> Any:
    """The training batches with the teacher's shares of classes in their labels, as the recipe says.

    Raises:
        ValueError: a teacher without a recipe for it, or the reverse; another's images; data that cannot show views.
    """
    if teacher is None:
        if recipe.teacher_share:
            raise ValueError(
                f"The recipe says teacher_share={recipe.teacher_share:g}: give the teacher's logits, "
                "train(..., teacher=FILE), or use recipe.replace(teacher_share=0.0)."
            )
        return train
    if not recipe.teacher_share:
        raise ValueError("A teacher was given, and the recipe has none: say how much of a label it makes up, as by "
                         "recipe.replace(teacher_share=0.9).")  # fmt: skip
    logits = teacher if isinstance(teacher, TeacherLogits) else TeacherLogits.load(teacher)
    if not isinstance(train, Split):
        raise ValueError(
            f"A teacher's logits are of the images of a data set (kspike.data.load, from_directory and the like), in "
            f"fixed views of them; the training data is {type(train).__name__}."
        )
    return train.taught(logits, recipe.teacher_share, recipe.teacher_temperature)


def soften(train: Any, validation: Any, recipe: Recipe, classes: int) -> tuple[Any, Any, bool]:
    """Gives both with class probabilities as labels if the recipe needs them, and whether they are so."""
    labels = [np.asarray(data[0][1]) for data in (train, validation) if data is not None]
    mixed = isinstance(train, (Arrays, Stream)) and train.changes.mixes
    if not recipe.label_smoothing and not mixed and all(label.ndim == 1 for label in labels):
        return train, validation, False
    return _one_hot(train, classes), None if validation is None else _one_hot(validation, classes), True


def check_first(data: Any, name: str, model: Any) -> None:
    """Checks the first batch (all images of arrays): the model's input shape, finite numbers, labels in range.

    Args:
        data: batches, what `read` gives.
        name: "training" or "validation", for the message.
        model: what is trained.

    Raises:
        ValueError: says what does not fit.
    """
    images, labels = (np.asarray(a) for a in data[0][:2])
    if isinstance(data, Arrays):  # in memory: all of them, with the user's own indices
        images, labels = data.images, data.labels
    shape, classes = tuple(model.input_shape[1:]), int(model.output_shape[-1])
    if len(images.shape) != len(shape) + 1 or any(
        want not in (None, got) for want, got in zip(shape, images.shape[1:], strict=False)
    ):
        raise ValueError(f"The model takes images of shape {shape}, the {name} images have {images.shape[1:]}.")
    if (bad := bad_rows(images)) is not None:
        raise ValueError(f"Expected finite {name} images; {bad}. Clean them first.")
    if labels.ndim == 1:
        least, most = data.reach if isinstance(data, Stream) else (labels.min(), labels.max())
        if least < 0 or most >= classes:
            raise ValueError(f"The model has {classes} classes, the {name} labels reach from {least} to {most}.")
    if labels.ndim == 2 and labels.shape[1] != classes:
        raise ValueError(f"The model has {classes} classes, the {name} labels have {labels.shape[1]}.")


def unchanged(train: Any) -> Any:
    """The training batches, unaugmented and in fixed order where the data can give them so."""
    train = getattr(train, "inside", train)  # of prefetched ones
    if isinstance(train, Arrays):
        return Arrays(train.images, train.labels, train.batch_size)
    return unaugmented(train)


def bad_batch(train: Any, first: int, last: int, classes: int) -> str | None:
    """Reads batches `first` to `last` again; describes the first that does not fit, or None.

    Does not fit: images that hold NaN, of another shape than the first batch's, none at all, or labels of no class.
    """
    shape = np.shape(train[0][0])[1:]
    for i in range(first, last):
        images, labels = train[i][:2]
        if np.shape(images)[1:] != shape or not len(images):
            return f"in batch {i + 1}, read again, images have shape {np.shape(images)}, in the first {shape}"
        if (bad := bad_rows(images)) is not None:
            return f"in batch {i + 1}, read again, {bad}"
        labels = np.asarray(labels)
        if labels.ndim == 1 and (labels.min() < 0 or labels.max() >= classes):
            return (
                f"in batch {i + 1}, read again, labels reach from {labels.min()} to {labels.max()}, of a model of "
                f"{classes} classes"
            )
    return None


def does_not_fit(data: Any, name: str, classes: int) -> str | None:
    """What of a user's own batches ended training; None where nothing is found, or where they were read before."""
    if data is None or isinstance(data, (Split, Arrays, Stream)) or hasattr(data, "inside"):
        return None
    found = bad_batch(data, 0, len(data), classes)
    return None if found is None else f"The {name} data does not fit: {found}."


def _as_batches(data: Any, name: str, recipe: Recipe, seed: int | None, changes: Augmentation = UNCHANGED) -> Any:
    if isinstance(data, (tuple, list)):
        if len(data) != 2 or not all(map(_even, data)) or len(data[0]) != len(data[1]) or not len(data[0]):
            raise ValueError(
                f"{name} data as arrays must be (images, labels), as many of each, at least one. A list of batches is "
                "given as a keras.utils.PyDataset, or in a DataLoader."
            )
        scaled(name, np.asarray(data[0]))
        check_numbers(name, data[1])
        return Arrays(data[0], data[1], recipe.batch_size, seed, changes)
    if _is_stream(data):
        return Stream(data, name, seed, changes)
    if isinstance(data, NO_BATCHES) or not (hasattr(data, "__getitem__") and hasattr(data, "__len__")):
        path = ": open a folder or a file by kspike.data.open_data" if isinstance(data, (str, os.PathLike)) else ""
        raise ValueError(
            f"{name} data must be a data set of kspike.data.load(...), a split of it, a keras.utils.PyDataset, a "
            "tf.data.Dataset or DataLoader of batches, or (images, labels), received "
            f"{type(data).__name__}{once(data)}{path}."
        )
    if isinstance(data, (Split, Arrays)):
        return data
    if not len(data):
        raise ValueError(f"{name} data has no batch, a {type(data).__name__} of none: give at least one.")
    first = data[0]
    if not isinstance(first, Mapping) and not (isinstance(first, (tuple, list)) and len(first) >= 2):
        raise ValueError(f"{name} data must give batches (images, labels), it gives {shown(first)}.")
    if isinstance(first, Mapping):
        raise ValueError(
            f"{name} data gives dictionaries, a {type(data).__name__}; expected batches (images, labels). "
            "kspike.data.from_dataset reads dictionaries."
        )
    if not isinstance(data, keras.utils.PyDataset):
        if isinstance(first, (tuple, list)) and len(first) == 2 and np.ndim(first[1]) == 0:
            raise ValueError(
                f"{name} data gives single images, a {type(data).__name__}: make batches of it, by "
                "torch.utils.data.DataLoader(..., batch_size=recipe.batch_size), or kspike.data.from_dataset."
            )
    scaled(name, np.asarray(first[0]))
    check_numbers(name, first[1])
    return data


def _check_recipe(train: Any, recipe: Recipe) -> None:
    """Checks that the recipe describes the data: a recipe that does not is worse than none.

    A user's data set shuffles and augments its batches itself: the settings that it states as attributes, and the size
    of its first batch, must be the recipe's.
    """
    own = not isinstance(train, Split)
    _check_batch_size(train, recipe)
    _check_equal("seed", recipe.seed, getattr(train, "seed", recipe.seed))
    if own and not hasattr(train, "augmentation"):
        if recipe.augment is not None and UNCHANGED not in _meanings(recipe.augment):
            raise ValueError(
                f"The recipe says augment={recipe.augment!r}, which is done to arrays and to data sets of "
                f"kspike.data.load; a {type(train).__name__} gives its batches as it likes: augment them there, and "
                "use recipe.replace(augment=None)."
            )
    elif train.augmentation not in _meanings(recipe.augment, isinstance(train.augmentation, EventAugmentation)):
        raise ValueError(
            f"The recipe says augment={recipe.augment!r}, the data was loaded with {train.augmentation}: load it by "
            "recipe.load_data(name), or with that augment=, or change the recipe."
        )


def _check_batch_size(train: Any, recipe: Recipe) -> None:
    found = train.batch_size if isinstance(train, Split) else _batch_size(train, recipe.batch_size)
    _check_equal("batch_size", recipe.batch_size, found)


def _check_equal(name: str, want: int, got: int) -> None:
    if want != got:
        raise ValueError(
            f"The recipe says {name}={want}, the data was loaded with {got}: load it by recipe.load_data(name), or "
            f"use recipe.replace({name}={got})."
        )


def _batch_size(data: Any, wanted: int) -> int:
    """Images of the first batch; `wanted` if there is only one batch, with fewer images."""
    found = len(data[0][1])
    return wanted if len(data) == 1 and found < wanted else found


def _even(array: Any) -> bool:
    """Whether this is an array, or rows of one length."""
    try:
        return hasattr(array, "shape") or np.asarray(array).ndim > 0
    except ValueError:  # NumPy's, of rows of different length
        return False


def once(data: Any) -> str:
    """What to say of an iterator, which one epoch would use up."""
    return ", which can be read once: give what it was made of" if hasattr(data, "__next__") else ""


def _is_stream(data: Any) -> bool:
    """Whether batches can only be read in their order, again and again."""
    return (
        not (hasattr(data, "__getitem__") and hasattr(data, "__len__"))
        and hasattr(data, "__iter__")
        and not hasattr(data, "__next__")
        and not isinstance(data, NO_BATCHES)
    )


def _meanings(augment: Any, events: bool = False) -> list[Any]:
    """The augmentations that a name may mean: for what may be mirrored, and for what may not."""
    if events:
        if not isinstance(augment, (str, EventAugmentation, type(None))):
            return []
        both = [as_event_augmentation(augment, "events", True)]
        return [*both, *(dataclasses.replace(one, flip=0.0) for one in both if isinstance(augment, str))]
    if isinstance(augment, EventAugmentation) or (isinstance(augment, str) and augment not in augmentations()):
        return []
    found = [as_augmentation(augment, True)]
    if isinstance(augment, str) and augment != "flip_shift":
        found.append(as_augmentation(augment, False))
    return found


def _one_hot(data: Any, classes: int) -> Any:
    if isinstance(data, (Arrays, Stream)):
        return data.one_hot(classes)
    if np.asarray(data[0][1]).ndim > 1:
        return data
    if not hasattr(data, "one_hot"):
        raise ValueError(
            "label_smoothing and mixup, or labels of the other part that are shares of classes, need such labels "
            "(batch, classes) here too: give the data one-hot labels."
        )
    return data.one_hot()
