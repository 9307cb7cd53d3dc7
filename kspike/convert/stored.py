"""A tensor with a known shape whose values are read when they are used."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Hashable, Iterable
from typing import Any

import numpy as np

#: Tensors that share memory (tied weights) may together have this many bytes, even if less is stored.
SHARED_BYTES = 2**28
#: Letters of a name, or of another's message, in an error.
LETTERS = 200


@dataclasses.dataclass(frozen=True)
class Stored:
    """A tensor whose shape is known; its values are read, and cached, when it is turned into an array.

    Args:
        shape: of the tensor.
        itemsize: bytes a number, as they are stored.
        read: makes the array.
        storage: identifies the memory it lies in, which it may share; None if it has its own.
        held: bytes of that memory.
    """

    shape: tuple[int, ...]
    itemsize: int
    read: Callable[[], np.ndarray] = dataclasses.field(repr=False)
    storage: Hashable = None
    held: int | None = None

    @property
    def nbytes(self) -> int:
        """Bytes that the values take as an array of their own, in exact whole numbers."""
        total = self.itemsize
        for side in self.shape:
            total *= side
        return total

    @functools.cached_property
    def values(self) -> np.ndarray:
        """The array."""
        return self.read()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.values if dtype is None else self.values.astype(dtype, copy=bool(copy))


def check_storage(tensors: Iterable[tuple[str, Any]]) -> None:
    """Compares the sizes of tensors with the memory they lie in, before any value is read.

    Raises:
        ValueError: an expanded tensor, or many that share memory, claim more than is stored.
    """
    claimed, held = 0, dict[Hashable, int]()
    for name, tensor in tensors:
        if not isinstance(tensor, Stored) or tensor.held is None:
            continue
        if tensor.nbytes > tensor.held:
            raise ValueError(
                f"Entry {name!r} claims shape {tensor.shape}, {tensor.nbytes:,} bytes, but its storage holds "
                f"{tensor.held:,}: it was expanded. Save tensor.contiguous() instead."
            )
        claimed += tensor.nbytes
        held[tensor.storage] = tensor.held
    if claimed > max(sum(held.values()), SHARED_BYTES):
        raise ValueError(
            f"The tensors claim {claimed:,} bytes, but their storages hold {sum(held.values()):,}: they lie on each "
            "other. Save tensor.clone() of each instead."
        )


def widened(bits: np.ndarray) -> np.ndarray:
    """bfloat16, given as uint16, -> float32: it is the upper half of one."""
    return (bits.astype("<u4") << 16).view("<f4")


# -- what errors show -------------------------------------------------------------------------------------------------


def cut(name: str) -> str:
    """Shortens a name: one from a file may have millions of letters."""
    return name if len(name) <= LETTERS else f"{name[:LETTERS]}..."


def first_line(error: Exception) -> str:
    """What an error says in one line."""
    return cut((str(error).splitlines() or [""])[0]) or type(error).__name__
