"""How loops over a CPU's memory are compiled by numba, and how they read and write float32 and bfloat16.

bfloat16 is read and written as it lies in memory (uint16 here), and computed in float32.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic, overload

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

F = np.float32


@intrinsic
def float_of(typing: Any, bits: Any) -> Any:
    """The float32 whose bits these are."""

    def make(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(types.float32))

    return types.float32(types.uint32), make


@intrinsic
def _bits_of(typing: Any, x: Any) -> Any:
    """The bits of a float32."""

    def make(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(types.uint32))

    return types.uint32(types.float32), make


def each_of(builder: Any, number: Any, cases: Iterable[int]) -> Iterator[int]:
    """Specialises on a run-time number: what is emitted while a case is yielded runs where the number equals it."""
    for case in cases:
        with builder.if_then(builder.icmp_unsigned("==", number, number.type(case))):
            yield case


def load(x: Any) -> Any:
    """A number of an array as float32."""


def store(array: Any, at: Any, x: Any) -> None:
    """Writes a float32 into an array, rounded to nearest even where it holds bfloat16."""


@overload(load, inline="always")
def _load_as(x):  # numba compares signatures, annotations and all
    if x == types.uint16:
        return lambda x: float_of(np.uint32(x) << np.uint32(16))
    return lambda x: x


@overload(store, inline="always")
def _store_as(array, at, x):
    def narrow(array, at, x):
        bits = _bits_of(x)
        array[at] = np.uint16((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16))

    def whole(array, at, x):
        array[at] = x

    return narrow if array.dtype == types.uint16 else whole


@functools.cache
def sources() -> str:
    """The hash of all files of this folder: compiled, a loop holds inlined code of other files."""
    found = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()


def compiled(fn: Callable, **options: Any) -> Callable:
    """njit, cached on disk until any file of this folder changes; one process at a time writes the cache.

    numba 0.68 checks the function's own file alone. It writes the code and then the index that names it, under names
    that two processes compiling for different types may both choose: the index could then name the other's code.
    """
    try:
        made = njit(fn, nogil=True, cache=True, error_model="numpy", **options)
    except RuntimeError:  # neither the package's nor the user's cache folder can be written
        return njit(fn, nogil=True, error_model="numpy", **options)
    kept: Any = getattr(made, "_cache", None)
    if hasattr(kept, "_cache_file"):
        kept._cache_file._source_stamp = sources()
    if fcntl is not None and hasattr(kept, "save_overload"):
        save = kept.save_overload

        def alone(*args: Any) -> None:
            os.makedirs(kept.cache_path, exist_ok=True)
            with open(os.path.join(kept.cache_path, ".kspike_kernels.lock"), "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                save(*args)

        kept.save_overload = alone
    return made
