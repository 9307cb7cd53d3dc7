"""NumPy files: structured arrays, one array a name, or plain arrays of four columns, in any of the usual orders."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import IO

import numpy as np

from kspike import _npz
from kspike._files import opened_plain
from kspike.data.events.mending import Raw, fields
from kspike.data.sources import Array

#: What is no array of events in the files of others: (height, width), labels, and the like.
_SIZES = ("sensor_size", "resolution")


def read_npy(path: Path, time_unit: str | None = None, order: str | None = None) -> Raw:
    """A .npy file -> its events: a structured array, (n, 4) or (4, n); a cut one is read to its last whole event."""
    notes: tuple[str, ...] = ()
    with opened_plain(path) as file:
        try:
            array = _npz.read_npy(file, os.fstat(file.fileno()).st_size, exact=False)
        except ValueError:
            file.seek(0)
            array, notes = _cut(file)
    return _events(array, time_unit, order)._replace(notes=notes)


def read_npz(path: Path, time_unit: str | None = None, order: str | None = None) -> Raw:
    """A .npz file -> its events: arrays named t, x, y and p (or as is usual elsewhere), or one array of all."""
    try:
        with opened_plain(path) as file:
            arrays = _npz.read(file)
    except ValueError as error:
        raise ValueError(f"the archive is damaged or holds what is not read ({error})") from None
    except Exception as error:  # damaged archives end in nearly every class of error there is
        raise ValueError(f"the archive is damaged or cut ({error}); copy it again") from None
    return named(arrays, time_unit, order)


def named(arrays: dict[str, Array], time_unit: str | None, order: str | None) -> Raw:
    """Arrays by name -> events; `sensor_size` among them is taken for (height, width)."""
    stated = next((arrays[name] for name in _SIZES if name in arrays and arrays[name].size == 2), None)
    size = None if stated is None else (int(stated[0]), int(stated[1]))
    found = fields(arrays)
    if found is not None:
        t, x, y, p = (arrays[name] for name in found)
        return Raw(t, x, y, p, size, time_unit)
    whole = [array for array in arrays.values() if array.dtype.names or (array.ndim == 2 and 4 in array.shape)]
    if len(whole) != 1:
        raise ValueError(f"expected arrays named t, x, y and p, or one of all; received {', '.join(arrays) or 'none'}")
    return _events(whole[0], time_unit, order)._replace(sensor_size=size)


def _events(array: Array, time_unit: str | None, order: str | None) -> Raw:
    if array.dtype.names:
        found = fields(array.dtype.names)
        if found is None:
            raise ValueError(f"expected fields t, x, y and p; received {', '.join(array.dtype.names)}")
        t, x, y, p = (array[name] for name in found)
        return Raw(t, x, y, p, time_unit=time_unit)
    if array.ndim != 2 or 4 not in array.shape or array.dtype.kind not in "iuf":
        raise ValueError(
            f"expected a structured array, or numbers of shape (n, 4); received {array.shape} {array.dtype}"
        )
    columns = array.T if array.shape[1] == 4 else array
    places = _order(columns) if order is None else _stated(order)
    t, x, y, p = (columns[k] for k in places)
    return Raw(t, x, y, p, time_unit=time_unit)


def _stated(order: str) -> tuple[int, ...]:
    if not isinstance(order, str) or sorted(order) != sorted("txyp"):
        raise ValueError(f"order: expected the letters t, x, y and p in the order of the columns; received {order!r}")
    return tuple(order.index(letter) for letter in "txyp")


def _order(columns: Array) -> tuple[int, int, int, int]:
    """Which column is what: polarities are two values, times never fall and grow largest, x stands before y."""
    binary = [k for k in range(4) if np.isin(columns[k], (-1, 0, 1)).all()]
    rising = [k for k in range(4) if k not in binary and (columns[k][1:] >= columns[k][:-1]).all()]
    if len(binary) != 1 or len(rising) != 1 or columns.shape[1] < 2:
        raise ValueError(
            "the columns do not tell which is which (one of two values, one that never falls); say it by order=, as "
            "order='txyp' or 'xytp'"
        )
    x, y = (k for k in range(4) if k not in (*binary, *rising))
    return rising[0], x, y, binary[0]


def _cut(file: IO[bytes]) -> tuple[Array, tuple[str, ...]]:
    """A .npy file that ends early -> its whole events; ValueError where that is not what is wrong with it."""
    shape, fortran, dtype = _npz.read_header(file)
    rest = file.read()
    side = math.prod(shape[1:])
    row = dtype.itemsize * side
    if dtype.hasobject or not shape or fortran or row <= 0 or len(rest) >= row * shape[0] or shape[0] == 4:
        raise ValueError("it is damaged, or holds Python objects, which are never loaded")
    whole = len(rest) // row
    array = np.frombuffer(rest, dtype, whole * side).reshape(whole, *shape[1:])
    return array, (f"the file is cut: {whole:,} of {shape[0]:,} events were read",)
