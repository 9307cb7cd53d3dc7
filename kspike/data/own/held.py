"""Images that are decoded as they are asked for; up to a bound of memory they stay decoded."""

from __future__ import annotations

import concurrent.futures
import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from kspike.data.reading import progress
from kspike.data.sources import Array

#: Bytes of decoded images that stay in memory, if nobody says otherwise.
MEMORY = 1 << 30
#: Threads that decode: Pillow lets go of Python's lock while it does.
THREADS = min(8, os.cpu_count() or 1)


def digest(image: Array) -> bytes:
    """32 letters that tell one image from another, by its pixels: the same in every format that loses nothing.

    An image of three equal channels is the grey one that they repeat: whether a folder's grey pictures were made
    colour or not, and how a copy is stored, is nothing of the image.
    """
    if image.shape[2:] == (3,) and (image[..., 1:] == image[..., :1]).all():
        image = image[..., :1]
    head = f"{image.shape}{image.dtype.str}".encode()
    return hashlib.sha256(head + np.ascontiguousarray(image).tobytes()).hexdigest()[:32].encode()


class Store:
    """Decodes images by their number, and keeps the first ones that fit into `memory`.

    Args:
        decode: number -> image (height, width, channels); raises ValueError for one that cannot be read.
        names: what each is called.
        memory: bytes of decoded images that stay.
        threads: how many may decode at once; 1 where `decode` calls somebody else's code.
    """

    def __init__(
        self, decode: Callable[[int], Array], names: Sequence[str], memory: int, threads: int = THREADS
    ) -> None:
        self.decode, self.names, self.memory, self.threads = decode, names, memory, threads
        self._turn = threading.Semaphore(threads)
        self.digests: dict[int, bytes] = {}
        self.shapes: dict[int, tuple[int, ...]] = {}
        self._kept: dict[int, Array] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def read_all(self, what: str) -> dict[int, str]:
        """Decodes every image once; gives number -> reason of those that cannot be read."""
        bad: dict[int, str] = {}
        numbers = range(len(self.names))
        for i, found in zip(numbers, progress(self._in_threads(numbers), len(numbers), f"Reading {what}"), strict=True):
            if isinstance(found, ValueError):
                bad[i] = str(found)
                continue
            image, self.digests[i] = found
            self.shapes[i] = image.shape
            self._keep(i, image)
        return bad

    def image(self, number: int) -> Array:
        """One image.

        Raises:
            ValueError: it is no longer the one that was there when the data set was opened.
        """
        kept = self._kept.get(number)
        if kept is not None:
            return kept
        try:
            with self._turn:
                image = self.decode(number)
        except ValueError as error:
            raise ValueError(f"{self.names[number]} {error}; it was whole when the data set was opened.") from None
        if digest(image) != self.digests[number]:
            raise ValueError(
                f"{self.names[number]} is another image than when the data set was opened: open it again; if each "
                "reading gives another, leave the random changes to augment=."
            )
        return image

    def _keep(self, number: int, image: Array) -> None:
        with self._lock:
            if self._bytes + image.nbytes <= self.memory:
                self._kept[number] = image
                self._bytes += image.nbytes

    def _in_threads(self, numbers: Sequence[int]) -> Iterator[Any]:
        """Decodes a few ahead, in order, so that what is not kept does not pile up."""
        with concurrent.futures.ThreadPoolExecutor(self.threads, thread_name_prefix="kspike-decode") as pool:
            for start in range(0, len(numbers), 8 * self.threads):
                yield from pool.map(self._try, numbers[start : start + 8 * self.threads])

    def _try(self, number: int) -> Any:
        try:
            image = self.decode(number)
        except ValueError as error:
            return error
        return image, digest(image)


class Held:
    """Some images of a store as one array (n, height, width, channels), decoded where it is indexed.

    Grey images among colour ones are repeated into the three channels.
    """

    def __init__(self, store: Store, numbers: Array, shape: tuple[int, int, int], dtype: Any = np.uint8) -> None:
        self.store, self.numbers = store, np.asarray(numbers)
        self.shape, self.dtype = (len(self.numbers), *shape), np.dtype(dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Array:
        numbers = self.numbers[index]
        if numbers.ndim == 0:
            return self._one(int(numbers))
        out = np.empty((len(numbers), *self.shape[1:]), self.dtype)
        for i, number in enumerate(numbers.tolist()):
            out[i] = self._one(number)
        return out

    def _one(self, number: int) -> Array:
        return np.broadcast_to(self.store.image(number), self.shape[1:])
