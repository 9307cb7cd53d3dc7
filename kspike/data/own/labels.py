"""Labels as a user has them, numbers, words or one-hot rows -> classes from 0, and their names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from kspike._messages import shown
from kspike.data.sources import Array

#: How many names or numbers a message lists.
LISTED = 8


def read(labels: Any, class_names: Sequence[str] | None, what: str = "labels") -> tuple[Array, tuple[str, ...]]:
    """Labels -> classes, int32 (n,), and class names: the given ones, the words, or the numbers.

    Args:
        labels: numpy array or list of n: whole numbers from 0, words, or one-hot rows (n, classes).
        class_names: the name of each class, in order; of words it says which comes first.
        what: the argument's name, for messages.

    Raises:
        ValueError: anything else; says which label.
    """
    found = np.asarray(labels)
    if found.dtype.kind == "O" and found.ndim == 1 and all(isinstance(label, (str, bytes)) for label in found.tolist()):
        found = found.astype(str) if all(isinstance(label, str) for label in found.tolist()) else found
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    if found.ndim == 2 and found.dtype.kind in "iufb":
        found = _from_rows(found, what)
    if found.ndim != 1 or found.dtype.kind not in "iufbUS":
        raise ValueError(
            f"{what}: expected a class an image, as a whole number from 0, a word, or a one-hot row; received an array "
            f"of {found.dtype} and shape {found.shape}."
        )
    if found.dtype.kind in "US":
        words = [word.decode() if isinstance(word, bytes) else word for word in found.tolist()]
        names = tuple(class_names) if class_names is not None else in_order(set(words))
        return of_words(words, names, what), names
    numbers = _of_numbers(found, class_names, what)
    return numbers, tuple(map(str, range(int(numbers.max()) + 1))) if class_names is None else tuple(class_names)


def in_order(words: Iterable[str]) -> tuple[str, ...]:
    """Class names in order: of the alphabet, or, if all are whole numbers, of those ("10" comes after "2")."""
    words = list(words)
    if all(word.isascii() and word.isdigit() for word in words):
        return tuple(sorted(words, key=lambda word: (int(word), word)))
    return tuple(sorted(words))


def of_words(words: Sequence[str], names: Sequence[str], what: str) -> Array:
    """Words -> their places among the names, int32.

    Raises:
        ValueError: a word that is no name.
    """
    place = {name: i for i, name in enumerate(names)}
    unknown = sorted(set(words) - set(place))
    if unknown:
        raise ValueError(f"{what}: {listed(unknown)} stand in no class_names, which are {listed(names)}.")
    return np.array([place[word] for word in words], np.int32)


def check_names(names: Any) -> tuple[str, ...]:
    """Class names -> the same as a tuple.

    Raises:
        ValueError: not texts, less than two, or one twice.
    """
    texts = not isinstance(names, str) and all(isinstance(name, str) and name for name in names)
    if not texts or any(ord(letter) < 32 or ord(letter) == 127 for name in names for letter in name):
        raise ValueError(
            f"class_names: expected the name of each class, a text of one line, in order; received {shown(names)}."
        )
    names = tuple(names)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"class_names: {listed(twice)} stand there twice.")
    if len(names) < 2:
        raise ValueError(f"Expected at least two classes to tell apart, received {listed(names) or 'none'}.")
    return names


def check_all_there(labels: Array, names: Sequence[str] | None, classes: int, what: str) -> None:
    """Refuses classes without an image, by ValueError."""
    missing = sorted(set(range(classes)) - set(np.unique(labels).tolist()))
    if missing:
        called = [names[i] if names is not None else str(i) for i in missing]
        raise ValueError(
            f"{what}: no image is of class {listed(called)}. Add images, or leave the class out (labels are 0 to n-1)."
        )


def listed(words: Iterable[Any]) -> str:
    """A few of them, and how many more."""
    words = [str(word) for word in words]
    more = f" and {len(words) - LISTED:,} more" if len(words) > LISTED else ""
    return ", ".join(words[:LISTED]) + more


def _from_rows(rows: Array, what: str) -> Array:
    one_hot = np.isin(rows, (0, 1)).all(1) & (rows.sum(1) == 1)
    if not one_hot.all():
        raise ValueError(
            f"{what}: expected a class an image; the row of image {int(np.argmin(one_hot)):,} is not one-hot. Shares "
            "of classes, and several classes an image, are not read here."
        )
    return rows.argmax(1)


def _of_numbers(numbers: Array, class_names: Sequence[str] | None, what: str) -> Array:
    if not len(numbers):
        raise ValueError(f"{what}: expected at least one image, received none.")
    if numbers.dtype.kind == "f" and not (np.isfinite(numbers).all() and (numbers == np.rint(numbers)).all()):
        raise ValueError(f"{what}: expected whole numbers, received {numbers.dtype} with others between or NaN.")
    least, most = int(numbers.min()), int(numbers.max())
    top = "n-1" if class_names is None else f"{len(class_names) - 1}, of {len(class_names)} class_names"
    if least < 0 or (class_names is not None and most >= len(class_names)):
        raise ValueError(f"{what}: expected whole numbers from 0 to {top}, received {least} to {most}.")
    present = np.unique(numbers)
    if class_names is None and (least > 0 or len(present) <= most):
        raise ValueError(
            f"{what}: expected every whole number from 0 to n-1, received {listed(present.astype(int))}: count from 0 "
            "without gaps, or give the labels as words (labels.astype(str)), or class_names=."
        )
    return numbers.astype(np.int32)
