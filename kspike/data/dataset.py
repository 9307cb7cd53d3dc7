"""Holds a data set: its facts, and three disjoint splits, each read when first used."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from kspike.data import partition, published
from kspike.data.arguments import channel_values, whole
from kspike.data.augmentation import Augmentation
from kspike.data.events.augmentation import EventAugmentation
from kspike.data.normalization import channel_statistics, normalize
from kspike.data.resizing import area_average
from kspike.data.sources import Array, Images, Source
from kspike.data.split import Split


class Dataset:
    """Three disjoint, fixed splits of a data set, `train`, `validation` and `test`, and what is known about it.

    `train` and `validation` are cut from the official training split by image id; `test` is the official test split,
    or, where there is none, cut out as well. A split is read when its attribute is first used: the test images are not
    even decoded before. Made by `kspike.data.load`, and of images of one's own by `from_arrays`, `from_directory`,
    `from_dataset` and `open_data`.

    Attributes:
        train, validation, test: `Split`s, for `fit`, `evaluate`, and iteration.
        name, version, input_shape, num_classes, class_names, input_range: facts of the data.
        mean, std: one number a channel, of pixels scaled to 0..1, measured on `train` alone unless given; None of
            events, whose counts are never normalised.
        events: sensor, framing, polarities and split of event recordings (kspike.events); None of images.
        split_hash: SHA-256 of the cut (kspike.data.partition.digest).
        fit, skipped: of images of one's own: how images of other sizes were made to fit ("crop" or "resize"; None of a
            published set), and the files that were left out on request.
        source, license, citation: where it comes from and what must be said.
        augmentation: the changes made to training images.
    """

    def __init__(
        self,
        source: Source,
        *,
        batch_size: int,
        seed: int,
        augmentation: Augmentation | EventAugmentation,
        image_size: tuple[int, int] | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        test_split: str | None = None,
    ) -> None:
        self._source = source
        self._batching: dict[str, Any] = {
            "batch_size": whole("batch_size", batch_size, 1),
            "seed": whole("seed", seed, 0),
        }
        self._test_split = _test_split(source, test_split)
        self.augmentation = augmentation
        self.name, self.version, self.class_names = source.name, source.version, source.class_names
        self.num_classes, self.input_range = len(source.class_names), source.input_range
        self.source, self.license, self.citation = source.source, source.license, source.citation
        self.fit: str | None = None if source.own is None else source.own.fit
        self.skipped: tuple[str, ...] = () if source.own is None else source.own.skipped
        self.events = None if source.events is None else dict(source.events)
        self.input_shape = _shape(source, image_size)
        channels = self.input_shape[-1]
        self._given = channel_values("mean", mean, channels), channel_values("std", std, channels)

    @cached_property
    def train(self) -> Split:
        """The images that train, shuffled anew each epoch, augmented if asked for; the last partial batch left out."""
        train: dict[str, Any] = {"shuffle": True, "drop_remainder": True, "augmentation": self.augmentation}
        return self._split("train", self._pool, self._partition["train"], **train)

    @cached_property
    def validation(self) -> Split:
        """The images to choose by: taken from the official training split by id, unaugmented, in a fixed order."""
        if "validation" in self._given_parts:
            return self._whole("validation")
        return self._split("validation", self._pool, self._partition["validation"])

    @cached_property
    def test(self) -> Split:
        """The images that nothing is chosen by, unaugmented, in a fixed order."""
        if self._test_split is None:
            return self._split("test", self._pool, self._partition["test"])
        return self._whole("test", self._test_split)

    @property
    def is_own(self) -> bool:
        """Whether these are a user's own images, which nobody else can open by name."""
        return self._source.own is not None

    @property
    def mean(self) -> tuple[float, ...] | None:
        """Mean of each channel, of pixels scaled to 0..1; None of events."""
        return self._statistics[0]

    @property
    def std(self) -> tuple[float, ...] | None:
        """Standard deviation of each channel, of pixels scaled to 0..1; None of events."""
        return self._statistics[1]

    @cached_property
    def split_hash(self) -> str:
        """SHA-256 of the ids cut out of the official training split; of one's own images, of validation and test."""
        if self._source.own is not None:
            return partition.digest({"validation": self.validation.ids, "test": self.test.ids})
        return partition.digest({k: self._pool.ids[v] for k, v in self._partition.items() if k != "train"})

    @property
    def stated_events(self) -> dict[str, Any] | None:
        """What a card says of events: `events`, and the largest number in the frames of the training split."""
        if self.events is None:
            return None
        frames: Any = self._pool.images
        return {**self.events, "largest": frames.largest}

    def normalize(self, images: Array) -> Array:
        """Turns raw images (..., height, width, channels) into what splits yield, float32; counts stay as they are."""
        if self.mean is None or self.std is None or self.input_range is None:
            return np.asarray(images, np.float32)
        return normalize(images, self.mean, self.std, self.input_range)

    def to_dict(self) -> dict[str, Any]:
        """Gives the facts as plain JSON values, for a card; the test split is not read for it."""
        facts = ("name", "version", "num_classes", "source", "license", "citation", "split_hash")
        sequences = ("input_shape", "class_names", "input_range", "mean", "std")
        sizes = {"train": self.train.num_examples, "validation": self.validation.num_examples}
        return {
            **{k: getattr(self, k) for k in facts},
            **{k: None if getattr(self, k) is None else list(getattr(self, k)) for k in sequences},
            **({} if self.events is None else {"events": self.stated_events}),
            "examples": sizes,
            "augmentation": self.augmentation.to_dict(),
        }

    @cached_property
    def _pool(self) -> Images:
        return self._read("train")

    @cached_property
    def _partition(self) -> dict[str, Array]:
        """Positions in the official training split: validation, test where that is cut too, and train, the rest."""
        images, source = self._pool, self._source
        if source.own is not None:
            return source.own.cut(images)
        if source.cut is not None:
            cut = source.cut(images)
            taken = np.concatenate(list(cut.values()))
            return {"train": np.setdiff1d(np.arange(len(images.labels)), taken), **cut}
        rest = np.arange(len(images.labels))
        chosen: dict[str, Array] = {}
        sizes = {"validation": source.validation_size or len(rest) // 10}
        if self._test_split is None:
            sizes["test"] = source.test_size or len(rest) // 5
        for split in ("test", "validation"):
            if split in sizes:
                purpose = f"{source.name}/{split}"
                positions, left = partition.choose(images.ids[rest], images.labels[rest], sizes[split], purpose)
                chosen[split], rest = rest[positions], rest[left]
        published.check(source.name, partition.digest({k: images.ids[v] for k, v in chosen.items()}))
        return {"train": rest, **chosen}

    @cached_property
    def _statistics(self) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
        if self.input_range is None:
            return None, None
        mean, std = self._given
        if mean is None or std is None:
            measured = channel_statistics(self._pool.images, self._partition["train"], self.input_range)
            mean, std = (mean or measured[0]), (std or measured[1])
        return mean, std

    @property
    def _given_parts(self) -> tuple[str, ...]:
        return self._source.own.given if self._source.own is not None else ()

    def _whole(self, name: str, split: str | None = None) -> Split:
        """A part that is an official split, or the user's own, as it is."""
        pool = self._read(split or name)
        return self._split(name, pool, np.argsort(pool.ids, kind="stable"))

    def _read(self, split: str) -> Images:
        pool = self._source.read(split)
        if self.events is not None or tuple(pool.images.shape[1:3]) == self.input_shape[:2]:
            return pool
        return pool._replace(images=area_average(pool.images, (self.input_shape[0], self.input_shape[1])))

    def _split(self, name: str, pool: Images, positions: Array, **options: Any) -> Split:
        facts: dict[str, Any] = {"name": name, "mean": self.mean, "std": self.std}
        return Split(self._source, pool, positions, **facts, **self._batching, **options)

    def __repr__(self) -> str:
        kind = "images" if self.events is None else "frames of events"
        return f"<Dataset {self.name!r}: {kind} {self.input_shape}, {self.num_classes} classes>"


def _test_split(source: Source, wanted: str | None) -> str | None:
    """Name of the official test split; None where the test images are cut out of the training split."""
    if source.own is not None:
        return "test" if "test" in source.own.given else None
    if "train" not in source.splits or (wanted is not None and wanted not in source.splits) or wanted == "train":
        raise ValueError(
            f"Data set {source.name!r} has the splits {', '.join(source.splits)}; expected one named 'train', and "
            f"test_split= one of the others, received test_split={wanted!r}."
        )
    return wanted or next((p for p in ("test", "validation") if p in source.splits), None)


def _shape(source: Source, image_size: tuple[int, int] | None) -> tuple[int, ...]:
    *frames, height, width, channels = source.image_shape
    if frames:  # made to size where they were framed
        return tuple(int(side or 0) for side in source.image_shape)
    if height is None or width is None or channels is None:
        raise ValueError(f"Images of {source.name!r} differ in size: pass image_size=.")
    if image_size is None:
        return height, width, channels
    if image_size[0] > height or image_size[1] > width:
        raise ValueError(
            f"image_size={image_size} is larger than the images of {source.name!r}, {(height, width)}: they are only "
            "averaged down, since larger ones would hold nothing new."
        )
    return *image_size, channels
