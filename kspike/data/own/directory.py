"""A folder of pictures as a data set."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kspike._files import expanded
from kspike.data import arguments
from kspike.data.augmentation import Augmentation
from kspike.data.dataset import Dataset
from kspike.data.own import cut, folder, held, labels, making, pictures
from kspike.data.own.cut import Part


def from_directory(
    path: str | os.PathLike[str],
    *,
    image_size: int | tuple[int, int] | None = None,
    fit: str = "crop",
    channels: int | None = None,
    class_names: Sequence[str] | None = None,
    validation: float | int | None = None,
    test: float | int | None = None,
    unreadable: str = "refuse",
    memory: int = held.MEMORY,
    name: str | None = None,
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
    """Turns a folder of pictures into a data set of three fixed, disjoint parts, as `kspike.data.load` gives.

        photos/<class>/<file>                           train, validation and test are cut out by the files' names
        photos/train/<class>/<file>, photos/test/...    parts as they are; what is missing is cut out of train

    PNG, JPEG, WebP and BMP, told by their content. Every file is read once, here, so that what is damaged is said
    before any work; the first `memory` bytes of decoded images stay, the others are decoded again whenever needed.

    Args:
        path: the folder.
        image_size: one number or (height, width), needed where pictures differ in size, which all are made to fit:
            averaged down, scaled up bilinearly.
        fit: "crop" to the aspect of `image_size` around the centre, or "resize", which stretches.
        channels: 1 for grey, 3 for colour; None is 3 if any picture is in colour.
        class_names: the folders' names in the order of the classes; sorted by default, whole numbers as numbers.
        validation, test: share (0.1 and 0.2 by default) or number of pictures to cut out, where the folder has no such
            part.
        unreadable: "refuse" the folder where a file is damaged, animated or no picture, or "skip" such files, with a
            warning; `data.skipped` lists them.
        memory: bytes of decoded images that are held.
        name: of the data set, for its card; the folder's name by default.
        batch_size, seed, augment, mirrored, mean, std, duplicates, source, license, citation: as `from_arrays`.

    Raises:
        ValueError: no such layout, one class, an empty one, sizes that differ, files that cannot be read, pictures in
            two parts; names the folder or file and says what to do.

    Example:
        >>> import kspike
        >>> data = kspike.data.from_directory("photos", image_size=(32, 32))    # doctest: +SKIP
    """
    root = expanded(path)
    size, fit = arguments.image_size(image_size), pictures.check_fit(fit)
    if unreadable not in ("refuse", "skip"):
        raise ValueError(f"unreadable: expected 'refuse' or 'skip', received {unreadable!r}.")
    if channels not in (None, 1, 3):
        raise ValueError(f"channels: expected 1 for grey, 3 for colour, or None, received {channels!r}.")
    arguments.whole("memory", memory, 0)
    named = None if class_names is None else labels.check_names(class_names)
    files, names = folder.read(root, named)
    sizes = _sizes({"validation": validation, "test": test}, files, root)
    name = arguments.text("name", root.resolve().name if name is None else name)
    everything = [file for listed in files.values() for file in listed]
    store = held.Store(
        lambda i: pictures.with_channels(pictures.decode(everything[i].path, size, fit), channels),
        [str(file.path) for file in everything],
        memory,
    )
    bad = store.read_all(name)
    skipped = _refused(bad, everything, unreadable)
    parts = _parts(files, store, names, channels)
    return making.dataset(
        parts, names, sizes, name=name, input_range=(0, 255), fit=fit, skipped=skipped, batch_size=batch_size,
        seed=seed, augment=augment, mirrored=mirrored, mean=mean, std=std, duplicates=duplicates, source=source,
        license=license, citation=citation,
    )  # fmt: skip


def _sizes(wanted: Mapping[str, Any], files: Mapping[str, Any], root: Path) -> dict[str, float | int]:
    for part, value in wanted.items():
        if part in files and value is not None:
            raise ValueError(f"{part}={value!r}, but {root} has a folder of that part, which is used as it is.")
    return {part: cut.check_share(part, value) for part, value in wanted.items() if part not in files}


def _refused(bad: Mapping[int, str], everything: Sequence[folder.Listed], unreadable: str) -> tuple[str, ...]:
    said = tuple(f"{everything[i].path} {reason}" for i, reason in bad.items())
    if not said:
        return ()
    told = f"{len(said):,} of {len(everything):,} files cannot be read as pictures: {labels.listed(said)}."
    if unreadable == "refuse":
        raise ValueError(f"{told} Mend or remove them, or pass unreadable='skip'.")
    warnings.warn(f"{told} They were left out.", stacklevel=3)
    return said


def _parts(
    files: Mapping[str, Sequence[folder.Listed]], store: held.Store, names: tuple[str, ...], channels: int | None
) -> dict[str, Part]:
    """The pictures that could be read, by part, as arrays that are decoded when they are indexed."""
    sizes: dict[tuple[int, ...], int] = {}
    for number, shape in store.shapes.items():
        sizes.setdefault(shape[:2], number)
    if len(sizes) > 1:
        said = labels.listed(f"{store.names[i]} {height}x{width}" for (height, width), i in sizes.items())
        raise ValueError(
            f"The pictures differ in size, in height x width: {said}. Pass image_size=, for instance (64, 64); each is "
            "then made to fit (fit='crop' or 'resize')."
        )
    height, width = next(iter(sizes), (0, 0))
    shape = (height, width, channels or max((s[2] for s in store.shapes.values()), default=1))
    parts: dict[str, Part] = {}
    first = 0
    for part, listed in files.items():
        numbers = [n for n in range(first, first + len(listed)) if n in store.shapes]
        kept = [listed[n - first] for n in numbers]
        first += len(listed)
        gone = sorted({file.label for file in listed} - {file.label for file in kept})
        if gone or not kept:
            raise ValueError(f"No picture in {part} of the class {labels.listed(gone)} can be read.")
        classes = labels.of_words([file.label for file in kept], names, part)
        images = held.Held(store, np.array(numbers), shape)
        ids = np.array([file.id for file in kept])
        parts[part] = Part(images, classes, ids, np.array([store.digests[n] for n in numbers], "S32"))
    return parts
