"""A tensor that is known by shape and kept where it lies until its values are asked for."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Hashable, Iterable
from typing import Any

import numpy as np

#: Tensors that lie on each other (tied weights) may together be this much larger than what is stored, in bytes.
SHARED_BYTES = 2**28
#: Letters of a name, or of another's message, in an error.
LETTERS = 200


@dataclasses.dataclass(frozen=True)
class Stored:
    """Gives a tensor's values when it is turned into an array, and keeps them; its shape is known before.

    Args:
        shape: of the tensor.
        itemsize: bytes a number, as they are stored.
        read: makes the array.
        storage: what tells the memory it lies in from others; None where it has memory of its own.
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


def hold_to_storage(tensors: Iterable[tuple[str, Any]]) -> None:
    """Compares what tensors claim with the memory they lie in, before any value is read.

    Raises:
        ValueError: an expanded tensor, or many that lie on each other, claim more than there is.
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
    """The beginning of a name: one from a file may have millions of letters."""
    return name if len(name) <= LETTERS else f"{name[:LETTERS]}..."


def first_line(error: Exception) -> str:
    """What an error says in one line."""
    return cut((str(error).splitlines() or [""])[0]) or type(error).__name__
