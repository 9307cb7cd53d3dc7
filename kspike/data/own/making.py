"""Makes a data set out of a user's parts, checked."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kspike.data.augmentation import Augmentation
from kspike.data.dataset import Dataset
from kspike.data.named_augmentations import as_augmentation
from kspike.data.own import cut, labels
from kspike.data.own.cut import Part
from kspike.data.sources import Images, Own, Source


def dataset(
    parts: Mapping[str, Part],
    class_names: tuple[str, ...],
    sizes: Mapping[str, Any],
    *,
    name: str,
    input_range: tuple[float, float],
    fit: str = "crop",
    skipped: tuple[str, ...] = (),
    batch_size: int = 64,
    seed: int = 0,
    augment: str | Augmentation | Mapping[str, Any] | None = None,
    mirrored: bool = True,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    duplicates: str = "refuse",
    source: str = "",
    license: str = "",
    citation: str = "",
) -> Dataset:
    """Parts, "train" among them -> a data set; of the others, those that are not there are cut out of "train".

    Args:
        parts: images, classes, ids and digests, by part.
        class_names: in order.
        sizes: "validation" and "test" where they are to be cut: a share or a number.
        name, input_range, fit, skipped: facts of the data set.
        others: as `from_arrays`.

    Raises:
        ValueError: what does not fit together.
    """
    train = parts["train"]
    class_names = labels.check_names(class_names)
    for part_name, part in parts.items():
        if part_name == "train":
            labels.check_all_there(part.labels, class_names, len(class_names), "labels")
        if part.images.shape[1:] != train.images.shape[1:]:
            raise ValueError(
                f"{part_name}: images of shape {tuple(part.images.shape[1:])}, those to train have "
                f"{tuple(train.images.shape[1:])}: pass image_size=."
            )
    _check_ids(parts)
    cut.check_copies(parts, class_names, duplicates)
    contents = {
        i: f"{d.decode()}:{class_names[label]}"
        for part in parts.values()
        for i, d, label in zip(part.ids.tolist(), part.digests.tolist(), part.labels.tolist(), strict=True)
    }
    images = {part_name: Images(part.images, part.labels, part.ids) for part_name, part in parts.items()}
    positions = cut.cut(images["train"], train.digests, sizes, class_names)  # now, so that what is wrong is said now
    content = "".join(f"{i}={contents[i]}\n" for i in sorted(contents))
    height, width, channels = (int(n) for n in train.images.shape[1:])
    described = Source(
        name=name,
        version=f"own-{hashlib.sha256(content.encode()).hexdigest()[:16]}",
        image_shape=(height, width, channels),
        class_names=class_names,
        input_range=input_range,
        splits=tuple(parts),
        read=images.__getitem__,
        source=source,
        license=license,
        citation=citation,
        mirrored=bool(mirrored),
        own=Own(tuple(p for p in parts if p != "train"), lambda _: positions, contents, fit, skipped),
    )
    augmentation = as_augmentation(augment, described.mirrored)
    return Dataset(described, batch_size=batch_size, seed=seed, augmentation=augmentation, mean=mean, std=std)


def _check_ids(parts: Mapping[str, Part]) -> None:
    ids = np.concatenate([part.ids for part in parts.values()])
    if len(set(ids.tolist())) != len(ids):
        values, counts = np.unique(ids, return_counts=True)
        raise ValueError(f"ids: expected one an image; {labels.listed(values[counts > 1])} stand there twice.")
    if any(not i or "\n" in i for i in ids.tolist()):
        raise ValueError("ids: expected a name of one line an image; one is empty or holds a line break.")
