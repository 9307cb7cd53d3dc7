"""Prophesee DAT (.dat): after the header two bytes, type and size, then little-endian pairs of time and place.

A place has x in bits 0 to 13, y in bits 14 to 27, polarity in bit 28 (version 2).
"""

from __future__ import annotations

import numpy as np

from kspike.data.events.formats import prophesee
from kspike.data.events.formats.saccades import cut
from kspike.data.events.mending import Raw, unwrapped

#: Kinds of events that have a pixel and a polarity: 2D and CD.
KINDS, BYTES = (0, 12), 8


def read(content: bytes) -> Raw:
    """A DAT file of version 2 -> its events."""
    start, text = prophesee.header(content)
    if "% version 1" in text:
        raise ValueError("it is of version 1, and version 2 is known: convert it with Prophesee's software")
    if len(content) < start + 2:
        raise ValueError("it ends with its header")
    kind, size = content[start : start + 2]
    if kind not in KINDS or size != BYTES:
        raise ValueError(f"expected events of type {KINDS[1]} and {BYTES} bytes, received type {kind} and {size} bytes")
    start += 2
    count, rest = divmod(len(content) - start, BYTES)
    pairs = np.frombuffer(content, "<u4", 2 * count, start)
    t, place = unwrapped(pairs[0::2].astype(np.int64), 32), pairs[1::2]
    found = place & 0x3FFF, (place >> 14) & 0x3FFF, (place >> 28) & 1
    return Raw(t, *found, prophesee.sensor_size(text), "us", cut(count, rest))
