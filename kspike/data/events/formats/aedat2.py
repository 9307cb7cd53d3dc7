"""AEDAT 2.0, as jAER writes it: lines of text that begin with #, then big-endian pairs of address and microseconds.

Addresses of a DVS128: bit 0 is 1 for OFF, x in bits 1 to 7, y in bits 8 to 14, bit 15 marks what is no event. Of a
DAVIS240: bit 31 marks what is no event of brightness, y in bits 22 to 30, x in bits 12 to 21, bit 11 is 1 for ON, bit
10 marks what is no event of a pixel. Rows are as the file counts them: jAER's own count from the bottom.
"""

from __future__ import annotations

import re

import numpy as np

from kspike.data.events.formats.saccades import cut
from kspike.data.events.mending import Raw, unwrapped

BYTES = 8
SENSORS = {"dvs128": (128, 128), "davis240": (180, 240)}
_TEXT = re.compile(rb"#[\t\r\x20-\xff]*\n")


def read(content: bytes, camera: str | None = None) -> Raw:
    """An AEDAT 2.0 file -> its brightness events.

    Args:
        camera: "dvs128" or "davis240"; by default what the header names, else a DVS128.
    """
    if camera is not None and camera not in SENSORS:
        raise ValueError(f"camera: expected one of {', '.join(SENSORS)}; received {camera!r}")
    header = _header(content)
    text = header.decode("ascii", "replace").lower()
    named = next((name for name in ("davis240", "dvs128") if name in text), None)
    camera = camera or named or "dvs128"
    count, rest = divmod(len(content) - len(header), BYTES)
    pairs = np.frombuffer(content, ">u4", 2 * count, len(header)).astype(np.uint32)
    address, t = pairs[0::2], unwrapped(pairs[1::2].astype(np.int64), 32)
    tick = re.search(r"timestamps? tick is ([0-9.]+) ?us", text)
    if tick and float(tick[1]) != 1.0:
        t = np.rint(t * float(tick[1])).astype(np.int64)
    if camera == "dvs128":
        if (address >> 16).any():
            raise ValueError(
                f"address {address[address >> 16 > 0][0]:#x} is no DVS128's, and the header names no camera; "
                "say it by camera='davis240'"
            )
        kept = (address & 0x8000) == 0
        x, y, p = (address >> 1) & 0x7F, (address >> 8) & 0x7F, 1 - (address & 1)
    else:
        kept = (address & 0x80000400) == 0
        x, y, p = (address >> 12) & 0x3FF, (address >> 22) & 0x1FF, (address >> 11) & 1
    if not kept.all():
        t, x, y, p = t[kept], x[kept], y[kept], p[kept]
    return Raw(t, x, y, p, SENSORS[camera], "us", cut(count, rest))


def _header(content: bytes) -> bytes:
    """The lines of text at the start; an address whose first byte is # is no line of text."""
    end = 0
    while (line := _TEXT.match(content, end)) and not re.search(rb"[\x00-\x08\x0e-\x1f\x7f-\xff]", line[0].rstrip()):
        end = line.end()
    return content[:end]
