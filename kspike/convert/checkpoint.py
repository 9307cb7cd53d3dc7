"""Turns a path or a mapping into plain tensors by name, and the training arguments saved beside them."""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from kspike._files import expanded
from kspike.convert.npz import read_npz
from kspike.convert.pth import read_pth
from kspike.convert.pth_tensors import Other
from kspike.convert.safetensors import read_safetensors
from kspike.convert.stored import Stored, check_storage, cut

READERS: dict[str, Callable] = {
    ".safetensors": read_safetensors,
    ".npz": read_npz,
    ".pth": read_pth,
    ".pt": read_pth,
    ".pth.tar": read_pth,
}
#: Where training scripts put the state dict, in the order tried: timm, the official CIFAR10-DVS script.
WRAPPERS = ("state_dict", "model")
#: Prefixes that DataParallel, torch.compile and exporters of a whole checkpoint put before every name.
PREFIXES = ("module.", "_orig_mod.", "model.", "state_dict.")
#: How many nested prefixes are removed; a name may be long.
NESTED = 8
#: Names listed in one error.
LISTED = 8


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """Tensors by name, without wrappers and prefixes, and the training script's arguments.

    Tensors from PyTorch are `Stored`: the shape is known, the values are read when used as an array.
    """

    tensors: dict[str, np.ndarray | Stored]
    args: dict[str, Any]


def read_checkpoint(source: Any, which: str | None = None) -> Checkpoint:
    """Reads `source`, a path or a mapping; `which` names the entry of a wrapper, as "state_dict_ema".

    Raises:
        FileNotFoundError: no such file.
        ValueError: unknown file type, unreadable content, no such entry, tensors that claim more than is stored.
    """
    content = source
    if isinstance(source, (str, os.PathLike)):
        path = expanded(source)
        if path.is_dir():
            raise ValueError(f"Expected the file of a checkpoint; received the folder {path}. Name the file in it.")
        content = _reader(os.fspath(path))(path)
    if not isinstance(content, Mapping):
        raise ValueError(
            f"Expected a mapping from parameter name to array, got {type(content).__name__}; "
            "save model.state_dict(), not the model."
        )
    content, args = _unwrap(content, which)
    tensors = _tensors(content)
    check_storage(tensors.items())
    return Checkpoint(_strip(tensors), args)


def _reader(path: str) -> Callable:
    if not os.path.isfile(path):
        raise FileNotFoundError(f"No weight file at {path!r}.")
    for suffix, reader in READERS.items():
        if path.lower().endswith(suffix):
            return reader
    raise ValueError(f"{path!r} is none of the known weight files: {', '.join(READERS)}. Pass a mapping instead.")


def _unwrap(content: Mapping, which: str | None) -> tuple[Mapping, dict[str, Any]]:
    entries = [name for name, value in content.items() if isinstance(value, Mapping)]
    if which is not None:
        if which not in entries:
            listed = some([repr(cut(str(name))) for name in entries]) if entries else "no wrapped state dict"
            raise ValueError(f"No entry {which!r} in the checkpoint; it has {listed}.")
        chosen: Mapping = content[which]
    else:
        chosen = next((content[name] for name in WRAPPERS if name in entries), content)
    if chosen is content:
        return content, {}
    args = content.get("args")
    if isinstance(args, argparse.Namespace):
        args = vars(args)
    return chosen, dict(args) if isinstance(args, Mapping) else {}


def _tensors(content: Mapping) -> dict[str, np.ndarray | Stored]:
    tensors: dict[str, np.ndarray | Stored] = {}
    for name, value in content.items():
        if not isinstance(name, str):
            raise ValueError(f"Expected names of parameters as keys, got a {type(name).__name__}. {_WANTED}")
        found, what = _tensor(value)
        if found is None:
            raise ValueError(f"Entry {cut(name)!r} is {what}, not an array of numbers. {_WANTED}")
        tensors[name] = found
    return tensors


_WANTED = (
    f"Expected a state dict, or one wrapped under {' or '.join(map(repr, WRAPPERS))} (choose another entry by which=)."
)


def _tensor(value: Any) -> tuple[np.ndarray | Stored | None, str]:
    """The value as an array of numbers, or None and a description of what it is instead."""
    if isinstance(value, Stored):
        return value, ""
    if isinstance(value, Other):
        return None, value.what
    if hasattr(value, "detach"):
        unusable = _unusable(value)
        return (None, unusable) if unusable else (_of_torch(value), "")
    try:
        array = np.asarray(value)
    except Exception:  # lists of unequal length, and whatever an array of another package raises
        return None, type(value).__name__
    return (array, "") if array.dtype.kind in "fiub" else (None, type(value).__name__)


def _unusable(tensor: Any) -> str:
    """Why a torch tensor has no plain numbers as values; "" if it has."""
    if tensor.is_meta:
        return "a meta tensor, which has no values"
    if tensor.is_quantized:
        return "a quantised tensor"
    if tensor.is_nested or str(tensor.layout) != "torch.strided":
        return f"a tensor of layout {tensor.layout}"
    return f"a tensor of {tensor.dtype}" if tensor.is_complex() else ""


def _of_torch(tensor: Any) -> Stored:
    """A torch tensor or parameter; detached and copied to the CPU when read, bfloat16 as float32."""

    def read() -> np.ndarray:
        plain = tensor.detach().cpu()
        return np.asarray(plain.float() if plain.is_floating_point() else plain)

    shape, size = tuple(tensor.shape), tensor.element_size()
    try:
        storage = tensor.untyped_storage()
    except (NotImplementedError, RuntimeError):  # devices whose tensors have none
        return Stored(shape, size, read)
    return Stored(shape, size, read, (str(tensor.device), storage.data_ptr()), storage.nbytes())


def _strip(tensors: dict[str, np.ndarray | Stored]) -> dict[str, np.ndarray | Stored]:
    """Removes prefixes common to all names, in any order of nesting."""
    for _ in range(NESTED):
        prefix = next((p for p in PREFIXES if tensors and all(name.startswith(p) for name in tensors)), None)
        if prefix is None:
            break
        tensors = {name[len(prefix) :]: value for name, value in tensors.items()}
    return tensors


def some(found: Sequence[str]) -> str:
    """Lists the first few of many, for an error."""
    more = f" and {len(found) - LISTED} more" if len(found) > LISTED else ""
    return ", ".join(found[:LISTED]) + more
