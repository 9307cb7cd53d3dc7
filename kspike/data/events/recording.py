"""Recording: the events of one camera, in order of time, in one plain form whatever file they came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kspike._messages import shown, warn
from kspike.data.events import mending
from kspike.data.events.mending import Raw
from kspike.data.sources import Array

#: What `np.asarray(recording)` gives, one element an event.
DTYPE = np.dtype([("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "u1")])


class Recording:
    """Events (t, x, y, p) of one event camera, sorted by time.

    What is unambiguous is mended and said, in `notes` and as a warning: unsorted and wrapped times, seconds, polarities
    of -1 and 1, an unknown sensor size. Anything else is refused.

    ```python
    recording = kspike.events.Recording(t=[0, 10], x=[1, 2], y=[3, 3], p=[0, 1], sensor_size=(16, 16))
    len(recording), np.asarray(recording)["t"]
    ```

    Args:
        t: (n,) times in microseconds, or in `time_unit`.
        x, y: (n,) columns and rows, counted from 0; row 0 is the sensor's top, or where the file puts it.
        p: (n,) polarities: 1 or True is ON (brighter), 0, False or -1 is OFF.
        sensor_size: (height, width) in pixels; from the largest coordinates, which is said, where it is None.
        source: where the events come from, for messages: a file's path.
        time_unit: "us", "ms", "s" or "ns"; None recognises what is unambiguous.

    Attributes:
        t: int64, microseconds. x, y: uint16. p: uint8, 0 or 1.
        sensor_size: (height, width).
        source: as given.
        notes: what was mended, one sentence each.

    Raises:
        ValueError: arrays of different lengths, fractions of pixels, events outside the sensor, times of an unknown
            unit, other polarities.
    """

    __slots__ = ("notes", "p", "sensor_size", "source", "t", "x", "y")
    t: Array
    x: Array
    y: Array
    p: Array
    sensor_size: tuple[int, int]
    source: str
    notes: tuple[str, ...]

    def __init__(
        self,
        t: Any,
        x: Any,
        y: Any,
        p: Any,
        sensor_size: tuple[int, int] | None = None,
        source: str = "",
        *,
        time_unit: str | None = None,
    ) -> None:
        self._take(mending.mended(Raw(t, x, y, p, sensor_size, time_unit), source or "the recording"), source)
        if self.notes:
            warn(f"{source or 'Recording'}: {'; '.join(self.notes)}.")

    @classmethod
    def quiet(cls, raw: Raw, source: str) -> Recording:
        """What a reader found -> a recording; what was mended stands in `notes` alone."""
        made = cls.__new__(cls)
        made._take(mending.mended(raw, source or "the recording"), source)
        return made

    def _take(self, raw: Raw, source: str) -> None:
        self.t, self.x, self.y, self.p = raw.t, raw.x, raw.y, raw.p
        self.sensor_size, self.source, self.notes = raw.sensor_size or (0, 0), source, raw.notes

    def chosen(self, which: Any) -> Recording:
        """Some of the events, by a mask, a slice, or positions in ascending order; nothing is checked again."""
        return self._with(self.t[which], self.x[which], self.y[which], self.p[which])

    def between(self, start: int, stop: int) -> Recording:
        """The events of start <= t < stop, in microseconds of the recording's own clock."""
        first, last = np.searchsorted(self.t, [start, stop])
        return self.chosen(slice(first, last))

    def moved(self, x: Array, y: Array, p: Array | None = None, size: tuple[int, int] | None = None) -> Recording:
        """The same events at other places; those that leave the sensor are gone."""
        height, width = size or self.sensor_size
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        p = self.p if p is None else p
        return self._with(self.t[inside], x[inside].astype(np.uint16), y[inside].astype(np.uint16), p[inside], size)

    def _with(self, t: Array, x: Array, y: Array, p: Array, size: tuple[int, int] | None = None) -> Recording:
        made = Recording.__new__(Recording)
        made.t, made.x, made.y, made.p = t, x, y, p
        made.sensor_size, made.source, made.notes = size or self.sensor_size, self.source, self.notes
        return made

    @property
    def duration(self) -> int:
        """Microseconds from the first event to the last."""
        return int(self.t[-1] - self.t[0]) if len(self.t) else 0

    def __len__(self) -> int:
        return len(self.t)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError("np.asarray of a Recording gathers its four arrays into one, which needs a copy.")
        out = np.empty(len(self), DTYPE)
        for name in DTYPE.names or ():
            out[name] = getattr(self, name)
        return out if dtype is None else out.astype(dtype)

    def __repr__(self) -> str:
        height, width = self.sensor_size
        named = f" of {self.source}" if self.source else ""
        return f"<Recording{named}: {len(self):,} events in {self.duration / 1e6:.6g} s, {height}x{width} pixels>"


def as_recording(value: Any, sensor_size: tuple[int, int] | None = None) -> Recording:
    """A Recording, a structured array (tonic's among them), or a mapping of t, x, y and p -> a Recording.

    Raises:
        ValueError: anything else, or another sensor than a Recording's own.
    """
    if isinstance(value, Recording):
        if sensor_size is not None and tuple(sensor_size) != value.sensor_size:
            raise ValueError(
                f"Expected a recording of a sensor of {tuple(sensor_size)} pixels (height, width); received "
                f"{value.sensor_size}. Crop or resize it first (kspike.events.crop, kspike.events.resize)."
            )
        return value
    names = getattr(getattr(value, "dtype", None), "names", None) or (
        tuple(value) if isinstance(value, Mapping) else ()
    )
    found = mending.fields(names)
    if found is None:
        raise ValueError(
            "Expected a kspike.events.Recording, a structured array of t, x, y and p, or a mapping of them; received "
            f"{shown(value)}. A file is read by kspike.events.read."
        )
    t, x, y, p = (value[name] for name in found)
    return Recording(t, x, y, p, sensor_size)
