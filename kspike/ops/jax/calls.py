"""Calls from JAX's compiled programs into the compiled CPU loops, on XLA's own memory.

By XLA's foreign function interface (jax.ffi). XLA supports each version of its binary interface for at least twelve
months after a newer one: a handler reports the version it was written for, and XLA refuses one that it has dropped.
Nothing is copied, and a program may be cached on disk, as it refers to handlers by name.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import math
import warnings
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import jax
import numpy as np

from kspike.ops.cpu import norm_lif

#: XLA's dtype numbers as NumPy dtypes; bfloat16 as its bits.
_TYPES = {1: np.bool_, 4: np.int32, 6: np.uint8, 11: np.float32, 16: np.uint16}
#: The dtypes that the loops read and write.
KNOWN = ("float32", "bfloat16")
_EXECUTE, _METADATA, _INTERNAL = 3, 1, 13


class _Extension(ctypes.Structure):
    _fields_ = (("struct_size", ctypes.c_size_t), ("type", ctypes.c_int), ("next", ctypes.c_void_p))


class _Metadata(ctypes.Structure):
    _fields_ = (
        ("struct_size", ctypes.c_size_t), ("version_size", ctypes.c_size_t), ("version_extension", ctypes.c_void_p),
        ("major", ctypes.c_int), ("minor", ctypes.c_int), ("traits", ctypes.c_uint32),
    )  # fmt: skip


class _Asked(ctypes.Structure):
    _fields_ = (("base", _Extension), ("metadata", ctypes.POINTER(_Metadata)))


class _Buffer(ctypes.Structure):
    _fields_ = (
        ("struct_size", ctypes.c_size_t), ("extension", ctypes.c_void_p), ("dtype", ctypes.c_int),
        ("data", ctypes.c_void_p), ("rank", ctypes.c_int64), ("dims", ctypes.POINTER(ctypes.c_int64)),
    )  # fmt: skip


class _Buffers(ctypes.Structure):
    _fields_ = (
        ("struct_size", ctypes.c_size_t), ("extension", ctypes.c_void_p), ("size", ctypes.c_int64),
        ("types", ctypes.c_void_p), ("buffers", ctypes.POINTER(ctypes.POINTER(_Buffer))),
    )  # fmt: skip


class _Failure(ctypes.Structure):
    _fields_ = (
        ("struct_size", ctypes.c_size_t), ("extension", ctypes.c_void_p), ("message", ctypes.c_char_p),
        ("code", ctypes.c_int),
    )  # fmt: skip


_Fail = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.POINTER(_Failure))


class _Api(ctypes.Structure):
    _fields_ = (
        ("struct_size", ctypes.c_size_t), ("extension", ctypes.c_void_p), ("version_size", ctypes.c_size_t),
        ("version_extension", ctypes.c_void_p), ("major", ctypes.c_int), ("minor", ctypes.c_int),
        ("internal", ctypes.c_void_p), ("fail", _Fail),
    )  # fmt: skip


class _Frame(ctypes.Structure):
    _fields_ = (
        ("struct_size", ctypes.c_size_t), ("extension", ctypes.POINTER(_Extension)), ("api", ctypes.POINTER(_Api)),
        ("context", ctypes.c_void_p), ("stage", ctypes.c_int), ("args", _Buffers), ("results", _Buffers),
    )  # fmt: skip


_Handler = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.POINTER(_Frame))
#: Handlers that programs may call, by name; they live as long as the process.
_handlers: dict[str, Any] = {}


def _array(buffer: _Buffer) -> np.ndarray:
    shape, dtype = tuple(buffer.dims[: buffer.rank]), np.dtype(_TYPES[buffer.dtype])
    size = math.prod(shape)
    if not size:
        return np.empty(shape, dtype)
    memory = (ctypes.c_char * (size * dtype.itemsize)).from_address(buffer.data)
    return np.frombuffer(memory, dtype).reshape(shape)


def _arrays(given: _Buffers) -> list[np.ndarray]:
    return [_array(given.buffers[i].contents) for i in range(given.size)]


def _handler(fn: Callable) -> Any:
    def handle(pointer: Any) -> int | None:
        frame = pointer.contents
        if frame.extension and frame.extension.contents.type == _METADATA:
            asked = ctypes.cast(frame.extension, ctypes.POINTER(_Asked)).contents.metadata.contents
            asked.major, asked.minor, asked.traits = 0, 1, 0
            return None
        if frame.stage != _EXECUTE:
            return None
        try:
            fn(_arrays(frame.args), _arrays(frame.results))
        except BaseException as error:  # ctypes would print it and go on
            failure = _Failure(ctypes.sizeof(_Failure), None, f"{type(error).__name__}: {error}".encode(), _INTERNAL)
            return frame.api.contents.fail(failure)
        return None

    return _Handler(handle)


def call(fn: Callable, key: Hashable, args: Sequence[Any], results: Sequence[tuple]) -> list:
    """What fn(arrays, arrays of results to be filled) writes, as an operation of a program.

    Args:
        fn: a function of NumPy arrays, bfloat16 as uint16; `key` identifies what else it depends on.
        key: with fn's name, identifies fn in programs; the same in every process.
        args: JAX's arrays.
        results: shape and dtype of each result.
    """
    name = f"kspike_{fn.__name__}_{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}"
    if name not in _handlers:
        _handlers[name] = _handler(fn)
        jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(_handlers[name]), platform="cpu")
    kinds = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in results]
    return list(jax.ffi.ffi_call(name, kinds, vmap_method="sequential")(*args))


@functools.cache
def _works() -> bool:
    """Whether calls work with this JAX: tried once, by a small program."""

    def doubled(args: list, results: list) -> None:
        results[0][:] = 2 * args[0]

    try:
        with jax.ensure_compile_time_eval():
            found = jax.jit(lambda x: call(doubled, "probe", (x,), [((3,), "float32")])[0])(np.float32([1, 2, 3]))
            return np.array_equal(found, [2, 4, 6])
    except Exception as error:
        warnings.warn(
            f"kspike: neurons and products run in XLA's own form, more slowly, for this JAX cannot call the compiled "
            f"loops ({error!s:.200}). KSPIKE_REFERENCE_OPS=1 does without them and without this warning.",
            stacklevel=2,
        )
        return False


def calls_loops(*arrays: jax.Array) -> bool:
    """Whether a program may call the loops with these arrays: supported dtypes, static shapes, one device, a CPU.

    Symbolic sizes are those of a program that is exported, for a process without these loops.
    """
    return (
        all(str(a.dtype) in KNOWN and all(isinstance(n, int) for n in a.shape) for a in arrays)
        and jax.default_backend() == "cpu"
        and jax.device_count() == 1
        and norm_lif.kernels() is not None
        and _works()
    )
