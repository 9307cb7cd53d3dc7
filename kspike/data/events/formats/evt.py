"""Prophesee RAW (.raw): a header of text, then words of EVT2 or EVT3, as the header says.

https://docs.prophesee.ai/stable/data/encoding_formats: EVT2 has words of 32 bits, of which the upper four say what: 0
OFF, 1 ON (time's lower 6 bits in 22 to 27, x in 11 to 21, y in 0 to 10), 8 the upper 28 bits of time. EVT3 has words of
16 bits: 0 y, 2 one event (x, bit 11 polarity), 3 the first x of a group, 4 and 5 which of the next 12 or 8 pixels
fired, 6 and 8 the lower and the upper 12 bits of time.
"""

from __future__ import annotations

import re

import numpy as np

from kspike.data.events.formats import prophesee
from kspike.data.events.formats.saccades import cut
from kspike.data.events.mending import Raw, unwrapped
from kspike.data.sources import Array


def read(content: bytes) -> Raw:
    """A RAW file -> its events; EVT2.1 and EVT4 are refused by name."""
    start, text = prophesee.header(content)
    named = re.search(r"% (?:evt |format evt)(\d(?:\.\d)?)", text)
    version = named[1].removesuffix(".0") if named else None
    if version not in ("2", "3"):
        said = f"its header says EVT{version}" if version else "its header does not say which words it holds"
        hint = "convert it with Prophesee's software" if version else "say it by format='evt2' or 'evt3'"
        raise ValueError(f"{said}, and EVT2 and EVT3 are known: {hint}")
    decode = _evt2 if version == "2" else _evt3
    return decode(content, start)._replace(sensor_size=prophesee.sensor_size(text))


def read_evt2(content: bytes) -> Raw:
    """A file of EVT2 words, with or without a header -> its events."""
    start, text = prophesee.header(content)
    return _evt2(content, start)._replace(sensor_size=prophesee.sensor_size(text))


def read_evt3(content: bytes) -> Raw:
    """A file of EVT3 words, with or without a header -> its events."""
    start, text = prophesee.header(content)
    return _evt3(content, start)._replace(sensor_size=prophesee.sensor_size(text))


def _evt2(content: bytes, start: int) -> Raw:
    count, rest = divmod(len(content) - start, 4)
    words = np.frombuffer(content, "<u4", count, start)
    kind = (words >> 28).astype(np.uint8)
    upper = unwrapped((words[kind == 8] & 0x0FFFFFFF).astype(np.int64), 28)
    events, lap, notes = _timed(np.flatnonzero(kind <= 1), kind == 8, cut(count, rest))
    found = words[events]
    t = (upper[lap] << 6) | ((found >> 22) & 0x3F)
    return Raw(t, (found >> 11) & 0x7FF, found & 0x7FF, kind[events], None, "us", notes)


def _evt3(content: bytes, start: int) -> Raw:
    count, rest = divmod(len(content) - start, 2)
    words = np.frombuffer(content, "<u2", count, start)
    kind, value = (words >> 12).astype(np.uint8), words & 0xFFF
    at, x, p = _pixels(kind, value)
    known, lap, notes = _timed(at, kind == 8, cut(count, rest))
    rows = _latest(kind == 0, known)
    unplaced = int(np.searchsorted(rows, 0))
    if unplaced:
        notes = (*notes, f"{unplaced:,} event(s) before the first row is named were left out")
    kept = len(at) - len(known) + unplaced
    at, x, p, lap, rows = at[kept:], x[kept:], p[kept:], lap[unplaced:], rows[unplaced:]
    high = np.flatnonzero(kind == 8)
    upper = unwrapped(value[high].astype(np.int64), 12)
    # An upper half that has changed since the lower one was sent starts it at zero; a repeated one keeps it.
    fresh = np.diff(upper, prepend=-1) != 0
    changed = high[np.maximum.accumulate(np.where(fresh, np.arange(len(high)), 0))]
    low = _latest(kind == 6, at)
    lower = np.where(low > changed[lap], value[low], 0)
    t = (upper[lap] << 12) | lower
    return Raw(t, x, value[rows] & 0x7FF, p, None, "us", notes)


def _pixels(kind: Array, value: Array) -> tuple[Array, Array, Array]:
    """Single events and those of groups, in the order of the file: the place of the word, x and polarity of each."""
    single, groups = np.flatnonzero(kind == 2), np.flatnonzero((kind == 4) | (kind == 5))
    at, x, p = single, value[single] & 0x7FF, value[single] >> 11
    if not len(groups):
        return at, x, p
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
    at = np.concatenate([at, groups[group]])
    order = np.argsort(at, kind="stable")  # and pixels of a group from left to right
    x = np.concatenate([x.astype(np.int64), left[group] + bit])
    p = np.concatenate([p, (value[base] >> 11)[group]])
    return at[order], x[order], p[order]


def _latest(marked: Array, at: Array) -> Array:
    """For each place the latest marked place before it; -1 where there is none."""
    places = np.flatnonzero(marked)
    if not len(places):
        return np.full(len(at), -1)
    index = np.cumsum(marked, dtype=np.int32)[at] - 1
    return np.where(index >= 0, places[index], -1)


def _timed(at: Array, high: Array, notes: tuple[str, ...]) -> tuple[Array, Array, tuple[str, ...]]:
    """Events after the first time, and the number of the time that each follows."""
    lap = np.cumsum(high, dtype=np.int32)[at] - 1
    lost = int(np.searchsorted(lap, 0))
    if lost and lost == len(at) and not high.any():
        raise ValueError("no word of it says a time")
    if lost:
        notes = (*notes, f"{lost:,} event(s) before the first time were left out")
    return at[lost:], lap[lost:], notes
