"""Frames: counts of events, (time, height, width, 2); channel 0 counts OFF events, channel 1 ON events."""

from __future__ import annotations

from typing import Any

import numpy as np

from kspike.data.arguments import whole
from kspike.data.events.recording import Recording, as_recording
from kspike.data.sources import Array

#: How a recording is cut into frames.
WAYS = ("time", "count", "window")
#: Pixels of all frames together: 16 GB of counts.
LARGEST = 1 << 31


def to_frames(
    recording: Any,
    timesteps: int | None = None,
    by: str | None = None,
    window_us: int | None = None,
    *,
    binary: bool = False,
    log: bool = False,
) -> Array:
    """Counts a recording's events in frames, int32 (timesteps, height, width, 2): OFF in channel 0, ON in channel 1.

    No event is lost, and counts are not normalised: what cannot be divided goes to the last frame, as SpikingJelly
    does, whose frames by time and by number these are.

        by="time":    frame = min((t - t[0]) // ((t[-1] - t[0]) // timesteps), timesteps - 1)
        by="count":   frame = min(i // (n // timesteps), timesteps - 1), i = 0 .. n-1
        by="window":  frame = (t - t[0]) // window_us, as many frames as there are; with `timesteps` that many, of
                      which the last takes all later events, and those that nothing falls into are empty

    ```python
    frames = kspike.events.to_frames(recording, timesteps=8, by="time")
    ```

    Args:
        recording: a `Recording`, a structured array, or a mapping of t, x, y and p.
        timesteps: number of frames; may be left out with `window_us`.
        by: "time", "count" or "window"; "window" where `window_us` is given, else "time".
        window_us: microseconds a frame.
        binary: 1 where there is an event, else 0.
        log: float32 log(1 + count): no counts, so that a first convolution multiplies.

    Raises:
        ValueError: fewer events, or microseconds, than frames; arguments that contradict each other.
    """
    recording = as_recording(recording)
    by, timesteps, window_us = checked(by, timesteps, window_us)
    if binary and log:
        raise ValueError("Expected binary=True or log=True, received both: the logarithm of 1 is one number more.")
    height, width = recording.sensor_size
    edges = borders(recording, by, timesteps, window_us).tolist()
    place = recording.y.astype(np.int64)
    place *= width
    place += recording.x
    place *= 2
    place += recording.p
    frames = np.empty((len(edges) - 1, height * width * 2), np.int32)
    for frame, first, last in zip(frames, edges[:-1], edges[1:], strict=True):
        frame[:] = np.bincount(place[first:last], minlength=frames.shape[1])
    frames = frames.reshape(-1, height, width, 2)
    if binary:
        return np.minimum(frames, 1)
    return np.log1p(frames, dtype=np.float32) if log else frames


def checked(by: str | None, timesteps: int | None, window_us: int | None) -> tuple[str, int | None, int | None]:
    """Reads the three arguments that say how a recording is cut; refuses what contradicts."""
    by = by or ("time" if window_us is None else "window")
    if by not in WAYS:
        raise ValueError(f"by: expected one of {', '.join(WAYS)}; received {by!r}.")
    if (by == "window") != (window_us is not None):
        raise ValueError(
            f"window_us: expected microseconds with by='window' alone; received {window_us!r} with by={by!r}."
        )
    if by != "window" and timesteps is None:
        raise ValueError(f"timesteps: expected the number of frames with by={by!r}, received None.")
    return (
        by,
        None if timesteps is None else whole("timesteps", timesteps, 1),
        None if window_us is None else whole("window_us", window_us, 1),
    )


def borders(recording: Recording, by: str, timesteps: int | None, window_us: int | None) -> Array:
    """Where each frame's events begin in the recording, and where the last one's end: int64 (frames + 1,), rising.

    Raises:
        ValueError: fewer events or microseconds than frames.
    """
    n, what = len(recording), recording.source or "the recording"
    if n == 0:
        raise ValueError(f"{what} holds no event to make frames of.")
    steps = timesteps or (1 if window_us is None else recording.duration // window_us + 1)
    if steps * recording.sensor_size[0] * recording.sensor_size[1] > LARGEST:
        raise ValueError(
            f"Expected frames of {what} that fit into memory; {steps:,} of {recording.sensor_size} pixels do not. "
            "Take a longer window_us, fewer timesteps, or a smaller sensor (kspike.events.resize)."
        )
    if window_us is not None:
        length = window_us
    else:
        if n < steps:
            raise ValueError(
                f"{what} holds {n:,} events, fewer than the {steps} frames asked for: take fewer timesteps."
            )
        if by == "count":
            return np.append(np.arange(steps) * (n // steps), n)
        length = recording.duration // steps
        if length == 0:
            raise ValueError(
                f"{what} lasts {recording.duration} microseconds, fewer than the {steps} frames asked for: cut it "
                "by='count'."
            )
    starts = np.searchsorted(recording.t, recording.t[0] + length * np.arange(steps))
    return np.append(starts, n)


def voxel_grid(recording: Any, bins: int) -> Array:
    """Shares each event between the two nearest of `bins` moments: float32 (bins, height, width, 1), ON minus OFF.

        t* = (bins - 1) (t - t[0]) / (t[-1] - t[0]);  value[b] += (2 p - 1) max(0, 1 - |b - t*|)

    Bilinear in time, as Zhu et al. (2019), "Unsupervised event-based learning of optical flow, depth and egomotion",
    equation 2. No counts: a first convolution multiplies.

    Args:
        recording: as `to_frames` takes it.
        bins: number of moments, at least 2.
    """
    recording = as_recording(recording)
    bins = whole("bins", bins, 2)
    if recording.duration == 0:
        raise ValueError(f"{recording.source or 'The recording'} lasts 0 microseconds: no moments lie in it.")
    height, width = recording.sensor_size
    moment = (bins - 1) * ((recording.t - recording.t[0]) / recording.duration)
    below = np.minimum(np.floor(moment).astype(np.int64), bins - 2)
    share, sign = moment - below, 2.0 * recording.p - 1.0
    pixel = recording.y.astype(np.int64) * width + recording.x
    grid = np.zeros(bins * height * width)
    for place, weight in ((below, 1.0 - share), (below + 1, share)):
        grid += np.bincount(place * (height * width) + pixel, sign * weight, len(grid))
    return grid.astype(np.float32).reshape(bins, height, width, 1)
