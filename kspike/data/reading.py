"""Collects the examples of a data set into arrays, in the order of their ids, showing progress where it takes long."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from kspike.data.resizing import area_average, center_crop
from kspike.data.sources import Images, in_order_of_ids

LONG = 4096  # examples from which a progress bar is worth its line


def collect(
    examples: Any, count: int, image_key: str, label_key: str, size: tuple[int, int] | None, name: str
) -> Images:
    """Decodes `count` examples into one array; images are cropped and averaged to `size` unless it is None.

    Args:
        examples: iterable of dicts of NumPy values.
        image_key, label_key: which features to take; a feature "id" names the images, else their place does.
    """
    images: np.ndarray[Any, Any] | None = None
    labels = np.empty(count, np.int64)
    ids: list[str] = []
    for i, example in enumerate(progress(examples, count, f"Decoding {name}")):
        image = example[image_key]
        if size is not None:
            image = area_average(center_crop(image, size)[None], size)[0]
        if images is None:
            images = np.empty((count, *image.shape), np.uint8)
        images[i], labels[i] = image, example[label_key]
        name_of = example.get("id", b"")
        ids.append(name_of.decode() if isinstance(name_of, bytes) else str(name_of))
    if images is None or len(ids) != count:
        raise ValueError(f"{name!r}: expected {count} examples, received {len(ids)}: its files are incomplete.")
    if len(set(ids)) != count:  # no ids, or not one an image
        ids = [f"{i:07d}" for i in range(count)]
    return in_order_of_ids(images, labels, np.array(ids))


def progress(examples: Iterable[Any], count: int, what: str, least: int = LONG) -> Iterator[Any]:
    """Passes examples on, and shows how far it is on a terminal where there are many: at least as many as `least`."""
    if count < least:
        yield from examples
        return
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    hidden = not console.is_terminal
    yield from track(examples, what, total=count, console=console, transient=True, disable=hidden)
