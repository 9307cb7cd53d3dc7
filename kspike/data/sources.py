"""Source of a data set: its facts, and the function that reads one of its official splits."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Images(NamedTuple):
    """One official split of a data set, in the order of its ids, whatever order its files had.

    images: uint8, or float32 of the source's range, (n, height, width, channels); an array, or what gives one when
        indexed by positions and says its `shape` and `dtype` (`kspike.data.own.held`).
    labels: int32, (n,). ids: strings, (n,), each the name of one image.
    """

    images: Any
    labels: Array
    ids: Array


@dataclass(frozen=True)
class Own:
    """What is known of a user's own images beyond a published set's facts.

    given: the parts beside "train" that the user has cut; the others are cut out of "train".
    cut: the images of "train" -> positions by part: "train", and what is not given.
    contents: id -> a hash of the image and its class, so that the hash of a part changes with what is in it.
    fit: how images of other sizes were made to fit, "crop" or "resize".
    skipped: files that were left out on request, each with the reason.
    """

    given: tuple[str, ...]
    cut: Callable[[Images], dict[str, Array]]
    contents: Mapping[str, str]
    fit: str = "crop"
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """The facts of one data set and the function that reads one of its official splits.

    image_shape: (height, width, channels); height and width are None where they differ from image to image. Of events
        (timesteps, height, width, channels).
    input_range: the smallest and the largest value a raw pixel may take; None of events, whose counts have no largest.
    splits: names of the official splits; read(split) decodes one of them, and is called no earlier than needed.
    mirrored: whether a mirrored image still shows its class; false for digits and letters.
    validation_size, test_size: how many images are cut out of the training split, a tenth and a fifth by default (test
        images only where there is no official test split).
    source, license, citation: where it comes from and what must be said.
    own: of a user's own images, how they are cut and told apart; None of a published set.
    cut: the training split -> the positions in it of "validation", and of "test" where that is no official split; None
        cuts by image id (kspike.data.partition).
    events: what is known of event recordings and their frames, for a card; None of images. Frames are never normalised.
    """

    name: str
    version: str
    image_shape: tuple[int | None, ...]
    class_names: tuple[str, ...]
    input_range: tuple[float, float] | None
    splits: tuple[str, ...]
    read: Callable[[str], Images]
    source: str = ""
    license: str = ""
    citation: str = ""
    mirrored: bool = True
    validation_size: int | None = None
    test_size: int | None = None
    own: "Own | None" = None
    cut: Callable[[Images], dict[str, Array]] | None = None
    events: Mapping[str, Any] | None = None


def in_order_of_ids(images: Array, labels: Array, ids: Array) -> Images:
    """Sorts a split by id, so that a copy in other files, or in other shards, is the same data set."""
    order = np.argsort(ids, kind="stable")
    return Images(images[order], labels[order].astype(np.int32), ids[order])
