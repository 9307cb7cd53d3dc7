"""Turns a path or a mapping into plain tensors by name, and the training arguments saved beside them."""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from kspike.convert.npz import read_npz
from kspike.convert.pth import read_pth
from kspike.convert.safetensors import read_safetensors

READERS: dict[str, Callable] = {
    ".safetensors": read_safetensors,
    ".npz": read_npz,
    ".pth": read_pth,
    ".pt": read_pth,
    ".pth.tar": read_pth,
}
#: Where training scripts put the state dict, in the order tried: timm, the official CIFAR10-DVS script.
WRAPPERS = ("state_dict", "model")
#: What DataParallel, torch.compile and exporters of a whole checkpoint put before every name.
PREFIXES = ("module.", "_orig_mod.", "model.", "state_dict.")


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """Tensors by name, without wrappers and prefixes, and the training script's arguments."""

    tensors: dict[str, np.ndarray]
    args: dict[str, Any]


def read_checkpoint(source: Any, which: str | None = None) -> Checkpoint:
    """Reads `source`, a path or a mapping; `which` names the entry of a wrapper, as "state_dict_ema".

    Raises:
        FileNotFoundError: no such file.
        ValueError: unknown file type, unreadable content, no such entry.
    """
    content = source
    if isinstance(source, (str, os.PathLike)):
        content = _reader(os.fspath(source))(source)
    if not isinstance(content, Mapping):
        raise ValueError(
            f"Expected a mapping from parameter name to array, got {type(content).__name__}; "
            "save model.state_dict(), not the model."
        )
    content, args = _unwrap(content, which)
    return Checkpoint(_strip(_tensors(content)), args)


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
            raise ValueError(f"No entry {which!r} in the checkpoint; it has {entries or 'no wrapped state dict'}.")
        chosen: Mapping = content[which]
    else:
        chosen = next((content[name] for name in WRAPPERS if name in entries), content)
    if chosen is content:
        return content, {}
    args = content.get("args")
    if isinstance(args, argparse.Namespace):
        args = vars(args)
    return chosen, dict(args) if isinstance(args, Mapping) else {}


def _tensors(content: Mapping) -> dict[str, np.ndarray]:
    tensors = {}
    for name, value in content.items():
        if hasattr(value, "detach"):  # a torch tensor or parameter: off the graph and the device, bfloat16 widened
            value = value.detach().cpu()
            value = value.float() if value.is_floating_point() else value
        array = np.asarray(value)
        if array.dtype == object or array.dtype.kind not in "fiub":
            raise ValueError(
                f"Entry {name!r} is {type(value).__name__}, not an array of numbers. Expected a state dict, or one "
                f"wrapped under {' or '.join(map(repr, WRAPPERS))} (choose another entry by which=)."
            )
        tensors[str(name)] = array
    return tensors


def _strip(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Removes prefixes that stand before every name, in whichever order they were nested."""
    while tensors:
        prefix = next((p for p in PREFIXES if all(name.startswith(p) for name in tensors)), None)
        if prefix is None:
            break
        tensors = {name[len(prefix) :]: value for name, value in tensors.items()}
    return tensors
