"""Resolves the names in a PyTorch checkpoint: containers, and tensors over storages that stay in the file."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import zlib
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from kspike.convert.pickles import Unknown
from kspike.convert.stored import Stored, widened

BFLOAT16 = "bf16"
_TYPES = {
    "Double": "f8", "Float": "f4", "Half": "f2", "BFloat16": BFLOAT16,
    "Long": "i8", "Int": "i4", "Short": "i2", "Char": "i1", "Byte": "u1", "Bool": "?",
    "ComplexFloat": "c8", "ComplexDouble": "c16", "QInt8": "i1", "QUInt8": "u1", "QInt32": "i4",
}  # fmt: skip
_DTYPES = {
    "float64": "f8", "float32": "f4", "float16": "f2", "bfloat16": BFLOAT16, "int64": "i8", "int32": "i4",
    "int16": "i2", "int8": "i1", "uint64": "u8", "uint32": "u4", "uint16": "u2", "uint8": "u1", "bool": "?",
    "complex64": "c8", "complex128": "c16",
}  # fmt: skip
#: Names of storages and of dtypes -> how NumPy reads them.
NUMBERS = {
    **{f"torch.{name}Storage": code for name, code in _TYPES.items()},
    **{f"torch.{name}": code for name, code in _DTYPES.items()},
    "torch.storage.UntypedStorage": "u1",
    "torch.UntypedStorage": "u1",
}
_DICTS = ("collections.OrderedDict", "collections.defaultdict", "collections.Counter")
_TENSORS = tuple(f"torch._utils._rebuild_tensor{version}" for version in ("", "_v2", "_v3"))
_PARAMETERS = ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state")
_FROM_TYPE = "torch._tensor._rebuild_from_type_v2"
#: Tensors that are no plain array of numbers, and what an error calls them.
_OTHER_TENSORS = {
    "torch._utils._rebuild_sparse_tensor": "a sparse tensor",
    "torch._utils._rebuild_sparse_csr_tensor": "a sparse tensor",
    "torch._utils._rebuild_qtensor": "a quantised tensor",
    "torch._utils._rebuild_nested_tensor": "a nested tensor",
    "torch._utils._rebuild_meta_tensor_no_storage": "a meta tensor, which has no values",
}
#: Known names that no weight is made of: a checkpoint with them is read, and their content ignored.
_CLOSED = frozenset(
    "torch.device torch.serialization._get_layout torch.nn.parameter.Parameter torch.Tensor torch._tensor.Tensor "
    "_codecs.encode builtins.bytearray builtins.complex builtins.set builtins.frozenset __builtin__.set "
    "torch.per_tensor_affine torch.per_channel_affine torch.per_channel_affine_float_qparams "
    "numpy.dtype numpy.core.multiarray.scalar numpy._core.multiarray.scalar".split()
)


@dataclasses.dataclass(frozen=True)
class Other:
    """A known object that is no tensor of numbers, with its description for an error."""

    what: str


@dataclasses.dataclass(frozen=True)
class Global:
    """A name, "module.name"."""

    name: str


@dataclasses.dataclass(frozen=True, eq=False)
class Storage:
    """A run of bytes of a file.

    Args:
        content: the file.
        start, nbytes: their position and number.
        file: what errors call the file.
        crc: their CRC-32, None where none was written.

    Raises:
        ValueError: they lie outside the file; when read: they are not those that were written.
    """

    content: Any
    start: int
    nbytes: int
    file: str
    crc: int | None = None

    def __post_init__(self) -> None:
        if self.start < 0 or self.nbytes < 0 or self.start + self.nbytes > len(self.content):
            raise ValueError(
                f"{self.nbytes:,} bytes are claimed at {self.start:,}, the file has {len(self.content):,} in all"
            )

    @functools.cached_property
    def view(self) -> memoryview:
        """The bytes, without a copy."""
        found = memoryview(self.content)[self.start : self.start + self.nbytes]
        if self.crc is not None and zlib.crc32(found) != self.crc:
            raise ValueError(
                f"{self.file} is not a whole PyTorch file: the {self.nbytes:,} bytes at {self.start:,} are not those "
                "that were written (their CRC-32 differs). Copy or save it again."
            )
        return found


class TorchResolver:
    """Gives the names of `torch.save` their meaning.

    Args:
        storage: gives the storage of a key; None where the file has none.
        order: "<" or ">", the order of bytes.
    """

    def __init__(self, storage: Callable[[str], Storage | None], order: Literal["<", ">"]) -> None:
        self.storage = functools.cache(storage)
        self.order: Literal["<", ">"] = order

    def find(self, name: str) -> Global:
        """A name that is known here."""
        known = name in _CLOSED or name in NUMBERS or name in _OTHER_TENSORS or name in _DICTS or name == _FROM_TYPE
        if not (known or name in (*_TENSORS, *_PARAMETERS, "argparse.Namespace", "torch.Size")):
            beside = name.startswith("torch.") and name.count(".") == 1 and name.split(".")[1].isidentifier()
            # another dtype or storage (complex, 8 bits): it runs no code, and is refused only if a weight uses it
            if not (beside and (name.endswith("Storage") or name[6:].startswith(("float", "complex")))):
                raise Unknown(name)
        return Global(name)

    def call(self, function: Any, arguments: Any) -> Any:
        """A container, a tensor, or `Other`."""
        if not isinstance(function, Global) or not isinstance(arguments, tuple):
            raise ValueError("a call of something that has no name")
        name = function.name
        if name == _FROM_TYPE:  # a tensor with attributes of its own, which are left out
            function, arguments = arguments[0], arguments[2]
            name = function.name
        if name in _DICTS:
            return {}
        if name == "argparse.Namespace":
            return argparse.Namespace()
        if name in _PARAMETERS or name == "torch.Size":
            return arguments[0]
        if name in _TENSORS:
            over, offset, shape, strides = arguments[:4]
            return self.tensor(over, offset, shape, strides, arguments[6:])
        return Other(_OTHER_TENSORS.get(name, name))

    def build(self, made: Any, state: Any) -> None:
        """Sets a Namespace's attributes; extra attributes of dicts and tensors are left out."""
        if isinstance(made, argparse.Namespace) and isinstance(state, dict):
            made.__dict__ = state

    def persistent(self, key: Any) -> Any:
        """(storage, how to read its numbers, how many), or `Other`."""
        kind, of, name, _, count = key[:5]
        if kind != "storage" or not isinstance(name, str) or not isinstance(count, int) or any(key[5:]):
            raise ValueError("a storage of an unknown form")
        if of.name not in NUMBERS:
            return Other(f"a tensor over {of.name}")
        return self.stored(name, NUMBERS[of.name], count)

    def stored(self, key: str, code: str, count: int) -> Any:
        """A storage of `count` numbers."""
        found = self.storage(key)
        if found is None or not 0 <= count * itemsize(code) <= found.nbytes:
            raise ValueError(
                f"storage {key[:40]!r} would hold {count:,} numbers of {itemsize(code)} bytes, the file has "
                f"{found.nbytes if found else 0:,} bytes of it"
            )
        return found, code

    def tensor(self, over: Any, offset: Any, shape: Any, strides: Any, more: tuple) -> Any:
        """A tensor, whose numbers must lie inside its storage."""
        if isinstance(over, Other):
            return over
        storage, code = over
        if more and isinstance(more[0], Global):  # _rebuild_tensor_v3 says the dtype
            if more[0].name not in NUMBERS:
                return Other(f"a tensor of {more[0].name}")
            code, more = NUMBERS[more[0].name], more[1:]
        if code.startswith("c"):
            return Other("a tensor of complex numbers")
        if any(more):
            return Other("a tensor with marks of its own (conjugated, negated)")
        size = itemsize(code)
        if len(shape) > 32 or len(shape) != len(strides):
            raise ValueError("a tensor of an unknown form")
        numbers = (offset, *shape, *strides)
        if any(type(n) is not int or n < 0 for n in numbers):
            raise ValueError("a tensor whose shape is no list of natural numbers")
        last = -1 if 0 in shape else sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
        if (offset + last + 1) * size > storage.nbytes:
            raise ValueError(f"a tensor of shape {tuple(shape)} reaches beyond its storage of {storage.nbytes:,} bytes")
        return Stored(
            tuple(shape), size, lambda: self._read(storage, code, offset, shape, strides), storage, storage.nbytes
        )

    def _read(self, storage: Storage, code: str, offset: int, shape: tuple, strides: tuple) -> np.ndarray:
        dtype, size = np.dtype("u2" if code == BFLOAT16 else code).newbyteorder(self.order), itemsize(code)
        if 0 in shape:
            return np.zeros(shape, dtype)
        places = tuple(step * size if side > 1 else size for side, step in zip(shape, strides, strict=True))
        found = np.ndarray(shape, dtype, storage.view, offset * size, places)
        return widened(found) if code == BFLOAT16 else found.astype(dtype.newbyteorder("="))


def itemsize(code: str) -> int:
    """Bytes a number."""
    return 2 if code == BFLOAT16 else np.dtype(code).itemsize
