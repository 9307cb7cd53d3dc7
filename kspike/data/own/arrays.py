"""Arrays of images and labels as a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kspike._messages import counted, shown
from kspike.data import arguments
from kspike.data.augmentation import Augmentation
from kspike.data.dataset import Dataset
from kspike.data.own import cut, making, pictures, pixels
from kspike.data.own import labels as naming
from kspike.data.own.cut import Part
from kspike.data.own.held import digest
from kspike.data.sources import Array


def from_arrays(
    images: Any,
    labels: Any,
    *,
    name: str = "arrays",
    class_names: Sequence[str] | None = None,
    validation: Any = None,
    test: Any = None,
    input_range: tuple[float, float] | None = None,
    image_size: int | tuple[int, int] | None = None,
    fit: str = "crop",
    ids: Sequence[str] | None = None,
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
    """Turns arrays of images into a data set of three fixed, disjoint parts, as `kspike.data.load` gives.

    Parts that are not given are cut out by the ids of the images, whatever the seed, the classes in proportion; images
    with the same pixels go into one part. Mean and standard deviation are measured on the training images alone.

    Args:
        images: NumPy array or tensor of torch, jax or TensorFlow, (n, height, width, channels) or (n, height, width);
            or a list of images, of several sizes where `image_size` is given. uint8, or numbers of `input_range`.
        labels: a class an image: whole numbers from 0, words, or one-hot rows.
        name: of the data set, for its card.
        class_names: of classes in order; of words, which comes first. Sorted words, or numbers, by default.
        validation, test: (images, labels) of its own; or a share (0.1 and 0.2 by default) or a number to cut out.
        input_range: (lowest, highest) value of a pixel: (0, 255) of whole numbers in there; state it of others.
        image_size: one number or (height, width), which images are made to fit: averaged down, scaled up bilinearly.
        fit: "crop" to the aspect of `image_size` around the centre, or "resize", which stretches.
        ids: a name an image, by which the parts are cut; its place in `images` by default, so keep their order.
        batch_size: images a batch.
        seed: decides the order of training images and their augmentation, never the parts.
        augment: of the training images: a name (`augmentations()`), an `Augmentation`, or its dict.
        mirrored: whether a mirrored image still shows its class: False for letters and signs.
        mean, std: one number a channel, of pixels scaled to 0..1, instead of the measured ones.
        duplicates: "refuse" images that are in two given parts, or "keep" them.
        source, license, citation: where the images come from and what must be said.

    Raises:
        ValueError: images, labels or parts that do not fit; says what was expected and what to do.

    Example:
        >>> import numpy as np, kspike
        >>> images = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), dtype="uint8")
        >>> data = kspike.data.from_arrays(images, ["ant", "bee", "cow"] * 20)
        >>> data.class_names, data.train.num_examples, data.validation.num_examples, data.test.num_examples
        (('ant', 'bee', 'cow'), 42, 6, 12)
    """
    named = None if class_names is None else naming.check_names(class_names)
    span = pixels.check_range(input_range)
    reading: dict[str, Any] = {
        "input_range": span,
        "size": arguments.image_size(image_size),
        "fit": pictures.check_fit(fit),
    }
    parts: dict[str, Part] = {}
    sizes: dict[str, float | int] = {}
    parts["train"], names = _part("train", images, labels, ids, named, reading)
    for part, value in (("validation", validation), ("test", test)):
        if isinstance(value, (tuple, list)):
            if len(value) != 2:
                raise ValueError(f"{part}: expected (images, labels), received {len(value)} things.")
            parts[part], _ = _part(part, value[0], value[1], None, names, reading)
        else:
            sizes[part] = cut.check_share(part, value)
    return making.dataset(
        parts, names, sizes, name=arguments.text("name", name),
        input_range=span or ((0, 1) if _is_boolean(images) else (0, 255)),
        fit=fit, batch_size=batch_size, seed=seed, augment=augment, mirrored=mirrored, mean=mean, std=std,
        duplicates=duplicates, source=source, license=license, citation=citation,
    )  # fmt: skip


def _part(
    name: str, images: Any, classes: Any, ids: Any, named: tuple[str, ...] | None, reading: Mapping[str, Any]
) -> tuple[Part, tuple[str, ...]]:
    where = "" if name == "train" else f"{name} "
    found, named = naming.read(pixels.to_numpy(classes), named, f"{where}labels")
    array = pixels.read(images, reading["input_range"], reading["size"], reading["fit"], f"{where}images")
    if len(array) != len(found):
        raise ValueError(
            f"{where}images, labels: {counted(len(array), 'image')} and {counted(len(found), 'label')}; give as many "
            "of each."
        )
    return Part(array, found, _ids(name, ids, len(array)), digests(array)), named


def digests(images: Array) -> Array:
    """The digest of each image."""
    return np.array([digest(image) for image in images], "S32")


def _ids(part: str, ids: Any, n: int) -> Array:
    if ids is None:
        before = "" if part == "train" else f"{part}/"
        return np.array([f"{before}{i:07d}" for i in range(n)])
    found = [str(i) for i in ids]
    if len(found) != n:
        raise ValueError(f"ids: expected one an image, {n:,}; received {len(found):,}: {shown(ids)}.")
    return np.array(found)


def _is_boolean(images: Any) -> bool:
    return str(getattr(images, "dtype", "")).endswith("bool")
