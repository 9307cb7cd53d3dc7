"""Chooses and moves events of a recording: crop, resize, hot pixels, refractory time; nothing given is changed."""

from __future__ import annotations

import numpy as np

from kspike.data.arguments import whole
from kspike.data.events import mending
from kspike.data.events.recording import Recording


def crop(recording: Recording, size: tuple[int, int], corner: tuple[int, int] | None = None) -> Recording:
    """Keeps the events of one rectangle, and counts its pixels from 0.

    Args:
        recording: any.
        size: (height, width) of the rectangle.
        corner: (row, column) of its first pixel; around the centre by default.
    """
    height, width = mending.sensor_size(size, "size")
    tall, wide = recording.sensor_size
    top, left = corner if corner is not None else ((tall - height) // 2, (wide - width) // 2)
    if not (0 <= top <= tall - height and 0 <= left <= wide - width):
        raise ValueError(
            f"crop: expected a rectangle inside the sensor of {recording.sensor_size} pixels; received size "
            f"{(height, width)} "
            f"at {(top, left)}."
        )
    x, y = recording.x.astype(np.int32) - left, recording.y.astype(np.int32) - top
    return recording.moved(x, y, size=(height, width))


def resize(recording: Recording, size: tuple[int, int]) -> Recording:
    """Sums pixels to a smaller sensor: every event is kept, at the pixel of `size` in which its own begins.

    column = x * width // old width, row likewise: frames of the result hold the sums of the frames of the original.
    """
    height, width = mending.sensor_size(size, "size")
    tall, wide = recording.sensor_size
    if height > tall or width > wide:
        raise ValueError(f"resize: expected a size up to the sensor's, {(tall, wide)}; received {(height, width)}.")
    x, y = recording.x.astype(np.int64) * width // wide, recording.y.astype(np.int64) * height // tall
    return recording.moved(x, y, size=(height, width))


def remove_hot_pixels(recording: Recording, factor: float = 10.0) -> Recording:
    """Removes the events of pixels that fire more than `factor` times as often as the 99th percentile of active pixels.

    A defect pixel fires whatever is before it; a rate far above the busiest hundredth of the others tells it.
    """
    if not isinstance(factor, (int, float)) or not factor >= 1:
        raise ValueError(f"factor: expected a number of at least 1, received {factor!r}.")
    height, width = recording.sensor_size
    pixel = recording.y.astype(np.int64) * width + recording.x
    counts = np.bincount(pixel, minlength=height * width)
    active = counts[counts > 0]
    if not len(active):
        return recording
    limit = factor * max(float(np.percentile(active, 99)), 1.0)
    hot = counts > limit
    return recording.chosen(~hot[pixel]) if hot.any() else recording


def refractory(recording: Recording, period_us: int) -> Recording:
    """Drops the events of a pixel within `period_us` of the last of its events that was kept."""
    period = whole("period_us", period_us, 1)
    if not len(recording):
        return recording
    pixel = recording.y.astype(np.int64) * recording.sensor_size[1] + recording.x
    order = np.argsort(pixel, kind="stable")
    pixel, first = pixel[order], np.flatnonzero(np.diff(pixel[order], prepend=-1))
    last = np.append(first[1:], len(order))
    # One rising number for pixel and time: where a pixel is ready again is then found for all pixels at once.
    key = pixel * (recording.duration + period + 1) + (recording.t[order] - recording.t[0])
    kept = np.zeros(len(order), bool)
    while len(first):
        kept[order[first]] = True
        ready = np.searchsorted(key, key[first] + period)
        on = ready < last
        first, last = ready[on], last[on]
    return recording.chosen(kept)
