"""Feeds one split of a data set to Keras: normalised batches, in an order fixed by the seed and the epoch alone."""

import dataclasses
import hashlib
import inspect
from collections.abc import Sequence
from functools import partial
from typing import Any

import keras
import numpy as np

from kspike.data import partition, transforms
from kspike.data.arguments import whole
from kspike.data.augmentation import Augmentation
from kspike.data.events.augmentation import UNCHANGED as UNCHANGED_EVENTS
from kspike.data.events.augmentation import EventAugmentation
from kspike.data.normalization import normalize
from kspike.data.sources import Array, Images, Source
from kspike.data.teacher import TeacherLogits

# First words of the seeds of the two streams, so that order and augmentation are independent.
ORDER, CHANGES = 0, 1
UNCHANGED = Augmentation()


@dataclasses.dataclass(frozen=True, eq=False)
class _Teaching:
    """A teacher's logits, the row of each position of the pool in them, and how much of a label they make up."""

    teacher: TeacherLogits
    rows: Array
    share: float
    temperature: float

    def moves(self, chosen: Array, epoch: int, size: tuple[int, int]) -> transforms.Moves:
        return self.teacher.moves(epoch % self.teacher.views, size).of(self.rows[chosen])

    def labels(self, one_hot: Array, chosen: Array, epoch: int) -> Array:
        said = self.teacher.shares(epoch % self.teacher.views, self.rows[chosen], self.temperature)
        return np.float32(1.0 - self.share) * one_hot + np.float32(self.share) * said


