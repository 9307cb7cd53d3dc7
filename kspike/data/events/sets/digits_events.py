"""digits_events: a SIMULATED event camera watches the package's 1,797 real 8x8 digits move in three saccades.

The way of N-MNIST (Orchard et al., 2015), without a camera: 16x16 pixels, the digit half as large again, three moves of
0.1 s along a triangle. For examples and tests; figures on it say nothing of a real camera.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from kspike.data import digits, partition
from kspike.data.events import frame_cache
from kspike.data.events.frame_cache import Sample
from kspike.data.events.framing import Framing
from kspike.data.events.packing import PackedFrames
from kspike.data.events.recording import Recording
from kspike.data.events.simulation import INTENSITY, Camera
from kspike.data.sources import Array, Images, Source

NAME = "digits_events"
CAMERA = Camera((16, 16), threshold=0.4)
#: Microseconds from picture to picture, and pictures a saccade.
STEP_US, STEPS = 10_000, 10
#: Corners of the triangle along which the digit moves, in pixels of the camera: (right, down).
CORNERS = ((-1.5, -1.0), (1.5, -1.0), (0.0, 1.5), (-1.5, -1.0))
#: Pixels of the camera for one of the digit; parts of one between which intensities are interpolated.
SCALE, PARTS = 1.5, 256


def source(framing: Framing, split: str | None = None) -> Source:
    """Describes the set; the digits that test and validate are those of "digits"."""
    if split not in (None, "as_digits"):
        raise ValueError(f"split: expected 'as_digits' for {NAME!r}; received {split!r}.")
    facts = digits.source()
    events = {
        "sensor_size": list(CAMERA.sensor_size), "framing": framing.to_dict(), "split": "as_digits",
        "polarities": ["ON minus OFF"] if framing.voxels else ["OFF", "ON"], "normalised": False,
        "counts": framing.counts(CAMERA.sensor_size), "simulated": True, "absent": "", "cut_us": None,
    }  # fmt: skip
    return Source(
        name=NAME,
        version="1 (simulated)",
        image_shape=framing.shape(CAMERA.sensor_size),
        class_names=facts.class_names,
        input_range=None,
        splits=("train",),
        read=partial(_read, framing),
        source=f"simulated from {facts.source}",
        license=facts.license,
        citation=f"{facts.citation} Seen by a simulated event camera (kspike.data.events.simulation).",
        mirrored=False,
        cut=_cut,
        events=events,
    )


@functools.cache
def recordings() -> tuple[tuple[Recording, ...], Array, Array]:
    """All recordings, simulated once a process (about a second), with labels and ids."""
    images, labels, ids = digits.source().read("train")
    found: list[Recording] = []
    for start in range(0, len(images), 256):
        chunk = slice(start, start + 256)
        keys = np.arange(start, start + len(images[chunk]))
        found += CAMERA.watch(_pictures(images[chunk, :, :, 0]), STEP_US, keys, f"{NAME} (simulated)")
    return tuple(found), labels, ids


def _read(framing: Framing, split: str) -> Images:
    found, labels, ids = recordings()
    pack = frame_cache.kept(None, NAME, "", partial(_samples, framing))
    shape = (len(found), *framing.shape(CAMERA.sensor_size))
    frames: Any = PackedFrames(shape, pack.offsets, pack.places, pack.values, found.__getitem__, framing, ids)
    return Images(frames, labels, ids)


def _samples(framing: Framing) -> Iterator[Sample]:
    found, labels, ids = recordings()
    for recording, label, name in zip(found, labels.tolist(), ids.tolist(), strict=True):
        yield Sample(framing.frames(recording), label, name, name)


def _cut(images: Images) -> dict[str, Array]:
    """As kspike.data.Dataset cuts "digits": the same digits test and validate, seen as pictures or as events."""
    rest, chosen = np.arange(len(images.ids)), {}
    for part, size in (("test", digits.TEST_SIZE), ("validation", digits.VALIDATION_SIZE)):
        taken, left = partition.choose(images.ids[rest], images.labels[rest], size, f"digits/{part}")
        chosen[part], rest = rest[taken], rest[left]
    return chosen


def _pictures(images: Array) -> Array:
    """Digits (n, 8, 8), 0 to 16 -> what the camera's pixels see, (time, n, 16, 16), 0 to INTENSITY."""
    height, width = CAMERA.sensor_size
    out = np.empty((len(_path()), len(images), height, width), np.int32)
    for k, (right, down) in enumerate(_path()):
        rows, columns = _weights(height, images.shape[1], down), _weights(width, images.shape[2], right)
        seen = np.einsum("ih,nhw,jw->nij", rows, images.astype(np.float64), columns, optimize=True)  # whole: exact
        out[k] = seen.astype(np.int64) * INTENSITY // (16 * PARTS * PARTS)
    return out


def _path() -> list[tuple[float, float]]:
    """Where the digit is at each picture: slow, fast, slow along each side of the triangle."""
    share = np.rint((1 - np.cos(np.pi * np.arange(STEPS) / STEPS)) / 2 * PARTS) / PARTS
    places = [
        (a[0] + (b[0] - a[0]) * s, a[1] + (b[1] - a[1]) * s)
        for a, b in zip(CORNERS[:-1], CORNERS[1:], strict=True)
        for s in share.tolist()
    ]
    return [*places, CORNERS[-1]]


def _weights(pixels: int, size: int, moved: float) -> Array:
    """(pixels, size) shares, in PARTS, that a pixel sees of each pixel of the digit, by linear interpolation."""
    at = (np.arange(pixels) - (pixels - 1) / 2 - moved) / SCALE + (size - 1) / 2
    part = np.rint(at * PARTS).astype(np.int64)
    return np.maximum(PARTS - np.abs(part[:, None] - PARTS * np.arange(size)), 0).astype(np.float64)
