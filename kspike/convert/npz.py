"""Reads the arrays of an .npz archive; object arrays, which would need pickle, are refused."""

from __future__ import annotations

import math
import os
import zipfile
import zlib

import numpy as np
from numpy.lib import format as npy

#: The largest published Spikformer has 0.3 GB; a few lines of zip can claim terabytes.
MAX_BYTES = 8 * 2**30


def read_npz(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Returns the arrays by name.

    Raises:
        ValueError: the archive is cut short, holds Python objects, or claims more than it has.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            claimed = sum(member.file_size for member in archive.infolist())
            if claimed > MAX_BYTES:
                raise ValueError(f"it would unpack to {claimed} bytes, at most {MAX_BYTES} are read")
            for member in archive.infolist():
                _check(archive, member)
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # permissions: the system says it better
            raise
        raise ValueError(
            f"{os.fspath(path)} is not a whole .npz archive of plain arrays: {error}. "
            "Copy it again, or write it with numpy.savez(path, **arrays)."
        ) from None


def _check(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Compares the size that an array's own header claims with the bytes that are there."""
    with archive.open(member) as file:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(file)
        if dtype.hasobject:
            raise ValueError(f"{member.filename} holds Python objects, which are never unpickled")
        if math.prod(shape) * dtype.itemsize != member.file_size - file.tell():
            raise ValueError(f"{member.filename} claims shape {shape} of {dtype}, but has {member.file_size} bytes")
