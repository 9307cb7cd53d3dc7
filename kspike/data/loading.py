"""Opens a data set by name: digits from the package, events from a folder, other images from TensorFlow Datasets."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from kspike.data import arguments, digits, event_loading, tfds_errors, tfds_source
from kspike.data.augmentation import Augmentation
from kspike.data.dataset import Dataset
from kspike.data.events.augmentation import EventAugmentation
from kspike.data.events.framing import Framing
from kspike.data.named_augmentations import as_augmentation


def names() -> tuple[str, ...]:
    """Lists the data sets known by name; other still-image sets of TensorFlow Datasets load the same way."""
    return (*tfds_errors.PACKED, *tfds_errors.FIRST, *event_loading.names())


def load(
    name: str,
    batch_size: int = 64,
    seed: int = 0,
    *,
    augment: str | Augmentation | EventAugmentation | Mapping[str, Any] | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    image_size: int | tuple[int, int] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    download: bool = False,
    cache: bool = True,
    test_split: str | None = None,
    timesteps: int | tuple[int, ...] | None = None,
    frames: str | None = None,
    window_us: int | None = None,
    framing: Framing | Mapping[str, Any] | None = None,
    split: str | None = None,
) -> Dataset:
    """Opens a data set as three fixed, disjoint splits that feed `fit` on every backend.

    ```python
    data = kspike.data.load("digits", batch_size=64, seed=0)
    model.fit(data.train, validation_data=data.validation, epochs=2)
    ```

    Args:
        name: "digits" (in the package), "cifar10", "cifar100", or any still-image classification set of TensorFlow
            Datasets, as it names them (`name[/config][:version]`). Of event cameras: "digits_events" (in the package,
            simulated), "nmnist", "dvs128_gesture", "cifar10_dvs", "n_caltech101", from a folder.
        batch_size: images a batch.
        seed: decides the order of training images and their augmentation, and nothing else: never which images are in
            which split.
        augment: of the training images: a name (`augmentations()` lists them), an `Augmentation`, or its dict; of
            events a name, an `events.EventAugmentation`, or its dict.
        data_dir: where TensorFlow Datasets prepared the set; TFDS_DATA_DIR, else ~/tensorflow_datasets, by default. Of
            events the folder that holds the set, as its authors or the usual libraries leave it; KSPIKE_EVENTS_DIR by
            default.
            Of no effect on digits, which are in the package, as `download` and `cache` are.
        image_size: one number or (height, width), to which images are averaged down. Needed where they differ in size.
        mean, std: one number a channel, of pixels scaled to 0..1, to normalise as a published model wants it; measured
            on the training images by default.
        download: whether to fetch and prepare a set that is not there (by TensorFlow Datasets, with TensorFlow).
        cache: whether to keep decoded images in KSPIKE_CACHE, or beside the prepared set.
        test_split: name of the official split to test on, where "test" has no labels.
        timesteps: of events: number of frames of each recording; several, as (2, 4, 8), give the frames of each behind
            one another, for a search whose space takes its frames from recordings.
        frames: of events: how recordings are cut into frames, "time" (the default), "count" or "window".
        window_us: of events: microseconds a frame, with frames="window".
        framing: of events: all of this and more, an `events.Framing` or its dict, in place of the three above.
        split: of events: which of the splits in use, by name, where a set has no official one (docs/events.md).

    Returns:
        A `Dataset`. Nothing is decoded before a split of it is used.
    """
    if not isinstance(name, str):
        raise ValueError(f"name: expected the name of a data set, such as 'digits', received {name!r}.")
    size = arguments.image_size(image_size)
    of_events: dict[str, Any] = {
        "timesteps": timesteps,
        "frames": frames,
        "window_us": window_us,
        "framing": framing,
        "split": split,
    }
    if name in event_loading.names():
        of_images = {"mean": mean, "std": std, "download": download or None, "test_split": test_split}
        event_loading.refuse(name, of_images, "images")
        made = event_loading.source(name, data_dir=data_dir, image_size=size, keep=cache, **of_events)
        return event_loading.dataset(made, batch_size=batch_size, seed=seed, augment=augment)
    event_loading.check_spelling(name)
    event_loading.refuse(name, of_events, "events")
    if isinstance(augment, EventAugmentation):
        raise ValueError(
            f"augment: {name!r} holds images; expected a kspike.data.Augmentation, received an EventAugmentation."
        )
    if name == "digits":
        source = digits.source()
    else:
        source = tfds_source.source(name, data_dir=data_dir, image_size=size, download=download, keep=cache)
    return Dataset(
        source,
        batch_size=batch_size,
        seed=seed,
        augmentation=as_augmentation(augment, source.mirrored),
        image_size=size,
        mean=mean,
        std=std,
        test_split=test_split,
    )


def arguments_of(shown: Mapping[str, Any]) -> dict[str, Any]:
    """What a card says of a model's input -> the arguments by which `load` gives the same input."""
    if shown.get("events") is not None:
        return {"framing": shown["events"]["framing"], "split": shown["events"]["split"]}
    return {"image_size": tuple(shown["shape"][-3:-1]), "mean": shown["mean"], "std": shown["std"]}
