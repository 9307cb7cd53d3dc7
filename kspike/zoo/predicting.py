"""Predictor: raw images, of whatever size, in files or arrays -> classes by name, as the model was trained."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kspike._files import expanded
from kspike._messages import shown
from kspike.zoo import naming, preprocessing, sources
from kspike.zoo.entry import Entry
from kspike.zoo.event_input import frames_of

if TYPE_CHECKING:
    from kspike.models import Spikformer

#: Images that run at once; more are run one batch after the other.
BATCH = 64


class Predictor:
    """A published or fine-tuned model with the preprocessing it was trained with: raw images in, named classes out.

    Images of another size are made to fit as in training (cropped to the aspect, or resized, as the card says). They
    run in batches of 1 or `batch_size`, the last one padded: two programs are compiled, whatever number comes.

    Args:
        name_or_folder: an entry's name or folder, as `load` takes it, or the folder of a training run on a data set.
        batch_size: images at once.
        directory: a zoo folder in which to look for the name.

    Attributes:
        model: the `kspike.Spikformer`.
        class_names: of its outputs, in order.
        input_shape: of an image, (height, width, channels), or (time, height, width, channels).

    Raises:
        ValueError: no such entry or run, or one that does not say how its images were normalised.

    Example:
        >>> import kspike, numpy as np
        >>> predict = kspike.zoo.Predictor("auto_spikformer_digits")
        >>> len(predict(np.zeros((3, 8, 8, 1), "uint8"), top=2))
        3
    """

    def __init__(
        self,
        name_or_folder: str | os.PathLike[str],
        *,
        batch_size: int = BATCH,
        directory: str | os.PathLike[str] | None = None,
    ) -> None:
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"batch_size: expected a whole number of at least 1, received {batch_size!r}.")
        self.batch_size = batch_size
        self.model, about, self.name = _open(name_or_folder, directory)
        stated = about["input"]
        self._stated, self._of_events = stated, stated.get("events") is not None
        if not self._of_events and any(stated.get(key) is None for key in ("range", "mean", "std")):
            raise ValueError(
                f"Expected {self.name} to say range, mean and std of its images; it was made without a data set. "
                "Normalise the images as its author did, and call the model."
            )
        self.input_shape = tuple(int(size) for size in stated["shape"])
        self.fit: str = stated.get("fit") or "crop"
        self._range = tuple(stated["range"] or ())
        classes = self.model.config.num_classes
        self.class_names = tuple(about.get("class_names") or map(str, range(classes)))
        self._run: Any = None

    def __call__(self, images: Any, top: int = 5) -> list[list[tuple[int, str, float]]]:
        """For each image the `top` classes, likeliest first, as (index, name, probability).

        Args:
            images: `(n, height, width, channels)` in the raw range of the entry, or a list of images of any size, each
                an array, a picture of Pillow's, or the path of a picture file; of an entry for event cameras
                recordings, their files, or frames, as `preprocess` takes them.
            top: how many classes; more than there are gives all.

        Raises:
            ValueError: no images, another number of channels, values outside of the raw range, a file that is no
                picture; names it.
        """
        preprocessing.check_top(top)
        return preprocessing.decode(self.logits(images), self.class_names, top)

    def logits(self, images: Any) -> np.ndarray:
        """The model's outputs for raw images, `(n, classes)`."""
        return self.run(self.prepare(images))

    def prepare(self, images: Any) -> np.ndarray:
        """Raw images -> the model's input, float32: made to fit and normalised, as in training."""
        from kspike.data.normalization import normalize

        if self._of_events:
            return frames_of(images, self._stated, self.name)
        if isinstance(images, (str, os.PathLike)):
            images = [images]
        if not (len(images) if hasattr(images, "__len__") else np.size(images)):
            raise ValueError("Expected at least one image, received none.")
        if isinstance(images, (list, tuple)):
            raw = np.stack([self._one(image, i) for i, image in enumerate(images)])
        else:
            raw = self._batch(images)
        preprocessing.check_shape(raw, self.input_shape, self.name)
        preprocessing.check_values(raw, self._range, self.name)
        return normalize(raw, self._stated["mean"], self._stated["std"], self._range)

    def run(self, inputs: np.ndarray) -> np.ndarray:
        """What the model says of prepared images, in batches of which each runs a program that is compiled once."""
        from keras import ops

        from kspike.ops import jit

        if self._run is None:
            model = self.model
            self._run = jit(lambda x: model(x, training=False), model.variables)
        if len(inputs) == 1:
            return ops.convert_to_numpy(self._run(ops.convert_to_tensor(inputs)))
        found = []
        for start in range(0, len(inputs), self.batch_size):
            some = inputs[start : start + self.batch_size]
            padded = some
            if len(some) < self.batch_size:
                padded = np.concatenate([some, np.repeat(some[-1:], self.batch_size - len(some), axis=0)])
            found.append(ops.convert_to_numpy(self._run(ops.convert_to_tensor(padded)))[: len(some)])
        return np.concatenate(found)

    def files(
        self, paths: Iterable[str | os.PathLike[str]], top: int = 5
    ) -> Iterator[tuple[Path, list[tuple[int, str, float]] | ValueError]]:
        """Files, as many as there are -> (path, its classes), in order; or the error of one that is none.

        A batch at a time is in memory.
        """
        preprocessing.check_top(top)
        waiting: list[tuple[Path, Any]] = []
        for path in paths:
            path = Path(path)
            try:
                waiting.append((path, self._from_file(path)))
            except ValueError as error:
                waiting.append((path, error))
            if len(waiting) == self.batch_size:
                yield from self._answered(waiting, top)
                waiting = []
        yield from self._answered(waiting, top)

    def _answered(self, waiting: list[tuple[Path, Any]], top: int) -> Iterator[tuple[Path, Any]]:
        good = [image for _, image in waiting if not isinstance(image, ValueError)]
        found = iter(self(good, top) if good else [])
        for path, image in waiting:
            yield path, image if isinstance(image, ValueError) else next(found)

    # -- one image ---------------------------------------------------------------------------------------------------

    def _one(self, image: Any, i: int) -> np.ndarray:
        if isinstance(image, (str, os.PathLike)):
            return self._from_file(expanded(image))
        if hasattr(image, "getexif") and hasattr(image, "convert"):
            from kspike.data.own import pictures

            return self._from_picture(pictures.from_pillow(image, self._size(), self.fit))
        array = preprocessing.to_numpy(image)
        if array.ndim == len(self.input_shape) - 1 and self.input_shape[-1] == 1:
            array = array[..., None]
        if array.ndim != len(self.input_shape):
            raise ValueError(
                f"Expected images of {len(self.input_shape)} axes for {self.name}, as {self.input_shape}; received "
                f"image {i} of shape {array.shape}."
            )
        return self._batch(array[None])[0]

    def _from_file(self, path: Path) -> np.ndarray:
        from kspike.data.own import pictures

        if self._of_events:
            return frames_of([path], self._stated, self.name)[0]
        size = self._size()
        try:
            return self._from_picture(pictures.decode(path, size, self.fit))
        except ValueError as error:
            raise ValueError(f"{path} {error}") from None

    def _from_picture(self, image: np.ndarray) -> np.ndarray:
        """A decoded picture, 0..255, grey or colour -> the channels and the range of the model's images."""
        from kspike.data.own import pictures

        channels = self.input_shape[-1]
        if channels not in (1, 3):
            raise ValueError(f"is a picture; {self.name} takes images of {channels} channels, as arrays")
        image = pictures.with_channels(image, channels)
        low, high = self._range
        if (low, high) == (0, 255):
            return image
        return (image / np.float32(255) * (high - low) + low).astype(np.float32)

    def _size(self) -> tuple[int, int]:
        if len(self.input_shape) != 3:
            raise ValueError(f"is a picture; {self.name} takes frames {self.input_shape}, as arrays")
        return self.input_shape[0], self.input_shape[1]

    def _batch(self, images: Any) -> np.ndarray:
        array = preprocessing.to_numpy(images)
        fits = array.ndim == 4 and len(self.input_shape) == 3 and array.shape[-1] == self.input_shape[-1] and array.size
        if not fits or array.shape[1:3] == self.input_shape[:2]:
            return array
        from kspike.data.own import pictures

        array = array if array.dtype == np.uint8 else array.astype(np.float32)
        return np.stack([pictures.fitted_array(image, self._size(), self.fit) for image in array])


