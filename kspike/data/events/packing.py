"""Packed frames: of many recordings, only what is not zero, in two flat arrays; on the disk, or in memory.

Of frames of events 2 to 10 in 100 numbers are not zero. A pack is written recording by recording, so that a folder of
any size takes the memory of one, and read batch by batch through a memory map.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from kspike.data.events.framing import Framing
from kspike.data.events.recording import Recording
from kspike.data.sources import Array

#: One number that is not zero: its place in the frames of its recording, and its value.
INDEX, VALUE = np.dtype("<u4"), np.dtype("<f4")
#: Whole numbers up to here are exact in float32.
LARGEST = 1 << 24


class PackedFrames:
    """Frames of n recordings, indexed as one array (n, timesteps, height, width, channels): float32 comes out.

    Args:
        shape: of all of it.
        offsets: (n + 1,) where the numbers of each recording begin.
        index, values: of the numbers that are not zero, all recordings behind one another.
        opened: reads the recording at a position again, for augmentation before framing.
        framing: how they were framed.
        groups: (n,) names of what must not fall into two parts of a split.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        offsets: Array,
        index: Array,
        values: Array,
        opened: Callable[[int], Recording] | None = None,
        framing: Framing | None = None,
        groups: Array | None = None,
    ) -> None:
        self.shape, self.dtype, self.ndim = shape, np.dtype(np.float32), len(shape)
        self._offsets, self._index, self._values = offsets, index, values
        self._opened, self._framing, self.groups = opened, framing, groups
        #: T of the frames that stand behind one another; one but for a search over T.
        self.steps = (framing.steps if framing is not None else ()) or shape[1:2]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Array:
        positions = np.arange(len(self))[key]
        chosen = np.atleast_1d(positions)
        out = np.zeros((len(chosen), int(np.prod(self.shape[1:]))), np.float32)
        for row, at in zip(out, chosen.tolist(), strict=True):
            part = slice(self._offsets[at], self._offsets[at + 1])
            row[self._index[part]] = self._values[part]
        return out.reshape(*np.shape(positions), *self.shape[1:])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return self[:].astype(dtype or np.float32, copy=False)

    def changed(self, positions: Array, change: Callable[[Recording], Recording]) -> Array:
        """The frames at some positions, of recordings that are read again and changed before they are framed."""
        if self._opened is None or self._framing is None:
            raise ValueError("These frames were made of no recordings: events before framing cannot be changed.")
        out = np.zeros((len(positions), *self.shape[1:]), np.float32)
        for row, at in zip(out, positions.tolist(), strict=True):
            recording = self._opened(at)
            less = change(recording)
            # What augmentation leaves nothing of is shown as it was.
            few = less.duration < self.shape[1] or len(less) < self.shape[1]
            row[:] = self._framing.frames(recording if few else less)
        return out

    @property
    def nonzero(self) -> float:
        """The share of numbers that are not zero."""
        return len(self._index) / max(int(np.prod(self.shape)), 1)

    @property
    def largest(self) -> float:
        """The largest number."""
        return float(self._values.max()) if len(self._values) else 0.0


def write(frames: Iterable[Array], index: BinaryIO | list[Array], values: BinaryIO | list[Array]) -> Array:
    """Appends what is not zero of each recording's frames to two files, or lists; returns the offsets (n + 1,)."""
    offsets = [0]
    for one in frames:
        plain = one.reshape(-1)
        places = np.flatnonzero(plain)
        found = plain[places]
        if one.dtype.kind == "i" and len(found) and found.max() > LARGEST:
            raise ValueError(f"A pixel counts {found.max():,} events in one frame; float32 is exact up to {LARGEST:,}.")
        for kept, array in ((index, places.astype(INDEX)), (values, found.astype(VALUE))):
            if isinstance(kept, list):
                kept.append(array)
            else:
                kept.write(array.tobytes())
        offsets.append(offsets[-1] + len(places))
    return np.array(offsets, np.int64)


def in_memory(frames: Iterable[Array]) -> tuple[Array, Array, Array]:
    """Frames -> offsets, index and values, in memory."""
    index: list[Array] = []
    values: list[Array] = []
    offsets = write(frames, index, values)
    return offsets, np.concatenate(index or [np.empty(0, INDEX)]), np.concatenate(values or [np.empty(0, VALUE)])


def mapped(folder: Path) -> tuple[Array, Array, Array]:
    """A folder that holds offsets.npy, index and values -> the three arrays, the large ones mapped into memory."""
    offsets = np.load(folder / "offsets.npy", allow_pickle=False)
    arrays = []
    for name, dtype in (("index", INDEX), ("values", VALUE)):
        path = folder / name
        if path.stat().st_size != int(offsets[-1]) * dtype.itemsize:
            raise ValueError(f"{name} is not as long as offsets.npy says")
        # An empty file cannot be mapped.
        arrays.append(np.memmap(path, dtype, "r") if offsets[-1] else np.empty(0, dtype))
    return offsets, arrays[0], arrays[1]
