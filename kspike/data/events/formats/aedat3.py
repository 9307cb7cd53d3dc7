"""AEDAT 3.1: a header of text, then packets, each with 28 bytes that say what and how many events follow.

An event of polarity is a little-endian pair: a word of bit 0 (valid), bit 1 (ON), y in bits 2 to 16, x in bits 17 to
31; and a signed time in microseconds, above which the packet's own overflow counts units of 2**31. Packets of other
types (special events, frames, inertial sensors) are passed over.
"""

from __future__ import annotations

import re
import struct

import numpy as np

from kspike.data.events.mending import NOTHING, Raw

_END = b"#!END-HEADER\r\n"
_PACKET = struct.Struct("<hhiiiiii")  # type, source, size, time's offset, overflow, capacity, number, valid
POLARITY, BYTES = 1, 8
#: (height, width) of cameras, by the start of the name in "#Source 1: NAME".
SENSORS = {
    "dvs128": (128, 128),
    "davis128": (128, 128),
    "davis240": (180, 240),
    "davis346": (260, 346),
    "davis640": (480, 640),
}


def read(content: bytes) -> Raw:
    """An AEDAT 3.1 file -> its valid polarity events."""
    start = content.find(_END) + len(_END)
    if start < len(_END):
        raise ValueError(f"its header has no end, the line {_END.strip().decode()}")
    notes: list[str] = []
    pieces, overflows = _packets(content, start, notes)
    if not pieces:
        return NOTHING._replace(notes=tuple(notes))
    words = np.concatenate(pieces)
    data, t = words[0::2], words[1::2].view(np.int32).astype(np.int64)
    if any(overflows):
        t += np.repeat(np.array(overflows, np.int64) << 31, [len(piece) // 2 for piece in pieces])
    valid = (data & 1) == 1
    if not valid.all():
        notes.append(f"{int((~valid).sum()):,} event(s) that the file marks as invalid were left out")
        data, t = data[valid], t[valid]
    header = content[:start].decode("ascii", "replace").lower()
    named = re.search(r"#\s*source\s+\d+:\s*(\w+)", header)
    size = next((SENSORS[name] for name in SENSORS if named and named[1].startswith(name)), None)
    return Raw(t, data >> 17, (data >> 2) & 0x7FFF, (data >> 1) & 1, size, "us", tuple(notes))


def _packets(content: bytes, at: int, notes: list[str]) -> tuple[list[np.ndarray], list[int]]:
    """The words of each packet of polarity events, and its overflow."""
    pieces: list[np.ndarray] = []
    overflows: list[int] = []
    end = len(content)
    while at + _PACKET.size <= end:
        kind, _, size, _, overflow, capacity, number, _ = _PACKET.unpack_from(content, at)
        if size <= 0 or not 0 <= number <= capacity or (kind == POLARITY and size != BYTES) or overflow < 0:
            raise ValueError(
                f"the packet at byte {at:,} says that it holds {number} of {capacity} events of {size} bytes"
            )
        at += _PACKET.size
        if kind == POLARITY and number:
            whole = min(number, (end - at) // BYTES)
            pieces.append(np.frombuffer(content, "<u4", 2 * whole, at))
            overflows.append(overflow)
        at += capacity * size
    if at != end:
        notes.append("the file ends inside a packet and was read to its last whole event")
    return pieces, overflows
