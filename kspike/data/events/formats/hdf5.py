"""HDF5 (.h5, .hdf5): data sets t, x, y and p in the root or in one group (events, CD), or one table of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kspike.data.events.formats import arrays
from kspike.data.events.mending import Raw, fields


def read(path: Path, time_unit: str | None = None, order: str | None = None) -> Raw:
    """An HDF5 file -> its events. A whole number `t_offset` beside them (DSEC) is added to their times."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            place = _place(file, h5py)
            if isinstance(place, h5py.Group):
                found = {name: place[name] for name in place if isinstance(place[name], h5py.Dataset)}
                chosen = fields(found)
                t, x, y, p = (found[name][()] for name in chosen or ())
                raw = Raw(t, x, y, p, time_unit=time_unit)
            else:
                raw = arrays.named({"events": place[()]}, time_unit, order)
            offset = file.get("t_offset")
            if offset is not None and offset.shape == () and np.issubdtype(offset.dtype, np.integer):
                raw = raw._replace(t=np.asarray(raw.t).astype(np.int64) + int(offset[()]))
            return raw._replace(sensor_size=_sensor_size(file, place))
    except OSError as error:  # damaged, cut, or compressed by a filter that is not installed
        said = str(error)
        hint = ": install the filter (hdf5plugin, or Prophesee's)" if "filter" in said.lower() else ""
        raise ValueError(f"{said}{hint}") from None


def _place(file: Any, h5py: Any) -> Any:
    """The group that has t, x, y and p, or the table of events; ValueError where there is none or more than one."""
    found: list[Any] = []

    def look(_: str, item: Any) -> None:
        if isinstance(item, h5py.Group):
            if fields(name for name in item if isinstance(item.get(name), h5py.Dataset)) is not None:
                found.append(item)
        elif item.dtype.names and fields(item.dtype.names) is not None:
            found.append(item)

    look("", file)
    file.visititems(look)
    if not found:
        plain = [
            item for item in file.values() if isinstance(item, h5py.Dataset) and item.ndim == 2 and 4 in item.shape
        ]
        found = plain
    if len(found) != 1:
        names = ", ".join(item.name for item in found) or f"{', '.join(file) or 'nothing'}"
        raise ValueError(f"expected data sets t, x, y and p in one group, or one table of them; received {names}")
    return found[0]


def _sensor_size(file: Any, place: Any) -> tuple[int, int] | None:
    for attributes in (place.attrs, file.attrs):
        for pair in (("height", "width"), ("sensor_height", "sensor_width")):
            if all(name in attributes for name in pair):
                return int(attributes[pair[0]]), int(attributes[pair[1]])
        if "sensor_size" in attributes and np.size(attributes["sensor_size"]) == 2:
            height, width = attributes["sensor_size"]
            return int(height), int(width)
        if "geometry" in attributes:  # Prophesee: "1280x720"
            width, _, height = str(attributes["geometry"]).partition("x")
            if width.isdigit() and height.isdigit():
                return int(height), int(width)
    return None
