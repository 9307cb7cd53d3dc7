"""Frames for networks of several T: what a search hands to all of them, and which of it each T runs on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np

#: Where the frames of each T come from.
WAYS = ("recordings", "windows")


@dataclasses.dataclass(frozen=True)
class GivenFrames:
    """The frames of one recording that every network of a space is given, whatever its T.

    - "recordings": each T framed anew, the frames of all T behind one another, the smallest T first, as
      `kspike.data.load(timesteps=(2, 4, 8))` makes them. A network of T runs on its own T of them.
    - "windows": one framing at the largest T. A network of T runs on sums of so many frames next to each other; every T
      divides the largest.

    Batches have one shape for all networks, so that nothing is compiled again for another T.

    Args:
        way: "recordings" or "windows".
        choices: T, rising.
        image: (height, width, channels) of a frame.
    """

    way: str
    choices: tuple[int, ...]
    image: tuple[int, int, int]
    has_time = True

    def __post_init__(self) -> None:
        odd = [t for t in self.choices if self.choices[-1] % t]
        if self.way == "windows" and odd:
            raise ValueError(
                f"frames_from='windows' sums frames next to each other: every T must divide the largest, "
                f"{self.choices[-1]}; {', '.join(map(str, odd))} does not. Take other timesteps, or 'recordings'."
            )

    @property
    def number(self) -> int:
        """How many frames are given."""
        return sum(self.choices) if self.way == "recordings" else self.choices[-1]

    @property
    def timesteps(self) -> int | tuple[int, ...]:
        """As `kspike.data.load(timesteps=)` takes it."""
        return self.choices if self.way == "recordings" and len(self.choices) > 1 else self.choices[-1]

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """(frames, height, width, channels) of what is given."""
        return (self.number, *self.image)

    @property
    def bounds(self) -> Annotated[np.ndarray, "choices largest 2"]:
        """The first frame of every step, and the one after its last, int32; both 0 of steps that a T has not."""
        found = np.zeros((len(self.choices), self.choices[-1], 2), np.int32)
        for row, t in zip(found, self.choices, strict=True):
            start, each = self._first(t)
            row[:t, 0] = start + each * np.arange(t)
            row[:t, 1] = row[:t, 0] + each
        return found

    def of(self, given: Any, timesteps: int) -> Any:
        """Batches (images, frames, ...) of what is given -> the frames that a network of `timesteps` runs on.

        Args:
            given: an array or a tensor of whatever backend.
            timesteps: one of the choices.
        """
        start, each = self._first(timesteps)
        stop = start + each * timesteps
        parts = [given[:, start + i : stop : each] for i in range(each)]
        return sum(parts[1:], parts[0])

    def _first(self, timesteps: int) -> tuple[int, int]:
        """The first frame of a T, and how many frames make one of its steps."""
        if self.way == "windows":
            return 0, self.choices[-1] // timesteps
        return sum(t for t in self.choices if t < timesteps), 1


def given_frames(way: str | None, choices: Sequence[int] | None, image: Any) -> GivenFrames | None:
    """What a space says of its frames.

    Args:
        way: its `frames_from`.
        choices: of T; None where T is no gene, or images stand still.
        image: (height, width, channels).

    Raises:
        ValueError: T is a gene of frames and the space does not say where they are from, or the other way round.
    """
    if way is not None and way not in WAYS:
        raise ValueError(f"frames_from expects one of {', '.join(map(repr, WAYS))}, got {way!r}.")
    if choices is not None and way is None:
        raise ValueError(
            f"timesteps {list(choices)} is a gene, and the input has frames: say frames_from='recordings' (each T "
            "framed anew) or 'windows' (frames of the largest T, summed), or leave the gene out: T is then the number "
            "of frames."
        )
    if way is not None and choices is None:
        raise ValueError(
            f"frames_from={way!r} says how networks of several T see frames: it needs an input_shape (time, height, "
            "width, channels) and timesteps as a gene: leave it out."
        )
    return None if way is None or choices is None else GivenFrames(way, tuple(choices), tuple(image))
