"""Checks raw events and mends what is unambiguous: units and order of times, polarities, the sensor's size."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from kspike._messages import shown
from kspike.data.sources import Array

#: Microseconds in one of each unit.
UNITS = {"us": 1.0, "ms": 1e3, "s": 1e6, "ns": 1e-3}
#: Counters of cameras and files that begin again at zero: bits of the number of microseconds.
COUNTERS = (23, 24, 31, 32, 34)
#: Whole times from here on count nanoseconds since 1970: as microseconds it would be the year 5138.
NANOSECONDS = 10**17
#: Names of t, x, y and p in the arrays of others, small letters.
NAMES = {
    "t": ("t", "ts", "time", "times", "timestamp", "timestamps"),
    "x": ("x", "xs", "x_pos", "col", "column"),
    "y": ("y", "ys", "y_pos", "row"),
    "p": ("p", "ps", "pol", "pols", "polarity", "polarities", "on"),
}
#: Largest side of a sensor: coordinates are kept in 16 bits.
LARGEST = 65_536


class Raw(NamedTuple):
    """What a reader found: four arrays as they stood in the file, and what the file says of them."""

    t: Any
    x: Any
    y: Any
    p: Any
    sensor_size: tuple[int, int] | None = None
    time_unit: str | None = None
    notes: tuple[str, ...] = ()


#: No events.
NOTHING = Raw(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64))


def fields(names: Iterable[str]) -> tuple[str, str, str, str] | None:
    """Names of arrays -> those of t, x, y and p; None where one is missing or two would do."""
    known: dict[str, str] = {}
    for name in names:
        for letter, aliases in NAMES.items():
            if str(name).lower() in aliases:
                if letter in known:
                    return None
                known[letter] = name
    return tuple(known[letter] for letter in "txyp") if len(known) == 4 else None  # type: ignore[return-value]


def mended(raw: Raw, what: str) -> Raw:
    """Raw events -> int64 times in microseconds, sorted; uint16 places; polarities 0 and 1; a sensor size.

    Raises:
        ValueError: events that cannot be what they are called, with the first that shows it.
    """
    t, x, y, p = (_line(name, values, what) for name, values in zip("txyp", raw[:4], strict=True))
    if not len(t) == len(x) == len(y) == len(p):
        sizes = ", ".join(f"{name} {len(values):,}" for name, values in zip("txyp", (t, x, y, p), strict=True))
        raise ValueError(f"Expected t, x, y and p of {what} to be of one length; received {sizes}.")
    notes = list(raw.notes)
    x, y = _places("x", x, what), _places("y", y, what)
    size = _sensor(raw.sensor_size, x, y, what, notes)
    p = _polarities(p, what, notes)
    t = _microseconds(t, raw.time_unit, what, notes)
    if len(t) > 1 and (t[1:] < t[:-1]).any():
        t, order = _in_order(t, notes)
        if order is not None:
            t, x, y, p = t[order], x[order], y[order], p[order]
    return Raw(t, x.astype(np.uint16, copy=False), y.astype(np.uint16, copy=False), p, size, "us", tuple(notes))


def sensor_size(value: Any, what: str = "sensor_size") -> tuple[int, int]:
    """Reads a (height, width) pair of pixels.

    Raises:
        ValueError: anything else.
    """
    try:
        height, width = value
        right = all(isinstance(side, (int, np.integer)) and 0 < side <= LARGEST for side in (height, width))
    except (TypeError, ValueError):
        right = False
    if not right:
        raise ValueError(
            f"{what}: expected (height, width), two whole numbers from 1 to {LARGEST:,}; received {value!r}."
        )
    return int(height), int(width)


def unwrapped(t: Array, bits: int) -> Array:
    """Times (n,), int64, of a counter of so many bits -> times that go on growing where the counter began again."""
    laps = np.zeros(len(t), np.int64)
    np.cumsum(np.diff(t) < -(1 << (bits - 1)), out=laps[1:])
    return t + (laps << bits) if len(t) and laps[-1] else t


def _line(name: str, values: Any, what: str) -> Array:
    array = np.asarray(values)
    if array.ndim != 1 or array.dtype.kind not in "biuf":
        raise ValueError(f"Expected {name} of {what} to be one line of numbers; received {shown(array)} {array.dtype}.")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(
            f"Expected {name} of {what} to be finite; received NaN or infinity at event {_first(~np.isfinite(array))}."
        )
    return array


def _first(wrong: Array) -> int:
    return int(np.flatnonzero(wrong)[0])


def _places(name: str, values: Array, what: str) -> Array:
    if values.dtype.kind == "f":
        if (values != np.floor(values)).any():
            raise ValueError(
                f"Expected {name} of {what} to be whole pixels; received "
                f"{values[_first(values != np.floor(values))]:g}. "
                "Round rectified coordinates first."
            )
        values = values.astype(np.int64)
    if values.dtype.kind == "u" and values.dtype.itemsize <= 2:
        return values  # nothing that 16 bits hold is outside
    if len(values) and (values.min() < 0 or values.max() >= LARGEST):
        at = _first((values < 0) | (values >= LARGEST))
        raise ValueError(
            f"Expected {name} of {what} to be from 0 to {LARGEST - 1:,}; received {values[at]} at event {at}."
        )
    return values


def _sensor(given: Any, x: Array, y: Array, what: str, notes: list[str]) -> tuple[int, int]:
    if given is None:
        if not len(x):
            raise ValueError(f"Expected sensor_size=(height, width) for {what}, which holds no event to read it from.")
        size = int(y.max()) + 1, int(x.max()) + 1
        notes.append(f"the sensor's size is not known and taken from the largest coordinates, {size} (height, width)")
        return size
    height, width = size = sensor_size(given)
    for name, values, side in (("x", x, width), ("y", y, height)):
        if len(values) and values.max() >= side:
            at = _first(values >= side)
            raise ValueError(
                f"Expected {name} of {what} to be from 0 to {side - 1} on a sensor of {size} (height, width); received "
                f"{values[at]} at event {at}. Give the sensor's own size; coordinates that count from 1 are one too "
                "large."
            )
    return size


def _polarities(p: Array, what: str, notes: list[str]) -> Array:
    if p.dtype == bool or not len(p):
        return p.astype(np.uint8)
    low, high = p.min(), p.max()
    if low == 0 and high <= 1 and (p.dtype.kind != "f" or np.isin(p, (0, 1)).all()) or low == high == 1:
        return p.astype(np.uint8, copy=False)
    if low == -1 and high in (-1, 1) and not (p == 0).any() and (p.dtype.kind != "f" or np.isin(p, (-1, 1)).all()):
        notes.append("polarities of -1 are read as OFF, of 1 as ON")
        return (p > 0).astype(np.uint8)
    raise ValueError(
        f"Expected polarities of {what} to be 0 and 1, False and True, or -1 and 1; received values from {low:g} to "
        f"{high:g}" + (", 0 among them" if low == -1 else "") + ". Map them to 1 (ON) and 0 (OFF) first."
    )


def _microseconds(t: Array, unit: str | None, what: str, notes: list[str]) -> Array:
    if unit is not None and unit not in UNITS:
        raise ValueError(f"time_unit: expected one of {', '.join(UNITS)}; received {unit!r}.")
    if t.dtype == bool:
        raise ValueError(f"Expected t of {what} to be times; received True and False.")
    whole = t.dtype.kind in "iu" or bool((t == np.floor(t)).all())
    if unit is None:
        unit = _recognised(t, whole, what)
        if unit != "us":
            notes.append(
                f"times are taken for {'seconds' if unit == 's' else 'nanoseconds'} and turned to microseconds"
            )
    if t.dtype == np.uint64 and len(t) and t.max() > np.iinfo(np.int64).max:
        raise ValueError(f"Expected t of {what} to be below 2**63; received {t.max()}.")
    if whole:
        t = t.astype(np.int64, copy=False)
        if unit == "ns":
            return t // 1000
        return t if unit == "us" else t * int(UNITS[unit])
    return np.rint(t * UNITS[unit]).astype(np.int64)


def _recognised(t: Array, whole: bool, what: str) -> str:
    """The unit of times that nobody stated; refused where two would do."""
    if whole:
        return "ns" if len(t) and t.max() >= NANOSECONDS else "us"
    if t.dtype == np.float64 and not _all_whole(t * 1e3) and _all_whole(t * 1e6):
        return "s"
    raise ValueError(
        f"Expected times of {what} in whole microseconds; received fractions, such as "
        f"{t[_first(t != np.floor(t))]:.9g}: they may be seconds or milliseconds. Say which by time_unit='s' or 'ms'."
    )


def _all_whole(values: Array) -> bool:
    return bool((np.abs(values - np.rint(values)) < 1e-3).all()) and bool((np.abs(values) < 2**52).all())


def _in_order(t: Array, notes: list[str]) -> tuple[Array, Array | None]:
    """Times that fall somewhere -> times that went on where a counter began again, or the order that sorts them."""
    falls = np.flatnonzero(t[1:] < t[:-1])
    before, after, lowest, highest = t[falls].min(), t[falls + 1].max(), t.min(), t.max()
    for bits in COUNTERS:
        whole = 1 << bits
        low = -(whole >> 1) if lowest < 0 else 0  # a counter read as a signed number
        if lowest >= low and highest < low + whole and before > low + 0.75 * whole and after < low + 0.25 * whole:
            notes.append(
                f"times began again {len(falls)} time(s), as a counter of {bits} bits does, and were continued"
            )
            return unwrapped(t, bits), None
    notes.append(f"times fell at {len(falls):,} of {len(t):,} events, which were sorted")
    return t, np.argsort(t, kind="stable")
