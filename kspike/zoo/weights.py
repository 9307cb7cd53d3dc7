"""Converts a model's weights to plain Keras `.weights.h5` bytes and back, the same on every backend.

Keras names what it stores by class and position, never by the session's running layer names, so a file written on one
backend loads on the others. What is stored is a fresh, uncompiled copy in float32, or with the kernels of its products
in float16: no optimiser state, no dtype of the training run.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kspike._files import private_folder
from kspike._finite import check_weights
from kspike.zoo import schema

if TYPE_CHECKING:
    import keras

    from kspike.config import SpikformerConfig
    from kspike.models import Spikformer

_MAX_OBJECTS = 200_000
#: Arrays of this rank and more are kernels of products, which may be stored in float16.
_KERNEL = 2
_MAX_DEPTH = 32


def build(
    config: SpikformerConfig,
    include_top: bool = True,
    *,
    name: str = "spikformer",
    dtype: str | None = None,
    drawn: bool = False,
) -> Spikformer:
    """Builds a Spikformer from a config; an entry is never built as another class.

    `dtype` None follows the session's policy; what a card says is measured in "float32". Kernels are zeros, to be
    filled, unless initial weights are `drawn`.
    """
    from kspike.layers.initializers import undrawn
    from kspike.models import Spikformer

    with contextlib.nullcontext() if drawn else undrawn():
        return Spikformer(config, include_top=include_top, name=name, dtype=dtype)


def copy_of(model: Spikformer, half: bool = False) -> Spikformer:
    """A Spikformer -> a fresh float32 one with the same weights; ValueError if any is not finite.

    With `half`, the kernels of its products are rounded to what float16 holds.
    """
    from keras import ops

    values = []
    for variable in model.weights:
        value = np.asarray(ops.convert_to_numpy(ops.cast(variable, "float32")))
        if half and value.ndim >= _KERNEL:
            with np.errstate(over="ignore"):  # what becomes infinite is refused below
                value = value.astype("float16").astype("float32")
        values.append(value)
    fresh = build(model.config, dtype="float32")
    fresh.set_weights(values)
    limit = " With half=True, a weight past 65,504 is infinite too." if half else ""
    check_weights(fresh, "a model to publish", f"Training diverged: publish an earlier checkpoint.{limit}")
    return fresh


def write(model: keras.Model, folder: Path, half: bool = False) -> bytes:
    """A model -> a synced weight file in `folder`, whose bytes are returned as they were read back."""
    path = folder / schema.WEIGHTS
    model.save_weights(path)
    if half:
        _halve(path)
    with open(path, "rb+") as file:
        content = file.read()
        os.fsync(file.fileno())
    return content


def _halve(path: Path) -> None:
    """Rewrites the file with kernels as float16; a new file, since HDF5 does not shrink one in place."""
    import h5py

    aside = path.with_name(f"half.{path.name}")
    with h5py.File(path, "r") as whole, h5py.File(aside, "w") as halved:
        halved.attrs.update(whole.attrs)

        def copy(name: str, found: Any) -> None:
            if isinstance(found, h5py.Group):
                made = halved.require_group(name)
            else:
                made = halved.create_dataset(name, data=found[()], dtype="f2" if found.ndim >= _KERNEL else None)
            made.attrs.update(found.attrs)

        whole.visititems(copy)
    os.replace(aside, path)


def fill(model: keras.Model, content: bytes, what: str) -> None:
    """Bytes whose hash was checked -> the weights of `model`, after a look at what the HDF5 file declares.

    ValueError if any is not finite: a hash shows only that they are the published ones.
    Keras opens paths only, so the bytes go through a private temporary folder.
    """
    with private_folder() as private:
        path = private / schema.WEIGHTS
        path.write_bytes(content)
        _check_hdf5(path, Counter(tuple(variable.shape) for variable in model.weights), what)
        model.load_weights(path)
    check_weights(model, what, "The entry was published with them: take an earlier version, or ask who published it.")


def _check_hdf5(path: Path, expected: Counter, what: str) -> None:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            found = Counter(_shapes(file, what))
    except (OSError, RuntimeError, KeyError) as error:
        raise ValueError(
            f"Expected the weights of {what} as an HDF5 file; received one that cannot be read: {error}."
        ) from None
    if found != expected:
        more, fewer = sorted((found - expected).elements()), sorted((expected - found).elements())
        raise ValueError(
            f"Expected the weights of {what} to have the shapes of its config; received {len(more)} others "
            f"{more[:3]} and "
            f"missed {len(fewer)} {fewer[:3]}. The config and the weights do not belong together."
        )


def _shapes(file: Any, what: str) -> Iterator[tuple[int, ...]]:
    """Walks every group without following links; yields the shape of each array, none of which is read."""
    import h5py

    pending, seen = [(file, 0)], 0
    while pending:
        group, depth = pending.pop()
        for name in group:
            seen += 1
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise ValueError(f"Expected no links in the weights of {what}; received a {type(link).__name__}.")
            child = group[name]
            if seen > _MAX_OBJECTS or depth > _MAX_DEPTH:
                raise ValueError(
                    f"Expected the weights of {what} to hold one array a variable; received a file far larger."
                )
            if isinstance(child, h5py.Group):
                pending.append((child, depth + 1))
            else:
                yield _shape(child, what)


def _shape(dataset: Any, what: str) -> tuple[int, ...]:
    import h5py

    plain = isinstance(dataset, h5py.Dataset) and not dataset.external and not dataset.is_virtual
    if not plain or dataset.dtype not in (np.float32, np.float16):
        raise ValueError(
            f"Expected the weights of {what} to be float32 or float16 arrays stored in the file; received something "
            "else."
        )
    # Keras stores arrays in one piece. A compressed, chunked or never written one can declare any size for a few bytes.
    if dataset.shape is None or dataset.chunks is not None or dataset.id.get_storage_size() != dataset.nbytes:
        raise ValueError(
            f"Expected the weights of {what} to be stored uncompressed; received an array that declares "
            f"{dataset.nbytes:,} bytes "
            f"and stores {dataset.id.get_storage_size():,}. It was not read."
        )
    return dataset.shape
