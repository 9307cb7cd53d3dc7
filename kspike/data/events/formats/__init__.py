"""The formats of event files: one reader a file, `read(content or path, **options) -> Raw`."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from kspike.data.events.formats import aedat2, aedat3, aedat4, arrays, dat, evt, hdf5, saccades
from kspike.data.events.mending import Raw


class Format(NamedTuple):
    """One format: how a file of it is known, and its reader.

    name: for messages. suffixes: of file names, small letters. starts: first bytes, () where there are none of its own
    (then the name alone tells, or the caller).
    by_suffix: whether the name must agree too, where formats share their first bytes. by_path: whether `read` takes the
    file's path, and not its content. options: keywords of `read`.
    """

    name: str
    suffixes: tuple[str, ...]
    starts: tuple[bytes, ...]
    read: Callable[..., Raw]
    by_suffix: bool = False
    by_path: bool = False
    options: tuple[str, ...] = ()


FORMATS: dict[str, Format] = {
    "bin": Format("an N-MNIST or N-Caltech101 file", (".bin", ".bs2"), (), saccades.read),
    "aedat2": Format("AEDAT 2.0", (".aedat", ".dat"), (b"#!AER-DAT2.0",), aedat2.read, options=("camera",)),
    "aedat3": Format("AEDAT 3.1", (".aedat",), (b"#!AER-DAT3.1",), aedat3.read),
    "aedat4": Format("AEDAT 4.0", (".aedat4",), (b"#!AER-DAT4.0",), aedat4.read, by_path=True),
    "npy": Format(
        "a NumPy array", (".npy",), (b"\x93NUMPY",), arrays.read_npy, by_path=True, options=("time_unit", "order")
    ),
    "npz": Format(
        "NumPy arrays", (".npz",), (b"PK\x03\x04",), arrays.read_npz, by_path=True, options=("time_unit", "order")
    ),
    "hdf5": Format(
        "HDF5", (".h5", ".hdf5"), (b"\x89HDF\r\n\x1a\n",), hdf5.read, by_path=True, options=("time_unit", "order")
    ),
    "dat": Format("Prophesee DAT", (".dat",), (b"% ",), dat.read, by_suffix=True),
    "raw": Format("Prophesee RAW", (".raw",), (b"% ",), evt.read, by_suffix=True),
    "evt2": Format("Prophesee EVT2 words", (), (), evt.read_evt2),
    "evt3": Format("Prophesee EVT3 words", (), (), evt.read_evt3),
}

__all__ = ["FORMATS", "Format"]
