"""Data sets of other libraries as one of ours: tf.data, torch, Keras, Hugging Face."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from kspike._batches import bounded, check_end
from kspike._messages import shown
from kspike.data import arguments
from kspike.data.augmentation import Augmentation
from kspike.data.dataset import Dataset
from kspike.data.own import cut, held, labels, making, pictures, pixels
from kspike.data.own.arrays import digests
from kspike.data.own.cut import Part
from kspike.data.sources import Array

#: Names that fields have in data sets of dictionaries.
IMAGES, LABELS = ("image", "images", "img", "x", "pixel_values"), ("label", "labels", "y", "fine_label", "target")
_END = "leave out .repeat(), or whatever goes round"
#: Images that are read twice, to notice random changes.
TWICE = 4


def from_dataset(
    data: Any,
    *,
    validation: Any = None,
    test: Any = None,
    name: str = "dataset",
    class_names: Sequence[str] | None = None,
    image_key: str | None = None,
    label_key: str | None = None,
    channels_first: bool = False,
    input_range: tuple[float, float] | None = None,
    image_size: int | tuple[int, int] | None = None,
    fit: str = "crop",
    memory: int = held.MEMORY,
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
    """Turns a data set of another library into one of three fixed, disjoint parts, as `kspike.data.load` gives.

    It is read through once, here. A data set of single images that can be read by number (torch's Dataset, one of
    Hugging Face's) keeps `memory` bytes of them and reads the others again when they are needed. One that comes as a
    stream or in batches (tf.data, DataLoader, PyDataset) has no numbers: all of it must fit into `memory`, and its
    images are told apart by their pixels, so that the parts are the same in whatever order they come. Give images as
    they are stored, without random changes: `augment` makes those.

    Args:
        data: (image, label) pairs, or dictionaries, single or in batches; or a dictionary of parts, "train" among them.
        validation, test: data sets likewise; or a share (0.1 and 0.2 by default) or a number to cut out.
        name: of the data set, for its card.
        class_names: of classes in order; read off Hugging Face's features where they have them.
        image_key, label_key: fields of dictionaries; found by their usual names.
        channels_first: whether images are (channels, height, width), as torchvision's tensors are.
        input_range, image_size, fit: as `from_arrays`.
        memory: bytes of images that are held.
        batch_size, seed, augment, mirrored, mean, std, duplicates, source, license, citation: as `from_arrays`.

    Raises:
        ValueError: what holds no labelled images, has no end, is larger than `memory`, or changes as it is read again.
    """
    if isinstance(data, Mapping):
        data, validation, test = _by_part(data, validation, test)
    reader = _Reader(
        image_key, label_key, bool(channels_first), pixels.check_range(input_range),
        arguments.image_size(image_size), pictures.check_fit(fit), arguments.whole("memory", memory, 0),
    )  # fmt: skip
    named = class_names if class_names is not None else _named(data, label_key)
    named = None if named is None else labels.check_names(named)
    given: dict[str, Any] = {}
    sizes: dict[str, float | int] = {}
    for part, value in (("validation", validation), ("test", test)):
        if value is None or isinstance(value, (int, float, np.number)):
            sizes[part] = cut.check_share(part, value)
        else:
            given[part] = value
    first, names = reader.part("train", data, named)
    parts = {"train": first} | {part: reader.part(part, value, names)[0] for part, value in given.items()}
    return making.dataset(
        parts, names, sizes, name=arguments.text("name", name), input_range=pixels.range_of(reader.span), fit=fit,
        batch_size=batch_size, seed=seed, augment=augment, mirrored=mirrored, mean=mean, std=std,
        duplicates=duplicates, source=source, license=license, citation=citation,
    )  # fmt: skip


class _Reader:
    """Reads the parts of a data set, all in one way."""

    def __init__(
        self, image_key: Any, label_key: Any, channels_first: bool, span: Any, size: Any, fit: str, memory: int
    ):
        self.image_key, self.label_key, self.channels_first = image_key, label_key, channels_first
        self.span, self.size, self.fit, self.memory = span, size, fit, memory

    def part(self, name: str, data: Any, named: tuple[str, ...] | None) -> tuple[Part, tuple[str, ...]]:
        before = "" if name == "train" else f"{name}/"
        if _by_number(data):
            images: Any
            classes: Any
            images, classes, keys = self._by_number(name, data)
            ids = np.array([f"{before}{i:07d}" for i in range(len(keys))])
        else:
            images, classes, keys = self._stream(name, data)
            ids = np.array([f"{before}{i}" for i in _numbered(keys)])
        found, named = labels.read(classes, named, f"{name} labels")
        return Part(images, found, ids, keys), named

    def _by_number(self, name: str, data: Any) -> tuple[Any, list[Any], Array]:
        classes: dict[int, Any] = {}

        def decode(i: int) -> Array:
            try:
                image, classes[i] = self._pair(data[i])
                return self._single(image, f"{name} image {i}")
            except ValueError:
                raise
            except Exception as error:  # the data set is somebody's code
                raise ValueError(f"cannot be read: {type(error).__name__}: {error}") from error

        store = held.Store(decode, [f"{name} image {i}" for i in range(len(data))], self.memory, threads=1)
        bad = store.read_all(name)
        if bad:
            i, reason = next(iter(bad.items()))
            raise ValueError(f"{len(bad):,} of {len(data):,} cannot be read; {store.names[i]}: {reason}.")
        for i in range(min(TWICE, len(data))):
            if held.digest(decode(i)) != store.digests[i]:
                raise ValueError(
                    f"{name} image {i} is another one when it is read again: take random changes out of the data set; "
                    "augment= makes them, of training images alone."
                )
        shapes = sorted(set(store.shapes.values()))
        if len(shapes) > 1:
            raise ValueError(
                f"{name}: images differ in shape, {shapes[0]} and {shapes[-1]} among them: pass image_size=."
            )
        height, width, channels = shapes[0]
        images = held.Held(store, np.arange(len(data)), (height, width, channels), store.image(0).dtype)
        keys = np.array([store.digests[i] for i in range(len(data))], "S32")
        return images, [classes[i] for i in range(len(data))], keys

    def _stream(self, name: str, data: Any) -> tuple[Array, Array, Array]:
        check_end(data, f"{name}: the data set", _END)
        images: list[Array] = []
        classes: list[Any] = []
        held_bytes = 0
        for item in bounded(_items(name, data, self._pair), data, f"{name}: the data set", _END):
            image, label = self._pair(item)
            if isinstance(image, Mapping) or isinstance(label, Mapping):
                raise ValueError(f"{name}: expected one image and one label each, received dictionaries inside a pair.")
            image = pixels.to_numpy(image)
            single = np.ndim(image) - (self.channels_first or np.ndim(image) == 3) < 3 and np.ndim(label) == 0
            some = self._single(image, f"{name} images")[None] if single else self._batch(image, f"{name} images")
            images.append(some)
            label = np.asarray(pixels.to_numpy(label))
            if classes and not single and label.ndim != np.ndim(classes[0]) + 1:
                raise ValueError(f"{name}: labels are numbers in one batch and rows in another: give one kind.")
            classes.extend(label[None] if single else label)
            held_bytes += some.nbytes
            if held_bytes > self.memory:
                raise ValueError(
                    f"{name}: more than memory={self.memory:,} bytes of images, and a stream cannot be read by number: "
                    "pass a larger memory=, a smaller image_size=, or keep the images as files (from_directory)."
                )
        if not images:
            raise ValueError(f"{name}: expected images, received a {type(data).__name__} that gives none.")
        shapes = sorted({some.shape[1:] for some in images})
        if len(shapes) > 1:
            raise ValueError(
                f"{name}: images differ in shape, {shapes[0]} and {shapes[-1]} among them: pass image_size=."
            )
        found = np.concatenate(images)
        return found, np.asarray(classes), digests(found)

    def _pair(self, item: Any) -> tuple[Any, Any]:
        if isinstance(item, Mapping):
            return _field(item, self.image_key, IMAGES, "image_key"), _field(item, self.label_key, LABELS, "label_key")
        if isinstance(item, (tuple, list)) and len(item) == 2:
            return item[0], item[1]
        if isinstance(item, (tuple, list)) and len(item) > 2:
            raise ValueError(
                f"Expected (image, label) pairs, received {len(item)} things: weights of images, and what else stands "
                "behind the label, are not read; give dictionaries, or leave them out."
            )
        raise ValueError(f"Expected (image, label) pairs or dictionaries of them, received {shown(item)}.")

    def _single(self, image: Any, what: str) -> Array:
        if hasattr(image, "getexif") and hasattr(image, "convert"):  # Pillow's
            return pictures.from_pillow(image, self.size, self.fit)
        image = np.asarray(pixels.to_numpy(image))
        return self._batch(image[None], what)[0]

    def _batch(self, images: Any, what: str) -> Array:
        images = np.asarray(pixels.to_numpy(images))
        if self.channels_first and images.ndim == 4:
            images = np.moveaxis(images, 1, -1)
        return pixels.read(images, self.span, self.size, self.fit, what)


def _by_number(data: Any) -> bool:
    """Whether single images can be read by their number, again and again."""
    if isinstance(data, (str, bytes, os.PathLike)) or not (hasattr(data, "__getitem__") and hasattr(data, "__len__")):
        return False
    if not len(data):
        raise ValueError(f"Expected images, received a {type(data).__name__} of none.")
    import keras

    if isinstance(data, keras.utils.PyDataset):
        return False
    try:
        first = data[0]
        label = next((first[k] for k in LABELS if k in first), 0) if isinstance(first, Mapping) else first[1]
    except Exception:  # somebody's code, or no pairs: said of the image, where it is read
        return True
    return isinstance(label, (str, bytes)) or np.ndim(pixels.to_numpy(label)) == 0


def _items(name: str, data: Any, pair: Callable[[Any], tuple[Any, Any]]) -> Iterator[Any]:
    import keras

    if isinstance(data, keras.utils.PyDataset):
        count = data.num_batches
        first, again = (np.asarray(pixels.to_numpy(pair(data[0])[0])) for _ in range(2)) if count else (0, 0)
        if not np.array_equal(first, again):
            raise ValueError(
                f"{name}: its first batch is another one when it is read again: take shuffling and random changes out; "
                "augment= makes them."
            )
        yield from (data[i] for i in range(count))
    elif hasattr(data, "__iter__") and not isinstance(data, (str, bytes)):
        yield from data
    elif hasattr(data, "__getitem__") and hasattr(data, "__len__") and not isinstance(data, (str, bytes)):
        yield from (data[i] for i in range(len(data)))
    else:
        raise ValueError(
            f"{name}: expected a tf.data.Dataset, a torch Dataset or DataLoader, a keras.utils.PyDataset or a Hugging "
            f"Face data set; received {shown(data)}. Arrays are for from_arrays, a folder for from_directory."
        )


def _field(item: Mapping[str, Any], key: str | None, usual: Sequence[str], argument: str) -> Any:
    keys = [key] if key is not None else [name for name in usual if name in item]
    if len(keys) != 1 or keys[0] not in item:
        raise ValueError(
            f"Expected {argument}= to name one of the fields {', '.join(map(str, item))}; received {key!r}."
        )
    return item[keys[0]]


def _named(data: Any, label_key: str | None) -> Any:
    """Class names off a data set's own description: Hugging Face's features, torchvision's `classes`."""
    features = getattr(data, "features", None)
    if isinstance(features, Mapping):
        keys = [label_key] if label_key is not None else [name for name in LABELS if name in features]
        return getattr(features.get(keys[0]), "names", None) if keys else None
    classes = getattr(data, "classes", None)
    return classes if isinstance(classes, (list, tuple)) and all(isinstance(c, str) for c in classes) else None


def _by_part(data: Mapping[str, Any], validation: Any, test: Any) -> tuple[Any, Any, Any]:
    known = ("train", "validation", "test")
    if "train" not in data or not set(data) <= set(known):
        raise ValueError(
            f"Expected the parts {', '.join(known)}, 'train' at least; received {', '.join(map(str, data))}."
        )
    for part, value in (("validation", validation), ("test", test)):
        if value is not None and part in data:
            raise ValueError(f"{part}: given beside a data set that has that part; give one of the two.")
    return data["train"], data.get("validation", validation), data.get("test", test)


def _numbered(keys: Array) -> list[str]:
    """Names by content: the digest, and of copies their number."""
    seen: dict[str, int] = {}
    names = []
    for key in (k.decode() for k in keys.tolist()):
        seen[key] = seen.get(key, 0) + 1
        names.append(key if seen[key] == 1 else f"{key}-{seen[key]}")
    return names
