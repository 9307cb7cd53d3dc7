"""Framing: how recordings become frames, as settings that can be written as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kspike._registry import check_keys
from kspike.data.arguments import whole
from kspike.data.events import filters, frames, mending
from kspike.data.events.recording import Recording
from kspike.data.resizing import overlap
from kspike.data.sources import Array

RESIZING = ("sum", "area")


@dataclass(frozen=True)
class Framing:
    """Settings by which a recording becomes frames (timesteps, height, width, 2): filters, crop, resize, then counts.

    Counts are the default, and never normalised: a first convolution then accumulates, where it would multiply
    otherwise. `log`, `voxels` and `resize="area"` with sizes that do not divide give other numbers (`counts` is then
    false).

    Args:
        timesteps: number of frames, T; several, rising, make the frames of each T behind one another, as a search over
            T takes them (`kspike.space.SearchSpace(frames_from="recordings")`).
        by: "time", "count" or "window" (`kspike.events.to_frames`).
        window_us: microseconds a frame, with by="window".
        hot_pixels: removes pixels that fire more than so many times as often as the busiest hundredth; None keeps all.
        refractory_us: microseconds for which a pixel is silent after an event; None for none.
        crop: (height, width) around the centre.
        size: (height, width) to which frames are made smaller.
        resize: "sum" puts every event into one pixel; "area" shares it among those that its own covers.
        binary: 1 where there is an event.
        log: log(1 + count).
        voxels: T moments, each event shared between the two nearest, ON minus OFF: one channel (`voxel_grid`).
    """

    timesteps: int | tuple[int, ...] | None = None
    by: str = "time"
    window_us: int | None = None
    hot_pixels: float | None = None
    refractory_us: int | None = None
    crop: tuple[int, int] | None = None
    size: tuple[int, int] | None = None
    resize: str = "sum"
    binary: bool = False
    log: bool = False
    voxels: bool = False

    def __post_init__(self) -> None:
        for name in ("crop", "size"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, mending.sensor_size(getattr(self, name), f"Framing: {name}"))
        steps = tuple(self.timesteps) if isinstance(self.timesteps, (list, tuple)) else (self.timesteps,)
        several = [whole("timesteps", number, 1) for number in steps] if len(steps) != 1 else [1]
        if not several or several != sorted(set(several)):
            raise ValueError(f"timesteps: expected one number or several, rising; received {self.timesteps!r}.")
        for number in steps:
            by, _, window = frames.checked(self.by, number, self.window_us)
        for name, value in (("by", by), ("timesteps", steps if steps[1:] else steps[0]), ("window_us", window)):
            object.__setattr__(self, name, value)
        for name in ("binary", "log", "voxels"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"Framing: {name} expected True or False, received {getattr(self, name)!r}.")
        if self.refractory_us is not None:
            whole("Framing: refractory_us", self.refractory_us, 1)
        if self.hot_pixels is not None and not (isinstance(self.hot_pixels, (int, float)) and self.hot_pixels >= 1):
            raise ValueError(
                f"Framing: hot_pixels expected a number of at least 1 or None, received {self.hot_pixels!r}."
            )
        if self.resize not in RESIZING:
            raise ValueError(f"Framing: resize expected 'sum' or 'area', received {self.resize!r}.")
        chosen = [name for name in ("binary", "log", "voxels") if getattr(self, name)]
        if len(chosen) > 1:
            raise ValueError(f"Framing: expected one of binary, log and voxels; received {' and '.join(chosen)}.")
        if self.voxels and self.by != "time":
            raise ValueError(f"Framing: voxels share events by time; received by={self.by!r}.")

    def to_dict(self) -> dict[str, Any]:
        """Gives the arguments as plain JSON values."""
        values = dataclasses.asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Framing:
        """Reads what `to_dict` gave; absent keys take their defaults, unknown ones are refused."""
        check_keys("Framing", values, (f.name for f in dataclasses.fields(cls)))
        return cls(**values)

    def counts(self, sensor_size: tuple[int, int]) -> bool:
        """Whether frames of this sensor hold whole numbers of events."""
        if self.log or self.voxels:
            return False
        before, after = self.crop or sensor_size, self.size
        return after is None or self.resize == "sum" or all(b % a == 0 for b, a in zip(before, after, strict=True))

    def shape(self, sensor_size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Shape of the frames of a recording of this sensor; ValueError where it does not follow from the settings."""
        if self.timesteps is None:
            raise ValueError("Framing: timesteps expected the number of frames, the same for all; received None.")
        before = self.crop or sensor_size
        for name, inner, outer in (("crop", self.crop, sensor_size), ("size", self.size, before)):
            if inner is not None and (inner[0] > outer[0] or inner[1] > outer[1]):
                raise ValueError(
                    f"Framing: {name} expected at most {tuple(outer)} pixels (height, width); received {inner}."
                )
        height, width = self.size or before
        return sum(self.steps), height, width, 1 if self.voxels else 2

    @property
    def steps(self) -> tuple[int, ...]:
        """Every T of which frames are made; empty where the recording's length decides."""
        if self.timesteps is None:
            return ()
        return self.timesteps if isinstance(self.timesteps, tuple) else (self.timesteps,)

    def frames(self, recording: Recording) -> Array:
        """A recording -> its frames: int32 counts, or float32 where they are no counts."""
        if self.hot_pixels is not None:
            recording = filters.remove_hot_pixels(recording, self.hot_pixels)
        if self.refractory_us is not None:
            recording = filters.refractory(recording, self.refractory_us)
        if self.crop is not None:
            recording = filters.crop(recording, self.crop)
        area = self.size is not None and self.resize == "area" and self.size != recording.sensor_size
        if self.size is not None and not area:
            recording = filters.resize(recording, self.size)
        made = np.concatenate([self._cut(recording, t) for t in self.steps or (None,)])
        if area:
            made = by_area(made, self.size)  # type: ignore[arg-type]
        if self.binary:
            return (made > 0).astype(np.int32)
        return np.log1p(made, dtype=np.float32) if self.log else made

    def _cut(self, recording: Recording, timesteps: int | None) -> Array:
        if self.voxels:
            return frames.voxel_grid(recording, timesteps or 1)
        return frames.to_frames(recording, timesteps, self.by, self.window_us)