def _open(
    name_or_folder: str | os.PathLike[str], directory: str | os.PathLike[str] | None
) -> tuple[Spikformer, dict[str, Any], str]:
    """The model, what is known of its images in the keys of a card, and its name."""
    from kspike.zoo.loading import load

    if not isinstance(name_or_folder, (str, os.PathLike)):
        raise ValueError(f"Expected the name or the folder of an entry, or of a run; received {shown(name_or_folder)}.")
    if directory is None and (expanded(name_or_folder) / "settings.json").is_file():
        from kspike import training

        about = training.read_data(name_or_folder)
        if about is None:
            raise ValueError(
                f"The run in {os.fspath(name_or_folder)} does not say how its images were normalised: it was trained "
                "on arrays, or by an older kspike. Train on a data set (kspike.data.from_arrays), or publish with one."
            )
        return training.load(name_or_folder), about, os.fspath(name_or_folder)
    entry = _entry(name_or_folder, directory)
    return load(name_or_folder, directory=directory), entry.metadata, entry.name


def _entry(name_or_folder: str | os.PathLike[str], directory: str | os.PathLike[str] | None) -> Entry:
    """The entry; of a path that is none says that it is no run either."""
    try:
        return Entry.open(name_or_folder, directory)
    except (ValueError, FileNotFoundError) as error:
        path = expanded(name_or_folder)
        text = os.fspath(name_or_folder)
        if directory is not None or naming.is_name(text) or sources.is_source(text) or naming.is_entry(path):
            raise
        found = "a folder of something else" if path.is_dir() else "another file" if path.exists() else "not there"
        raise ValueError(
            f"Expected the folder of a run (kspike train), or an entry of the zoo; {text!r} is {found}."
        ) from error


def pictures_in(paths: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """Files as they are, and of folders the files in them and below, in the order of their names, but hidden ones.

    Raises:
        ValueError: a path that is not there, or a folder without a file.
    """
    from kspike.data.own.folder import files_of, folders_of

    found: list[Path] = []

    def walk(folder: Path) -> None:
        found.extend(files_of(folder))
        for inside in folders_of(folder).values():
            if not inside.is_symlink():  # it may lead back
                walk(inside)

    for text in paths:
        path, before = expanded(text), len(found)
        if path.is_dir():
            walk(path)
            if len(found) == before:
                raise ValueError(f"{path} holds no file.")
        elif path.exists():
            found.append(path)
        else:
            raise ValueError(f"{str(path)!r} is not there; expected a picture file or a folder of them.")
    return found
