"""Reads one file of events, of whatever format: told by its first bytes, then by its name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from kspike._files import expanded, opened_plain
from kspike._messages import warn
from kspike.data.events import mending
from kspike.data.events.formats import FORMATS, Format
from kspike.data.events.mending import Raw
from kspike.data.events.recording import Recording

#: Bytes at the start of a file by which its format is told; a smaller file is read whole at once.
START = 1 << 16


def formats() -> tuple[str, ...]:
    """Names of the formats that `read` knows, as its `format=` takes them."""
    return tuple(FORMATS)


def suffixes() -> tuple[str, ...]:
    """The ends of names that `read` knows, in small letters: ".bin", ".aedat", ..."""
    return tuple(dict.fromkeys(suffix for one in FORMATS.values() for suffix in one.suffixes))


def read(
    path: str | os.PathLike[str],
    sensor_size: tuple[int, int] | None = None,
    *,
    format: str | None = None,
    time_unit: str | None = None,
    order: str | None = None,
    camera: str | None = None,
) -> Recording:
    """A file of events -> a `Recording`; what had to be mended is said in one warning.

    ```python
    recording = kspike.events.read("Train/0/00002.bin", sensor_size=(34, 34))
    ```

    Args:
        path: .bin (N-MNIST, N-Caltech101), .aedat (AEDAT 2.0 and 3.1), .aedat4, .npy, .npz, .h5, .hdf5, .raw (EVT2,
            EVT3) or .dat. The content decides where it says what it is.
        sensor_size: (height, width), where the file does not say it; another than the file's own is refused.
        format: one of `formats()`, for a file whose name and content do not tell.
        time_unit: "us", "ms", "s" or "ns", of .npy, .npz and HDF5 files.
        order: "txyp", "xytp" or another order of the four columns of a plain .npy or .npz array, where they do not
            tell.
        camera: "dvs128" or "davis240": whose addresses an AEDAT 2.0 file holds, where it does not say.

    Raises:
        ValueError: no such file, an unknown format, damaged content, no event in it, or events that cannot be.
        ImportError: .aedat4 without the extra `events`.
    """
    recording = read_quietly(path, sensor_size, format=format, time_unit=time_unit, order=order, camera=camera)
    if recording.notes:
        warn(f"{recording.source}: {'; '.join(recording.notes)}.")
    return recording


def read_quietly(
    path: str | os.PathLike[str],
    sensor_size: tuple[int, int] | None = None,
    format: str | None = None,
    **options: Any,
) -> Recording:
    """As `read`; what was mended stands in the recording's `notes` alone."""
    if not isinstance(path, Path) or str(path).startswith("~"):
        path = expanded(path)
    size = None if sensor_size is None else mending.sensor_size(sensor_size)
    start = _start(path)
    chosen = _chosen(path, format, start)
    given = {name: value for name, value in options.items() if value is not None}
    strange = sorted(set(given) - set(chosen.options))
    if strange:
        takes = f"takes {', '.join(f'{name}=' for name in chosen.options)}" if chosen.options else "takes none of them"
        raise ValueError(f"{path} is {chosen.name}, which {takes}; received {', '.join(f'{s}=' for s in strange)}.")
    try:
        raw: Raw = chosen.read(path if chosen.by_path else _content(path, start), **given)
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as {chosen.name}: {error}") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}.") from None
    if not len(raw.t):
        raise ValueError(f"{path}, read as {chosen.name}, holds no event.")
    if size is not None and raw.sensor_size is not None and size != tuple(raw.sensor_size):
        raise ValueError(
            f"{path} says that its sensor has {tuple(raw.sensor_size)} pixels (height, width); received "
            f"sensor_size={size}. "
            "Leave it out, and crop or resize what was read."
        )
    return Recording.quiet(raw._replace(sensor_size=raw.sensor_size or size), str(path))


def _start(path: Path) -> bytes:
    """The first bytes of a file: all of a small one, so that it is opened once."""
    try:
        with opened_plain(path) as file:
            start = file.read(START)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}.") from None
    if not start:
        raise ValueError(f"{path} is empty.")
    return start


def _content(path: Path, start: bytes) -> bytes:
    return start if len(start) < START else path.read_bytes()


def _chosen(path: Path, wanted: str | None, start: bytes) -> Format:
    known = ", ".join(FORMATS)
    if wanted is not None:
        if wanted not in FORMATS:
            raise ValueError(f"format: expected one of {known}; received {wanted!r}.")
        return FORMATS[wanted]
    suffix = path.suffix.lower()
    for one in FORMATS.values():
        if start.startswith(one.starts) and (not one.by_suffix or suffix in one.suffixes):
            return one
    for one in FORMATS.values():
        if suffix in one.suffixes and not one.starts:
            return one
    if start.startswith(b"#!AER-DAT"):
        version = start[9:12].decode("ascii", "replace")
        raise ValueError(
            f"{path} is AEDAT {version}; known are 2.0, 3.1 and 4.0. Convert it with the camera's software."
        )
    raise ValueError(
        f"{path} is of no known format: neither its first bytes nor its name tell. Known: {', '.join(suffixes())}; or "
        f"say it by format=, one of {known}."
    )