class Split(keras.utils.PyDataset):
    """Yields batches (images, labels) of one fixed split: float32 (batch, height, width, channels) and int32 (batch,).

    Of events (batch, timesteps, height, width, channels): counts, not normalised.

    A `keras.utils.PyDataset` for `fit`, `evaluate` and `predict` on every backend, and a plain iterable and sequence
    besides: `next(iter(split))`, `split[0]`, `len(split)`. `split[i]` depends on the seed, the epoch and i alone;
    reading does not change it. `fit` moves it on by one epoch after each; `set_epoch(e)` puts it anywhere, so that a
    resumed run goes on with the images it would have seen. (Keras by default also shuffles the order of whole batches,
    from Python's global generator: pass `shuffle=False` to `fit` for the exact order.)

    The last batch that is not full is left out while training, as another batch size would have jit backends compile
    again; epochs are shuffled anew, so no image is left out for long. Elsewhere it is kept.

    Made by `kspike.data.load` (or `from_directory` and the like) and by the methods of other splits.
    """

    def __init__(
        self,
        source: Source,
        pool: Images,
        positions: Array,
        *,
        name: str,
        batch_size: int,
        mean: Sequence[float] | None,
        std: Sequence[float] | None,
        seed: int = 0,
        shuffle: bool = False,
        drop_remainder: bool = False,
        augmentation: Augmentation | EventAugmentation = UNCHANGED,
        soft_labels: bool = False,
        teaching: "_Teaching | None" = None,
    ) -> None:
        # One worker: with more, Keras 3.15 leaves the first batch out and hands on stale ones after a reset, which
        # would break the order; and a batch takes less time here than it would to hand over.
        super().__init__(workers=1)
        self._source, self._pool, self._positions = source, pool, positions
        self._options: dict[str, Any] = {
            "name": name,
            "batch_size": whole("batch_size", batch_size, 1),
            "mean": None if mean is None else tuple(mean),
            "std": None if std is None else tuple(std),
            "seed": whole("seed", seed, 0),
            "shuffle": shuffle,
            "drop_remainder": drop_remainder,
            "augmentation": augmentation,
            "soft_labels": soft_labels,
            "teaching": teaching,
        }
        self.name, self.batch_size, self.seed = name, self._options["batch_size"], self._options["seed"]
        self.augmentation = augmentation
        # Counts of events have no range, no mean and no colour but zero to fill with.
        self._top: float = 0
        self._fill = self._black = np.zeros(1, np.uint8)
        if source.input_range is not None and mean is not None:
            low, self._top = source.input_range
            fill, black = np.asarray(mean) * (self._top - low) + low, np.full(len(mean), low)
            whole_numbers = pool.images.dtype == np.uint8
            self._fill = np.rint(fill).astype(np.uint8) if whole_numbers else fill.astype(np.float32)
            self._black = black.astype(self._fill.dtype)
        self._soft = soft_labels or augmentation.mixes
        self._epoch = 0
        self._ordered: tuple[int, Array] = (-1, positions)

    # What it holds.

    @property
    def num_examples(self) -> int:
        """Number of images, those included that an epoch leaves out."""
        return len(self._positions)

    @property
    def num_classes(self) -> int:
        """Number of classes of the data set."""
        return len(self._source.class_names)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes of the data set, by their numbers."""
        return tuple(self._source.class_names)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Height, width and channels of an image; of events time steps before them."""
        return tuple(int(side) for side in self._pool.images.shape[1:])

    @property
    def images(self) -> Array:
        """The raw images, all in memory, (n, height, width, channels), in the split's own order: by id, as a rule.

        uint8, or float32 where the user's own images are floats. Of events the frames, float32, (n, timesteps, height,
        width, channels).
        """
        return self._pool.images[self._positions]

    @property
    def labels(self) -> Array:
        """The classes, int32, (n,), in the order of `images`."""
        return self._pool.labels[self._positions]

    @property
    def ids(self) -> Array:
        """The names of the images, strings, (n,), in the order of `images`."""
        return self._pool.ids[self._positions]

    @property
    def hash(self) -> str:
        """SHA-256 over the data set's name and the ids: says which images these are, whatever batches they come in.

        Of one's own images, over ids, pixels and classes: the names of files do not say what is in them.
        """
        if self._source.own is not None:
            lines = "".join(f"{i}={self._source.own.contents[i]}\n" for i in sorted(self.ids.tolist()))
            return hashlib.sha256(lines.encode()).hexdigest()
        content = f"{self._source.name}:{','.join(sorted(self.ids.tolist()))}"
        return hashlib.sha256(content.encode()).hexdigest()

    @property
    def teacher(self) -> dict[str, Any] | None:
        """What is known of the teacher that makes up a part of the labels; None where there is none."""
        teaching = self._options["teaching"]
        return None if teaching is None else teaching.teacher.facts()

    @property
    def is_own(self) -> bool:
        """Whether these are a user's own images, which may change under the same names."""
        return self._source.own is not None

    # Batches.

    @property
    def epoch(self) -> int:
        """The epoch whose batches `split[i]` gives."""
        return self._epoch

    def set_epoch(self, epoch: int) -> None:
        """Goes to an epoch, to resume a run there."""
        self._epoch = whole("epoch", epoch, 0)

    def __len__(self) -> int:
        full, rest = divmod(self.num_examples, self.batch_size)
        if self._options["drop_remainder"]:
            return max(full, 1)
        return full + bool(rest)

    def __getitem__(self, index: int) -> tuple[Array, Array]:
        if not 0 <= index < len(self):
            raise IndexError(f"Batch {index} of {self.name!r}: it has {len(self)} batches, 0 to {len(self) - 1}.")
        epoch = self._epoch
        chosen = self._order(epoch)[index * self.batch_size : (index + 1) * self.batch_size]
        labels, rng = self._pool.labels[chosen], np.random.default_rng([CHANGES, self.seed, epoch, index])
        images, changed = self._changed(chosen, rng, epoch), self.augmentation not in (UNCHANGED, UNCHANGED_EVENTS)
        if self._soft:
            labels = np.eye(self.num_classes, dtype=np.float32)[labels]
        if (teaching := self._options["teaching"]) is not None:
            labels = teaching.labels(labels, chosen, epoch)
        return self.augmentation.change_normalized(images, labels, epoch, rng) if changed else (images, labels)

    def _changed(self, chosen: Array, rng: np.random.Generator, epoch: int) -> Array:
        """Images at some positions, augmented and normalised, or the frames of events, augmented: float32."""
        augmentation, pool = self.augmentation, self._pool.images
        if isinstance(augmentation, EventAugmentation) and augmentation.before_framing:
            changed = partial(augmentation.of_events, rng=rng)
            frames: Array = pool.changed(chosen, changed)
            return frames
        if (teaching := self._options["teaching"]) is not None:
            return self._moved(chosen, teaching.moves(chosen, epoch, self.input_shape[:2]))
        raw = pool[chosen]
        if isinstance(augmentation, EventAugmentation):
            if augmentation != UNCHANGED_EVENTS:
                steps = getattr(pool, "steps", None)
                raw = augmentation.change_raw(raw, self._fill, self._top, rng, steps=steps)
        elif augmentation != UNCHANGED:
            raw = augmentation.change_raw(raw, self._fill, self._top, rng, self._black)
        return self._normalized(raw)

    def _moved(self, positions: Array, moves: transforms.Moves) -> Array:
        edge = self.of_images().edge(self._fill, self._black)
        return self._normalized(transforms.move(self._pool.images[positions], moves, edge))

    def _normalized(self, raw: Array) -> Array:
        if self._source.input_range is None:
            return raw.astype(np.float32, copy=False)
        return normalize(raw, self._options["mean"], self._options["std"], self._source.input_range)

    def on_epoch_end(self) -> None:
        """Goes to the next epoch; Keras calls it after each."""
        # Keras also "ends an epoch" whenever it resets an iterator: at the start of every `fit`, and after the batch by
        # which it builds a fresh model. Counting those would make the order depend on whether a model was built, and a
        # resumed run would see other images. Nothing but the caller tells them apart.
        frames = [frame.function for frame in inspect.stack(context=0)[1:3]]
        if frames[1:] != ["reset"]:
            self._epoch += 1

    def _order(self, epoch: int) -> Array:
        if not self._options["shuffle"]:
            return self._positions
        known, order = self._ordered  # read and replaced as one: loading threads share it
        if known != epoch:
            order = np.random.default_rng([ORDER, self.seed, epoch]).permutation(self._positions)
            self._ordered = (epoch, order)
        return order

    # Other views of the same images.

    def without_augmentation(self) -> "Split":
        """Gives the same images unaugmented, in a fixed order with the classes in proportion, in full batches.

        For recalibrating normalisation statistics: its first k batches are the same images in every run and a fair
        sample. It is not shuffled, and `fit` does not move it on.
        """
        order = partition.fixed_order(self.ids, self.labels, f"{self._source.name}/subset")
        none = UNCHANGED if self._source.events is None else UNCHANGED_EVENTS
        plain: dict[str, Any] = {"augmentation": none, "soft_labels": False, "shuffle": False, "teaching": None}
        return self._view(self._positions[order], name=f"{self.name}, unaugmented", drop_remainder=True, **plain)

    def halves(self) -> tuple["Split", "Split"]:
        """Gives two disjoint halves, fixed by image id and balanced by class: one to score, the other to pick."""
        first, second = partition.halve(self.ids, self.labels, f"{self._source.name}/halves")
        return (
            self._view(self._positions[first], name=f"{self.name}, first half"),
            self._view(self._positions[second], name=f"{self.name}, second half"),
        )

    def subset(self, n: int) -> "Split":
        """Gives n images, fixed by image id, the classes in proportion; a smaller subset is part of a larger one."""
        n = whole("n", n, 1)
        if n > self.num_examples:
            raise ValueError(f"subset: expected at most {self.num_examples} images of {self.name!r}, received n={n}.")
        chosen, _ = partition.choose(self.ids, self.labels, n, f"{self._source.name}/subset")
        return self._view(self._positions[chosen], name=f"{self.name}, {n} images")

    def rebatch(self, batch_size: int, drop_remainder: bool | None = None) -> "Split":
        """Gives the same images in batches of another size, with or without the last one that is not full."""
        drop = self._options["drop_remainder"] if drop_remainder is None else drop_remainder
        return self._view(self._positions, batch_size=batch_size, drop_remainder=drop)

    def one_hot(self) -> "Split":
        """Gives the same images with one-hot labels, float32 (batch, classes), as mixup's are."""
        return self._view(self._positions, soft_labels=True)

    def taught(self, teacher: TeacherLogits, share: float, temperature: float = 1.0) -> "Split":
        """Gives the same images with labels that a teacher makes up in part, in the views that it has seen.

        In epoch e every image is mirrored and moved as in view e mod views, and its label, float32 (classes,), is
        (1 - share) one-hot + share softmax(logits / temperature). What else the augmentation does comes after.

        Args:
            teacher: logits of these very images.
            share: of the label that is the teacher's, above 0 and at most 1.
            temperature: above 1 it softens what the teacher says.

        Raises:
            ValueError: logits of other images or classes, another mirror and shift than this split's augmentation, or
                an augmentation that distorts, which the teacher has not seen; recordings.
        """
        augmentation = self.of_images()
        if teacher.images != self.hash:
            raise ValueError(
                f"The teacher's logits are of other images (hash {teacher.images[:12]}) than {self.name!r} of "
                f"{self._source.name!r} (hash {self.hash[:12]}): make them of these, by kspike.training.teacher_logits."
            )
        if teacher.class_names != self.class_names:
            raise ValueError(
                f"The teacher knows the classes {', '.join(teacher.class_names)}; {self._source.name!r} has "
                f"{', '.join(self.class_names)}, in this order."
            )
        mine, its = ((each.flip, each.shift, each.fill) for each in (augmentation, teacher))
        if mine != its or augmentation.distort:
            raise ValueError(
                f"The teacher has seen views with flip={its[0]:g}, shift={its[1]:g}, fill={its[2]!r} and no distortion;"
                f" the augmentation says {augmentation}: let it agree, or make the logits by it."
            )
        rows = np.full(len(self._pool.labels), -1)
        rows[self._positions] = np.arange(len(self._positions))
        return self._view(self._positions, teaching=_Teaching(teacher, rows, share, temperature), soft_labels=True)

    def of_images(self) -> Augmentation:
        """The augmentation, of images, of which alone a teacher has views.

        Raises:
            ValueError: recordings.
        """
        if isinstance(self.augmentation, EventAugmentation):
            raise ValueError("A teacher's views are of images; these are recordings of an event camera.")
        return self.augmentation

    def moved(self, rows: Array, moves: transforms.Moves) -> Array:
        """Gives some images, by their rows in `images`, mirrored and moved so and normalised: float32, (rows, ...)."""
        return self._moved(self._positions[rows], moves)

    def _view(self, positions: Array, **changes: Any) -> "Split":
        view = Split(self._source, self._pool, positions, **{**self._options, **changes})
        view.set_epoch(self._epoch)
        return view

    @property
    def _kind(self) -> str:
        return "images" if self._source.events is None else "recordings"

    def __repr__(self) -> str:
        return (
            f"<Split {self._source.name!r} {self.name}: {self.num_examples:,} {self._kind} {self.input_shape}, "
            f"{len(self)} batches of {self.batch_size}>"
        )
