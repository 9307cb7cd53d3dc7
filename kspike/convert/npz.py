"""Reads the arrays of an .npz archive; object arrays, which would need pickle, are refused."""

from __future__ import annotations

import math
import os
import zipfile

import numpy as np
from numpy.lib import format as npy

from kspike import _zip
from kspike.convert.stored import cut, first_line


def read_npz(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Returns the arrays by name.

    Raises:
        ValueError: the archive is cut short, encrypted, holds Python objects, or claims more than it has.
    """
    place = "the archive"
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                members = archive.infolist()
                claimed, most = sum(member.file_size for member in members), _zip.most(os.fstat(file.fileno()).st_size)
                if claimed > most:
                    raise ValueError(
                        f"it would unpack to {claimed:,} bytes, at most {most:,} are read of a file so long"
                    )
                arrays = {}
                for member in members:
                    place = repr(cut(member.filename))
                    arrays[member.filename.removesuffix(".npy")] = _read(archive, member)
                return arrays
        except Exception as error:  # damaged files end in nearly every class of error there is, TokenError among them
            raise ValueError(
                f"{os.fspath(path)} is not a whole .npz archive of plain arrays: {place}: {first_line(error)}. "
                "Copy it again, or write it with numpy.savez(path, **arrays)."
            ) from None


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """Compares the size that an array's own header claims with the bytes that are there, then reads it."""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError("it is packed as NumPy never does")  # LZMA would take the memory that its header asks for
    with archive.open(member) as file:
        version = npy.read_magic(file)
        shape, _, dtype = (npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0)(file)
        if dtype.hasobject:
            raise ValueError("it holds Python objects, which are never unpickled")
        if dtype.kind not in "fiub":
            raise ValueError(f"it holds {dtype}, not numbers")
        if any(side < 0 for side in shape) or math.prod(shape) * dtype.itemsize != member.file_size - file.tell():
            raise ValueError(f"it claims shape {shape} of {dtype}, but has {member.file_size:,} bytes")
    with archive.open(member) as file:
        return npy.read_array(file, allow_pickle=False)
