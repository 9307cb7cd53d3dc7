"""Augments event recordings, or their frames: settings of small random changes, which can be written as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from kspike._registry import check_keys
from kspike.data.events.recording import Recording
from kspike.data.sources import Array


class Change(NamedTuple):
    """What is done to one recording: drawn once, applied to its events or to its frames.

    down, right: moves as shares of height and width. mirrored: whether left and right change sides. cut, area:
    rectangles (top, left, height, width) in shares, which are emptied; None for none. start, length: of the time that
    is emptied, in shares. rate: share of events that are dropped at random.
    """

    down: float
    right: float
    mirrored: bool
    cut: tuple[float, float, float, float] | None
    area: tuple[float, float, float, float] | None
    start: float
    length: float
    rate: float


@dataclass(frozen=True)
class EventAugmentation:
    """Changes events in a fixed order: mirror, shift, cut out, drop by area, by time and at random. All is off by
    default.

    The changes of a recording depend on the seed, the epoch and its position in the epoch alone, on every backend.

    Args:
        flip: probability of a left-right mirror; refused where a mirror changes the class (digits, gestures).
        shift: largest move, as a share of height and of width; what leaves the sensor is gone.
        cutout: probability that one rectangle is emptied, over all of the time.
        cutout_area: smallest and largest share of the sensor that it covers.
        drop_area: largest side of another rectangle that is emptied, as a share of height and width.
        drop_time: largest share of the time that is emptied, at one stretch. Of frames, those whose middle lies in it.
        drop_events: largest share of events that are dropped at random.
            (The three ways of EventDrop, Gu et al., 2021, each with a share drawn evenly from 0 to the largest.)
        before_framing: changes events and frames them anew, where False changes frames. Exact for by="count", where a
            dropped event moves the borders of frames; recordings are read again in every epoch.
    """

    flip: float = 0.0
    shift: float = 0.0
    cutout: float = 0.0
    cutout_area: tuple[float, float] = (0.02, 0.2)
    drop_area: float = 0.0
    drop_time: float = 0.0
    drop_events: float = 0.0
    before_framing: bool = False

    #: As of kspike.data.Augmentation, which blends images: frames are never mixed.
    mixes = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "cutout_area", tuple(float(a) for a in self.cutout_area))
        for name in ("flip", "cutout"):
            _check(0 <= getattr(self, name) <= 1, name, "a probability in 0..1", getattr(self, name))
        _check(0 <= self.shift < 0.5, "shift", "a share of the sensor in 0..0.5", self.shift)
        for name in ("drop_area", "drop_time", "drop_events"):
            _check(0 <= getattr(self, name) < 1, name, "a share from 0 to below 1", getattr(self, name))
        area = self.cutout_area
        _check(len(area) == 2 and 0 < area[0] <= area[1] <= 1, "cutout_area", "two shares, 0 < low <= high <= 1", area)
        _check(isinstance(self.before_framing, bool), "before_framing", "True or False", self.before_framing)

    def to_dict(self) -> dict[str, Any]:
        """Gives the arguments as plain JSON values."""
        values = dataclasses.asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> EventAugmentation:
        """Reads what `to_dict` gave; absent keys take their defaults, unknown ones are refused."""
        check_keys("EventAugmentation", values, (f.name for f in dataclasses.fields(cls)))
        return cls(**values)

    def draw(self, rng: np.random.Generator) -> Change:
        """Draws the changes of one recording: always as many numbers, so that settings do not move one another."""
        u = rng.random(16).tolist()
        share = self.cutout_area[0] + u[4] * (self.cutout_area[1] - self.cutout_area[0])
        # A rectangle of that area, from half to twice as high as wide.
        ratio = 2.0 ** (2 * u[5] - 1)
        cut = _rectangle(min(1.0, (share * ratio) ** 0.5), min(1.0, (share / ratio) ** 0.5), u[6], u[7])
        side = u[8] * self.drop_area
        length = u[11] * self.drop_time
        return Change(
            down=(2 * u[0] - 1) * self.shift,
            right=(2 * u[1] - 1) * self.shift,
            mirrored=u[2] < self.flip,
            cut=cut if u[3] < self.cutout else None,
            area=_rectangle(side, side, u[9], u[10]) if side else None,
            start=u[12] * (1 - length),
            length=length,
            rate=u[13] * self.drop_events,
        )

    def of_events(self, recording: Recording, rng: np.random.Generator) -> Recording:
        """Changes the events of a recording; the one that is given stays as it was."""
        change = self.draw(rng)
        height, width = recording.sensor_size
        x, y = recording.x.astype(np.int32), recording.y.astype(np.int32)
        if change.mirrored:
            x = width - 1 - x
        out = recording.moved(x + round(change.right * width), y + round(change.down * height))
        kept = np.ones(len(out), bool)
        for rectangle in (change.cut, change.area):
            if rectangle is not None:
                rows, columns = _pixels(rectangle, height, width)
                kept &= ~(
                    (out.y >= rows.start) & (out.y < rows.stop) & (out.x >= columns.start) & (out.x < columns.stop)
                )
        if change.length and recording.duration:
            share = (out.t - recording.t[0]) / recording.duration
            kept &= (share < change.start) | (share >= change.start + change.length)
        if change.rate:
            kept &= rng.random(len(out)) >= change.rate
        return out if kept.all() else out.chosen(kept)

    def of_frames(self, frames: Array, rng: np.random.Generator, steps: Sequence[int] | None = None) -> Array:
        """Changes the frames (timesteps, height, width, channels) of one recording; those given stay as they were.

        `steps` says how many frames each of several framings behind one another has; the same change is made to all.
        """
        change = self.draw(rng)
        height, width = frames.shape[1:3]
        if change.mirrored:
            frames = frames[:, :, ::-1]
        frames = _shifted(frames, round(change.down * height), round(change.right * width))
        for rectangle in (change.cut, change.area):
            if rectangle is not None:
                frames[(slice(None), *_pixels(rectangle, height, width))] = 0
        if change.length:
            middle = np.concatenate([(np.arange(t) + 0.5) / t for t in steps or frames.shape[:1]])
            frames[(middle >= change.start) & (middle < change.start + change.length)] = 0
        if change.rate:
            places = np.flatnonzero(frames)
            plain = frames.reshape(-1)
            found = plain[places]
            if (found == np.floor(found)).all() and (found > 0).all():
                plain[places] = rng.binomial(found.astype(np.int64), 1 - change.rate)
            else:
                plain[places] = np.where(rng.random(len(places)) < change.rate, 0, found)
        return frames

    # As kspike.data.Augmentation is called by a split.

    def change_raw(
        self,
        images: Array,
        mean: Array,
        top: Any,
        rng: np.random.Generator,
        black: Any = None,
        steps: Sequence[int] | None = None,
    ) -> Array:
        """Changes a batch of frames; events that were changed before framing are left as they are."""
        if self.before_framing or self == UNCHANGED:
            return images
        return np.stack([self.of_frames(one, rng, steps) for one in images])

    def change_normalized(
        self, images: Array, labels: Array, epoch: int, rng: np.random.Generator, mean: Any = 0.0
    ) -> tuple[Array, Array]:
        """Leaves frames and labels as they are: nothing is changed after framing."""
        return images, labels


def _rectangle(tall: float, wide: float, down: float, right: float) -> tuple[float, float, float, float]:
    return (1 - tall) * down, (1 - wide) * right, tall, wide


def _pixels(rectangle: tuple[float, float, float, float], height: int, width: int) -> tuple[slice, slice]:
    top, left, tall, wide = rectangle
    first, before = round(top * height), round(left * width)
    return slice(first, first + max(1, round(tall * height))), slice(before, before + max(1, round(wide * width)))


def _shifted(frames: Array, down: int, right: int) -> Array:
    """A copy of frames, moved; zero where nothing comes from."""
    out = np.zeros_like(frames)
    height, width = frames.shape[1:3]
    to = slice(max(down, 0), height + min(down, 0)), slice(max(right, 0), width + min(right, 0))
    source = slice(max(-down, 0), height + min(-down, 0)), slice(max(-right, 0), width + min(-right, 0))
    out[:, to[0], to[1]] = frames[:, source[0], source[1]]
    return out


def _check(right: bool, name: str, expected: str, received: Any) -> None:
    if not right:
        raise ValueError(f"EventAugmentation: {name} expected {expected}, received {received!r}.")


#: Nothing is changed.
UNCHANGED = EventAugmentation()
