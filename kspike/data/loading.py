"""Opens a data set by name: digits from the package, any other still-image set from TensorFlow Datasets."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from kspike.data import arguments, digits, tfds_errors, tfds_source
from kspike.data.augmentation import Augmentation
from kspike.data.dataset import Dataset
from kspike.data.named_augmentations import as_augmentation


def names() -> tuple[str, ...]:
    """Lists the data sets known by name; other still-image sets of TensorFlow Datasets load the same way."""
    return (*tfds_errors.PACKED, *tfds_errors.FIRST)


def load(
    name: str,
    batch_size: int = 64,
    seed: int = 0,
    *,
    augment: str | Augmentation | Mapping[str, Any] | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    image_size: int | tuple[int, int] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    download: bool = False,
    cache: bool = True,
    test_split: str | None = None,
) -> Dataset:
    """Opens a data set as three fixed, disjoint splits that feed `fit` on every backend.

    ```python
    data = kspike.data.load("digits", batch_size=64, seed=0)
    model.fit(data.train, validation_data=data.validation, epochs=2)
    ```

    Args:
        name: "digits" (in the package), "cifar10", "cifar100", or any still-image classification set of TensorFlow
            Datasets, as it names them (`name[/config][:version]`).
        batch_size: images a batch.
        seed: decides the order of training images and their augmentation, and nothing else: never which images are in
            which split.
        augment: of the training images: a name (`augmentations()` lists them), an `Augmentation`, or its dict.
        data_dir: where TensorFlow Datasets prepared the set; TFDS_DATA_DIR, else ~/tensorflow_datasets, by default.
            Of no effect on digits, which are in the package, as `download` and `cache` are.
        image_size: one number or (height, width), to which images are averaged down. Needed where they differ in size.
        mean, std: one number a channel, of pixels scaled to 0..1, to normalise as a published model wants it; measured
            on the training images by default.
        download: whether to fetch and prepare a set that is not there (by TensorFlow Datasets, with TensorFlow).
        cache: whether to keep decoded images in KSPIKE_CACHE, or beside the prepared set.
        test_split: name of the official split to test on, where "test" has no labels.

    Returns:
        A `Dataset`. Nothing is decoded before a split of it is used.
    """
    if not isinstance(name, str):
        raise ValueError(f"name: expected the name of a data set, such as 'digits', received {name!r}.")
    size = arguments.image_size(image_size)
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
