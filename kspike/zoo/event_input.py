"""Turns recordings, or frames of them, into the input of an entry for event cameras, as its card says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from kspike.zoo.inputs import check_shape, to_numpy


def frames_of(values: Any, stated: Mapping[str, Any], name: str) -> np.ndarray:
    """Recordings, their files, or counts `(n, time, height, width, channels)` -> float32 frames of that shape.

    Args:
        values: one recording, structured array or path, a list of these, or an array of frames.
        stated: the card's input.
        name: of the entry, for messages.

    Raises:
        ValueError: another sensor or shape, too few events, NaN, negative or broken counts.
    """
    from kspike.data.events import as_recording
    from kspike.data.events.framing import Framing
    from kspike.data.events.reading import read_quietly

    events, shape = stated["events"], tuple(stated["shape"])
    size, framing = tuple(events["sensor_size"]), Framing.from_dict(events["framing"])
    given = values if isinstance(values, (list, tuple)) else [values]
    if not given or not all(_is_recording(one) for one in given):
        return _counts(values, shape, bool(events.get("counts")), name)
    made = np.zeros((len(given), *shape), np.float32)
    for row, one in zip(made, given, strict=True):
        found = read_quietly(one, size) if isinstance(one, (str, os.PathLike)) else as_recording(one, size)
        row[:] = framing.frames(found)
    return made


def _is_recording(value: Any) -> bool:
    from kspike.data.events.recording import Recording

    named = getattr(getattr(value, "dtype", None), "names", None)
    return isinstance(value, (Recording, str, os.PathLike, Mapping)) or bool(named)


def _counts(values: Any, shape: tuple[int, ...], counts: bool, name: str) -> np.ndarray:
    """Checks frames that were made already."""
    array = to_numpy(values)
    check_shape(array, shape, name)
    wrong = ~np.isfinite(array)
    if wrong.any():
        raise ValueError(f"Expected finite frames for {name}; received NaN or infinity at {_place(wrong)}.")
    wrong = (array < 0) | (array != np.floor(array))
    if counts and wrong.any():
        raise ValueError(
            f"Expected counts of events for {name}, whole numbers from 0 on; received {array[wrong][0]:g} at "
            f"{_place(wrong)}. Give the recordings, or their frames as kspike.events.to_frames makes them."
        )
    return array.astype(np.float32)


def _place(wrong: np.ndarray) -> str:
    return f"[{', '.join(str(int(axis[0])) for axis in np.nonzero(wrong))}]"
