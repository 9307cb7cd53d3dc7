"""Prophesee RAW (.raw): a header of text, then words of EVT2 or EVT3, as the header says.

https://docs.prophesee.ai/stable/data/encoding_formats: EVT2 has words of 32 bits, of which the upper four say what: 0
OFF, 1 ON (time's lower 6 bits in 22 to 27, x in 11 to 21, y in 0 to 10), 8 the upper 28 bits of time. EVT3 has words of
16 bits: 0 y, 2 one event (x, bit 11 polarity), 3 the first x of a group, 4 and 5 which of the next 12 or 8 pixels
fired, 6 and 8 the lower and the upper 12 bits of time.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from kspike.data.events.formats import prophesee
from kspike.data.events.formats.saccades import cut
from kspike.data.events.mending import Raw, unwrapped
from kspike.data.sources import Array


def read(path: Path) -> Raw:
    """A RAW file -> its events; EVT2.1 and EVT4 are refused by name."""
    content = path.read_bytes()
    start, text = prophesee.header(content)
    named = re.search(r"% (?:evt |format evt)(\d(?:\.\d)?)", text)
    version = named[1].removesuffix(".0") if named else None
    if version not in ("2", "3"):
        said = f"its header says EVT{version}" if version else "its header does not say which words it holds"
        hint = "convert it with Prophesee's software" if version else "say it by format='evt2' or 'evt3'"
        raise ValueError(f"{said}, and EVT2 and EVT3 are known: {hint}")
    decode = _evt2 if version == "2" else _evt3
    return decode(content, start)._replace(sensor_size=prophesee.sensor_size(text))


def read_evt2(path: Path) -> Raw:
    """A file of EVT2 words, with or without a header -> its events."""
    content = path.read_bytes()
    start, text = prophesee.header(content)
    return _evt2(content, start)._replace(sensor_size=prophesee.sensor_size(text))


def read_evt3(path: Path) -> Raw:
    """A file of EVT3 words, with or without a header -> its events."""
    content = path.read_bytes()
    start, text = prophesee.header(content)
    return _evt3(content, start)._replace(sensor_size=prophesee.sensor_size(text))


def _evt2(content: bytes, start: int) -> Raw:
    count, rest = divmod(len(content) - start, 4)
    words = np.frombuffer(content, "<u4", count, start)
    kind = words >> 28
    events = np.flatnonzero(kind <= 1)
    high = np.flatnonzero(kind == 8)
    upper = unwrapped((words[high] & 0x0FFFFFFF).astype(np.int64), 28)
    events, at, notes = _timed(events, high, cut(count, rest))
    found = words[events]
    t = (upper[at] << 6) | ((found >> 22) & 0x3F)
    return Raw(t, (found >> 11) & 0x7FF, found & 0x7FF, kind[events], None, "us", notes)


def _evt3(content: bytes, start: int) -> Raw:
    count, rest = divmod(len(content) - start, 2)
    words = np.frombuffer(content, "<u2", count, start)
    kind, value = words >> 12, words & 0xFFF
    single, groups = np.flatnonzero(kind == 2), np.flatnonzero((kind == 4) | (kind == 5))
    at, x, p = _members(kind, value, groups)
    at = np.concatenate([single, at])
    x = np.concatenate([(value[single] & 0x7FF).astype(np.int64), x])
    p = np.concatenate([value[single] >> 11, p])
    order = np.argsort(at, kind="stable")  # words in the order of the file, pixels of a group from left to right
    at, x, p = at[order], x[order], p[order]
    high = np.flatnonzero(kind == 8)
    known, lap, notes = _timed(at, high, cut(count, rest))
    kept = len(at) - len(known)
    at, x, p = known, x[kept:], p[kept:]
    upper = unwrapped(value[high].astype(np.int64), 12)
    low = _latest(kind == 6, at)
    # An upper half that has changed since the lower one was sent starts it at zero; a repeated one keeps it.
    fresh = np.concatenate([[True], upper[1:] != upper[:-1]]) if len(upper) else np.empty(0, bool)
    changed = high[np.maximum.accumulate(np.where(fresh, np.arange(len(high)), 0))] if len(high) else high
    lower = np.where(low > changed[lap], value[np.maximum(low, 0)], 0) if len(at) else np.empty(0, np.int64)
    rows = _latest(kind == 0, at)
    if len(rows) and rows[0] < 0:
        first = int(np.searchsorted(rows, 0))
        notes = (*notes, f"{first:,} event(s) before the first row is named were left out")
        x, p, lap, lower, rows = x[first:], p[first:], lap[first:], lower[first:], rows[first:]
    t = (upper[lap] << 12) | lower
    return Raw(t, x, value[rows] & 0x7FF, p, None, "us", notes)


def _members(kind: Array, value: Array, groups: Array) -> tuple[Array, Array, Array]:
    """Groups of pixels -> one entry a pixel that fired: the place of its word, its x, its polarity."""
    if not len(groups):
        return groups, groups, groups.astype(np.uint16)
    width = np.where(kind[groups] == 4, 12, 8)
    base = _latest(kind == 3, groups)
    if base[0] < 0:
        raise ValueError("a group of pixels stands before its first x")
    before = np.cumsum(width) - width  # pixels of all groups before this one
    first = np.searchsorted(groups, base)  # the first group after the base
    left = (value[base] & 0x7FF).astype(np.int64) + before - before[first]
    fired = np.unpackbits(value[groups].astype("<u2").view(np.uint8).reshape(-1, 2), axis=1, bitorder="little")
    fired &= np.arange(16) < width[:, None]
    group, bit = np.nonzero(fired)
    return groups[group], left[group] + bit, (value[base] >> 11)[group]


def _latest(marked: Array, at: Array) -> Array:
    """For each place the latest marked place before it; -1 where there is none."""
    places = np.flatnonzero(marked)
    index = np.searchsorted(places, at) - 1
    return np.where(index >= 0, places[index] if len(places) else -1, -1)


def _timed(at: Array, high: Array, notes: tuple[str, ...]) -> tuple[Array, Array, tuple[str, ...]]:
    """Events after the first time, and the number of the time that each follows."""
    if not len(high):
        if len(at):
            raise ValueError("no word of it says a time")
        return at, at, notes
    lost = int(np.searchsorted(at, high[0]))
    if lost:
        notes = (*notes, f"{lost:,} event(s) before the first time were left out")
        at = at[lost:]
    return at, np.searchsorted(high, at) - 1, notes
