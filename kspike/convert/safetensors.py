"""Reads the tensors of a .safetensors file into NumPy arrays, with nothing but NumPy.

The format (huggingface.co/docs/safetensors): 8 bytes, little-endian, the length N of the header; N bytes of JSON, a
mapping from name to dtype, shape and data_offsets (begin, end) into the rest of the file. Every number of the header is
checked against the file before anything is allocated.
"""

from __future__ import annotations

import json
import math
import os
from typing import Any

import numpy as np

#: The reference implementation refuses larger headers too.
MAX_HEADER = 100_000_000
_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?",
}  # fmt: skip


def read_safetensors(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Returns the tensors of a file by name; bfloat16 becomes float32.

    Raises:
        ValueError: the file is cut short, or its header does not describe it.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        header, start = _header(file, size, path)
        tensors: dict[str, np.ndarray] = {}
        end_of_last = 0
        for begin, end, name, dtype, shape in sorted(_entries(header, path)):
            if begin != end_of_last or start + end > size:
                raise _bad(path, f"tensor {name!r} lies at bytes {begin} to {end}, expected to begin at {end_of_last} "
                                 f"and to end by {size - start}")  # fmt: skip
            end_of_last = end
            tensors[name] = _array(file.read(end - begin), dtype, shape)
        if start + end_of_last != size:
            raise _bad(path, f"{size - start - end_of_last} bytes behind the last tensor belong to none")
        return tensors


def _header(file: Any, size: int, path: Any) -> tuple[dict, int]:
    length = int.from_bytes(file.read(8), "little") if size >= 8 else -1
    if not 2 <= length <= min(MAX_HEADER, size - 8):
        raise _bad(path, f"its header would have {length} bytes, the file has {size}")
    try:
        header = json.loads(file.read(length).decode("utf-8"), object_pairs_hook=_unique)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise _bad(path, f"its header cannot be read: {error}") from None
    if not isinstance(header, dict):
        raise _bad(path, "its header is not a mapping")
    header.pop("__metadata__", None)
    return header, 8 + length


def _unique(pairs: list[tuple[str, Any]]) -> dict:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError("a name occurs twice")
    return out


def _entries(header: dict, path: Any) -> list[tuple[int, int, str, str, tuple[int, ...]]]:
    entries = []
    for name, entry in header.items():
        try:
            dtype, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
        except (TypeError, KeyError, ValueError):
            raise _bad(path, f"the entry of {name!r} lacks dtype, shape or data_offsets") from None
        if dtype not in _DTYPES:
            raise _bad(path, f"{name!r} has dtype {dtype!r}; this reader knows {', '.join(_DTYPES)}")
        numbers = (*shape, begin, end)
        if any(isinstance(n, bool) or not isinstance(n, int) or n < 0 for n in numbers) or len(shape) > 32:
            raise _bad(path, f"{name!r} has shape {list(shape)} and offsets {[begin, end]}, expected natural numbers")
        if math.prod(shape) * np.dtype(_DTYPES[dtype]).itemsize != end - begin:
            raise _bad(path, f"{name!r} of shape {list(shape)} and dtype {dtype} does not fill bytes {begin} to {end}")
        entries.append((begin, end, name, dtype, shape))
    return entries


def _array(data: bytes, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    array = np.frombuffer(data, _DTYPES[dtype])
    if dtype == "BF16":  # the upper half of a float32
        array = (array.astype("<u4") << 16).view("<f4")
    return array.reshape(shape)


def _bad(path: Any, why: str) -> ValueError:
    return ValueError(f"{os.fspath(path)} is not a whole .safetensors file: {why}. Copy or export it again.")
