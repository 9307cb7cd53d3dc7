"""Reads the arrays of an .npz archive; object arrays, which would need pickle, are refused."""

from __future__ import annotations

import os

import numpy as np

from kspike import _npz
from kspike._files import opened_plain
from kspike.convert.stored import cut, first_line


def read_npz(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Returns the arrays by name.

    Raises:
        ValueError: the archive is cut short, encrypted, holds Python objects, or claims more than it has.
    """
    place = "the archive"

    def at(name: str) -> None:
        nonlocal place
        place = repr(cut(name))

    with opened_plain(path) as file:
        try:
            return _npz.read(file, "fiub", at)
        except Exception as error:  # damaged files end in nearly every class of error there is, TokenError among them
            raise ValueError(
                f"{os.fspath(path)} is not a whole .npz archive of plain arrays: {place}: {first_line(error)}. "
                "Copy it again, or write it with numpy.savez(path, **arrays)."
            ) from None
