"""Batches that can only be read from the first to the last, tf.data's and DataLoader's, as training reads batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from kspike._batches import bounded, check_end
from kspike._finite import bad_rows, scaled
from kspike._messages import shown
from kspike.data import Augmentation
from kspike.data.split import CHANGES, UNCHANGED

_END = "leave out .repeat(), or whatever goes round; epochs are the recipe's"


class Stream(keras.utils.PyDataset):
    """Yields the batches of an iterable, in its order, read anew each epoch; augmented, if asked for.

    It is read through once when it is made: how many batches there are, and that they are finite floats with labels, is
    known before work starts, and so are the least, the mean and the largest value of each channel, which an
    augmentation fills in. The seed draws the augmentation; the order is the iterable's own.

    Args:
        data: gives batches (images, labels) each time it is iterated over.
        name: "training" or "validation", for messages.
        seed: of the changes.
        changes: the augmentation.

    Raises:
        ValueError: something else, no batch, no end, or images that cannot be augmented.
    """

    def __init__(self, data: Any, name: str, seed: int | None = None, changes: Augmentation = UNCHANGED) -> None:
        super().__init__()
        self.data, self.name, self.seed, self.changes, self.epoch = data, name, seed or 0, changes, 0
        self.classes: int | None = None
        #: The least and the largest label, where labels are whole numbers.
        self.reach = (0, 0)
        check_end(data, f"The {name} data", _END)
        self._batches = self._look()
        self._iterator: Iterator[Any] = iter(())
        self._next = -1

    def __len__(self) -> int:
        return self._batches

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        if index < self._next or self._next < 0:
            self._iterator, self._next = self._read(), 0
        while self._next <= index:
            batch = next(self._iterator, None)
            if batch is None:
                raise ValueError(
                    f"The {self.name} data gave {self._batches} batches when it was first read, and now {self._next}: "
                    "give data that gives as many each time."
                )
            self._next += 1
            images, labels = batch
        if self.classes is not None and labels.ndim == 1:
            labels = np.eye(self.classes, dtype="float32")[labels]
        if self.changes == UNCHANGED:
            return images, labels
        draw = (self.seed, self.epoch, index)
        return changed(images, labels, self.changes, draw, self._black, self._mean, self._white)

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch, which draws the changes, and reads anew."""
        self.epoch, self._next = epoch, -1

    def on_epoch_end(self) -> None:
        """Reads anew."""
        self._next = -1

    def one_hot(self, classes: int) -> Stream:
        """The same with one-hot labels."""
        self.classes = classes
        return self

    def _read(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for batch in self.data:
            if not isinstance(batch, (tuple, list)) or len(batch) != 2:
                raise ValueError(f"The {self.name} data must give batches (images, labels); it gave {shown(batch)}.")
            if any(isinstance(array, Mapping) for array in batch):
                raise ValueError(
                    f"The {self.name} data must give batches (images, labels) of one array each; it gave dictionaries."
                )
            images, labels = (_to_numpy(array) for array in batch)
            if images.ndim < 2 or labels.shape[:1] != images.shape[:1] or labels.ndim > 2:
                raise ValueError(
                    f"The {self.name} data must come in batches, as many labels as images; it gave images of shape "
                    f"{images.shape} and labels of shape {labels.shape}. Of single images make batches: "
                    ".batch(recipe.batch_size), or batch_size= of a DataLoader."
                )
            if not len(images):
                raise ValueError(f"The {self.name} data gave a batch of no images: leave empty batches out.")
            scaled(self.name, images)
            check_numbers(self.name, labels)
            if labels.ndim == 2 and labels.shape[1] == 1:
                labels = labels[:, 0]
            yield images, labels.astype("int64") if labels.ndim == 1 else labels

    def _look(self) -> int:
        least: list[np.ndarray] = []
        most: list[np.ndarray] = []
        total: Any = 0.0
        batches = pixels = 0
        first: tuple[tuple[int, ...], tuple[int, ...]] | None = None
        for images, labels in bounded(self._read(), self.data, f"The {self.name} data", _END):
            shapes = (images.shape[1:], labels.shape[1:])
            first = first or shapes
            if shapes != first:
                raise ValueError(
                    f"The {self.name} data gives images of shape {first[0]}, labels of {first[1]}, and in batch "
                    f"{batches + 1} images of {shapes[0]} with labels of {shapes[1]}: give one shape throughout."
                )
            if labels.ndim == 1:
                self.reach = (min(self.reach[0], int(labels.min())), max(self.reach[1], int(labels.max())))
            if (bad := bad_rows(images)) is not None:
                raise ValueError(
                    f"Expected finite {self.name} images; in batch {batches + 1}, {bad}. Clean them first."
                )
            if self.changes != UNCHANGED:
                if images.ndim != 4:
                    raise ValueError(
                        f"An augmentation changes images (n, height, width, channels), the {self.name} data has shape "
                        f"{images.shape}: use recipe.replace(augment=None), and augment them before."
                    )
                over = (0, 1, 2)
                least.append(images.min(over))
                most.append(images.max(over))
                total = total + images.sum(over, dtype="float64")
                pixels += int(np.prod(images.shape[:3]))
            batches += 1
        if not batches:
            raise ValueError(f"The {self.name} data gives no batch; give data that can be read again and again.")
        if pixels:
            self._black, self._white = np.min(least, 0), np.max(most, 0)
            self._mean = (total / pixels).astype("float32")
        return batches


def check_numbers(name: str, labels: Any) -> None:
    """Checks that labels are numbers: whole ones, or rows of shares of classes.

    Raises:
        ValueError: words, objects, or numbers that name no class.
    """
    kind = np.asarray(labels).dtype
    if kind.kind not in "iufb":
        raise ValueError(
            f"The {name} labels are {kind}; expected whole numbers from 0, or one-hot rows. kspike.data.from_arrays "
            "and from_dataset read words."
        )
    if kind.kind == "f" and np.ndim(labels) == 1 and not (np.mod(labels, 1) == 0).all():
        raise ValueError(f"The {name} labels are {kind}, others than whole numbers among them; expected 0, 1, 2, ...")


def changed(
    images: np.ndarray,
    labels: np.ndarray,
    changes: Augmentation,
    draw: tuple[int, int, int],
    black: np.ndarray,
    mean: np.ndarray,
    white: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """A batch of floats, augmented; seed, epoch and number of the batch draw the changes, as in `kspike.data.Split`.

    Args:
        images: (batch, height, width, channels).
        labels: (batch,), or probabilities (batch, classes).
        changes: the augmentation.
        draw: seed, epoch and number of the batch.
        black, mean, white: (channels,), the least, the mean and the largest value.
    """
    rng = np.random.default_rng([CHANGES, *draw])
    images = changes.change_raw(images.astype("float32"), mean, white, rng, black)
    # images are mixed together with their labels, so only once these are probabilities (`inputs.soften`)
    if labels.ndim == 1:
        changes = changes.without_mixing()
    return changes.change_normalized(images, labels, draw[1], rng, mean)


def _to_numpy(array: Any) -> np.ndarray:
    """A tensor of any library as a NumPy array."""
    if hasattr(array, "detach"):  # torch
        array = array.detach().cpu()
    return np.asarray(array)