def by_area(made: Array, size: tuple[int, int]) -> Array:
    """Shares each pixel of frames (time, height, width, channels) among the pixels of `size` that it covers; sums stay.

    Whole numbers stay whole, int32, where the sizes divide; else float32.
    """
    rows, columns = overlap(made.shape[1], size[0]), overlap(made.shape[2], size[1])
    shared = np.einsum("ih,thwc,jw->tijc", rows, made.astype(np.float64), columns, optimize=True)
    whole_numbers = made.dtype.kind == "i" and made.shape[1] % size[0] == 0 and made.shape[2] % size[1] == 0
    return np.rint(shared).astype(np.int32) if whole_numbers else shared.astype(np.float32)


def as_framing(
    framing: Framing | Mapping[str, Any] | None,
    timesteps: int | tuple[int, ...] | None,
    by: str | None,
    window_us: int | None,
    size: tuple[int, int] | None,
) -> Framing:
    """Reads the arguments of `kspike.data.load` that say how recordings are framed."""
    short: dict[str, Any] = {"timesteps": timesteps, "by": by, "window_us": window_us, "size": size}
    given = {name: value for name, value in short.items() if value is not None}
    if framing is None:
        if timesteps is None:
            raise ValueError("timesteps: expected the number of frames that each recording is cut into; received None.")
        if by is None:
            given["by"] = "time" if window_us is None else "window"
        return Framing(**given)
    if given:
        names = {"by": "frames", "size": "image_size"}
        listed = ", ".join(f"{names.get(name, name)}=" for name in given)
        raise ValueError(f"framing says all; received {listed} beside it: put them into it.")
    if isinstance(framing, Framing):
        return framing
    if isinstance(framing, Mapping):
        return Framing.from_dict(framing)
    raise ValueError(f"framing: expected a kspike.events.Framing, or its dict; received {framing!r}.")
