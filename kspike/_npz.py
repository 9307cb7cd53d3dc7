"""Reads NumPy files that may come from anyone: what they claim is compared with what is there before memory is spent.

NumPy itself takes the memory that a header asks for, and unpacks all that an archive holds; Python objects, which would
need pickle, are never loaded.
"""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Callable
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from kspike import _zip


def read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """The start of a .npy file -> shape, whether columns come first, and dtype; the file then stands at the numbers."""
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"it is of version {version} of its format")
    return (npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0)(file)


def read_npy(file: IO[bytes], size: int, kinds: str | None = None, exact: bool = True) -> np.ndarray:
    """An open .npy file of `size` bytes, at its start -> its array.

    Args:
        file: a file that can go back to its start.
        size: its bytes.
        kinds: of dtypes that are read, as NumPy's letters; None for all but Python objects.
        exact: whether anything behind the array is refused.

    Raises:
        ValueError: Python objects, another kind, or a header that claims more than is there.
    """
    start = file.tell()
    shape, _, dtype = read_header(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are never unpickled")
    if kinds is not None and dtype.kind not in kinds:
        raise ValueError(f"it holds {dtype}, not numbers")
    claimed, there = math.prod(shape) * dtype.itemsize, size - (file.tell() - start)
    if any(side < 0 for side in shape) or claimed > there or (exact and claimed < there):
        raise ValueError(f"it claims shape {shape} of {dtype}, but has {size:,} bytes")
    file.seek(start)
    return npy.read_array(file, allow_pickle=False)


def read(
    file: IO[bytes], kinds: str | None = None, at: Callable[[str], None] = lambda name: None
) -> dict[str, np.ndarray]:
    """An open .npz archive -> its arrays by name.

    Args:
        file: the archive.
        kinds: as `read_npy`.
        at: is told the name of each member before it is read.

    Raises:
        ValueError: it would unpack to more than a file of its size may, is packed as NumPy never does, or as
            `read_npy`. A damaged archive ends in nearly every class of error there is.
    """
    size = os.fstat(file.fileno()).st_size
    arrays: dict[str, Any] = {}
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        claimed, most = sum(member.file_size for member in members), _zip.most(size)
        if claimed > most:
            raise ValueError(f"it would unpack to {claimed:,} bytes, at most {most:,} are read of a file so long")
        for member in members:
            at(member.filename)
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError("it is packed as NumPy never does")  # LZMA would take the memory its header asks for
            with archive.open(member) as opened:
                arrays[member.filename.removesuffix(".npy")] = read_npy(opened, member.file_size, kinds)
    return arrays
