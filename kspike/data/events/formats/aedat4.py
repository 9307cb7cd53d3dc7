"""AEDAT 4.0, as DV writes it: compressed flatbuffers, read by the package `aedat` (MIT) of the extra `events`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kspike.data.events.mending import NOTHING, Raw


def read(path: Path) -> Raw:
    """An AEDAT 4.0 file -> the events of its one stream of events.

    Raises:
        ImportError: without the package `aedat`.
    """
    try:
        import aedat
    except ImportError:
        raise ImportError(
            f"{path} is AEDAT 4.0, which the package aedat reads: pip install 'kspike[events]'.", name="aedat"
        ) from None
    pieces: list[Any] = []
    notes: tuple[str, ...] = ()
    try:
        decoder = aedat.Decoder(str(path))
        streams = {key: one for key, one in decoder.id_to_stream().items() if one.get("type") == "events"}
    except BaseException as error:
        raise _damaged(error) from None
    if len(streams) != 1:
        raise ValueError(f"expected one stream of events, received {len(streams)}")
    ((stream, said),) = streams.items()
    try:
        for packet in decoder:
            if packet.get("stream_id", stream) == stream and "events" in packet:
                pieces.append(packet["events"])
    except BaseException as error:
        damaged = _damaged(error)
        if not pieces:
            raise damaged from None
        notes = (f"the file was read to its last whole packet ({damaged})",)
    if not pieces:
        return NOTHING._replace(notes=notes)
    events = np.concatenate(pieces)
    size = (int(said["height"]), int(said["width"])) if said.get("height") and said.get("width") else None
    on = "on" if "on" in (events.dtype.names or ()) else "p"
    return Raw(events["t"], events["x"], events["y"], events[on], size, "us", notes)


def _damaged(error: BaseException) -> ValueError:
    """What the package raised of a damaged file, as ours: RuntimeError, or a panic, which is no Exception."""
    if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
        raise error
    return ValueError(f"it is damaged or cut: {str(error)[:200]}")
