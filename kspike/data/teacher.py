"""Teacher logits: what a trained classifier says of training images, in views that a student sees again."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kspike import _npz
from kspike._files import expanded, opened_plain, write_bytes
from kspike.data import transforms
from kspike.data.augmentation import Augmentation
from kspike.data.sources import Array

#: First word of the seed of the views, apart from those of order and augmentation.
VIEWS = 2
_FIELDS = ("facts", "logits")


@dataclasses.dataclass(frozen=True, eq=False)
class TeacherLogits:
    """Logits of a teacher for every training image in a few views, each a fixed mirror and shift of every image.

    A student that trains with them sees view e mod views in epoch e, so that the teacher runs once, not in every epoch.
    Made by `kspike.training.teacher_logits`.

    Args:
        logits: (views, images, classes), the images in the order of `split.images`; rounded to float16.
        images: hash of the training split, `split.hash`.
        class_names: the classes, in the order of the logits.
        flip, shift, fill: as of `Augmentation`; of the views.
        seed: of the views.
        teacher: what is known of it, as JSON: its name and its accuracy, as a rule.

    Raises:
        ValueError: logits of another shape, or that are not finite.
    """

    logits: Array
    images: str
    class_names: tuple[str, ...]
    flip: float
    shift: float
    fill: str = "black"
    seed: int = 0
    teacher: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        with np.errstate(over="ignore"):  # beyond float16 it is infinite, and refused
            logits = np.asarray(self.logits).astype(np.float16).astype(np.float32)  # as a file keeps them
        names = tuple(str(name) for name in self.class_names)
        if logits.ndim != 3 or not logits.size or logits.shape[2] != len(names):
            raise ValueError(
                f"Teacher logits expected an array (views, images, {len(names)} classes), received {logits.shape}."
            )
        if not np.isfinite(logits).all():
            raise ValueError("Teacher logits expected finite numbers, received NaN or infinity: the teacher diverged.")
        Augmentation(flip=self.flip, shift=self.shift, fill=self.fill)  # checks them
        object.__setattr__(self, "logits", logits)
        object.__setattr__(self, "class_names", names)

    @property
    def views(self) -> int:
        """Number of views."""
        return int(self.logits.shape[0])

    @functools.cached_property
    def hash(self) -> str:
        """SHA-256 over the logits and everything that is said of them."""
        content = json.dumps(self._said(), sort_keys=True).encode() + self.logits.astype("<f4").tobytes()
        return hashlib.sha256(content).hexdigest()

    def facts(self) -> dict[str, Any]:
        """What a run and a card say of it: teacher, views, mirror and shift, hash."""
        said = {name: value for name, value in self._said().items() if name not in ("images", "class_names")}
        return {**said, "views": self.views, "hash": self.hash}

    def _said(self) -> dict[str, Any]:
        return {
            "teacher": dict(self.teacher), "images": self.images, "class_names": list(self.class_names),
            "flip": self.flip, "shift": self.shift, "fill": self.fill, "seed": self.seed,
        }  # fmt: skip

    def moves(self, view: int, size: tuple[int, int]) -> transforms.Moves:
        """The mirror and shift of every image in a view, the images being of this height and width."""
        return moves_of_view(self.logits.shape[1], size, self.flip, self.shift, self.seed, view)

    def shares(self, view: int, rows: Array, temperature: float) -> Array:
        """Softmax of logits / temperature: float32, (rows, classes)."""
        scaled = self.logits[view, rows] / np.float32(temperature)
        powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    # Files.

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes an .npz file; it is whole or not there."""
        kept = io.BytesIO()
        np.savez(kept, facts=np.asarray(json.dumps(self._said())), logits=self.logits.astype(np.float16))
        where = expanded(path)
        write_bytes(where, kept.getvalue())
        return where

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> TeacherLogits:
        """Reads what `save` wrote.

        Raises:
            ValueError: no such file, or another content.
        """
        where = expanded(path)
        if not where.is_file():
            raise ValueError(
                f"No teacher logits at {os.fspath(path)!r}: make them by kspike.training.teacher_logits(model, data) "
                "and .save(path), or kspike teach MODEL FILE."
            )
        try:
            with opened_plain(where) as file:
                arrays = _npz.read(file)
            if sorted(arrays) != sorted(_FIELDS):
                raise ValueError(f"it holds {', '.join(arrays)}, expected {', '.join(_FIELDS)}")
            return cls(logits=arrays["logits"], **json.loads(str(arrays["facts"])))
        except Exception as error:  # damaged archives end in nearly every class of error there is
            raise ValueError(f"{os.fspath(path)!r} holds no teacher logits: {error!s:.200}.") from None


@functools.lru_cache(maxsize=8)  # a batch asks for those of all images
def moves_of_view(
    count: int, size: tuple[int, int], flip: float, shift: float, seed: int, view: int
) -> transforms.Moves:
    """The mirror and shift of each of `count` images of a height and width, in one view of a seed."""
    return transforms.draw_moves(count, size, flip, shift, np.random.default_rng([VIEWS, seed, view]))
