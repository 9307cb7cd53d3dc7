"""Reads the tensors of a .safetensors file into NumPy arrays; the safetensors package compares header and file."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from kspike._files import opened_plain
from kspike.convert.stored import widened

_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?",
}  # fmt: skip


def read_safetensors(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Returns the tensors of a file by name; bfloat16, which NumPy does not have, becomes float32.

    Raises:
        ValueError: the file is cut short, or its header does not describe it.
    """
    from safetensors import SafetensorError, deserialize

    name = os.fspath(path)
    with opened_plain(path) as file:
        content = file.read()
    try:
        # not safetensors.numpy: whether it reads bfloat16 depends on its release and on another package
        return {key: _array(key, entry) for key, entry in deserialize(content)}
    except (SafetensorError, ValueError) as error:
        raise ValueError(f"{name} is not a whole .safetensors file: {error}. Copy or export it again.") from None


def _array(name: str, entry: dict[str, Any]) -> np.ndarray:
    dtype = entry["dtype"]
    if dtype not in _DTYPES:
        raise ValueError(f"{name!r} has dtype {dtype!r}, known are {', '.join(_DTYPES)}")
    array = np.frombuffer(entry["data"], _DTYPES[dtype])
    return (widened(array) if dtype == "BF16" else array).reshape(entry["shape"])
