"""Cuts a user's images into train, validation and test by their ids, copies of an image into one part."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from kspike._messages import counted, shown
from kspike.data import partition
from kspike.data.own.labels import listed
from kspike.data.sources import Array, Images

#: What is cut out of the training images, in this order, and the share of it if nobody says otherwise.
SHARES = {"test": 0.2, "validation": 0.1}


class Part(NamedTuple):
    """Images that came together: pixels, classes, ids, and the digest of each."""

    images: Any
    labels: Array
    ids: Array
    digests: Array


def check_share(name: str, value: Any) -> float | int:
    """Reads a `validation=` or `test=` argument that is no data: a share of all images, or how many.

    Raises:
        ValueError: something else.
    """
    if value is None:
        return SHARES[name]
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value >= 1:
        return int(value)
    if isinstance(value, (float, np.floating)) and 0 < value < 1:
        return float(value)
    raise ValueError(
        f"{name}: expected a share of the images between 0 and 1, how many, or images of their own with their labels; "
        f"received {shown(value)}."
    )


def cut(
    images: Images, digests: Array, sizes: Mapping[str, float | int], class_names: tuple[str, ...]
) -> dict[str, Array]:
    """Images -> positions by part, in the order of their ids: what `sizes` names, and "train", the rest.

    The id of an image alone decides, as in `kspike.data.partition`. Of images with the same pixels the first decides,
    and the others follow it: none is learned and tested.

    Raises:
        ValueError: nothing, or not every class, is left to train.
    """
    _, firsts, which = np.unique(digests, return_index=True, return_inverse=True)
    rest = np.sort(firsts)
    found: dict[str, Array] = {}
    total = len(rest)
    for name in SHARES:
        if name in sizes:
            wanted = sizes[name]
            n = wanted if isinstance(wanted, int) else max(1, round(wanted * total))
            if n >= len(rest):
                raise ValueError(
                    f"{name}={wanted} of {counted(total, 'different image')} leaves none to train: add images, or give "
                    "less."
                )
            chosen, left = partition.choose(images.ids[rest], images.labels[rest], n, f"own/{name}")
            found[name], rest = rest[chosen], rest[left]
    found["train"] = rest
    owner = np.empty(len(images.ids), np.int64)  # of each first, its part
    for k, positions in enumerate(found.values()):
        owner[positions] = k
    owner = owner[firsts][which]
    parts = {name: np.flatnonzero(owner == k) for k, name in enumerate(found)}
    missing = sorted(set(range(len(class_names))) - set(images.labels[parts["train"]].tolist()))
    if missing:
        raise ValueError(
            f"No image of class {listed(class_names[i] for i in missing)} is left to train once validation and test "
            "are cut: add images of it."
        )
    return {name: p[np.argsort(images.ids[p], kind="stable")] for name, p in parts.items()}


def check_copies(parts: Mapping[str, Part], class_names: tuple[str, ...], duplicates: str) -> None:
    """Looks for images with the same pixels, by their digests: in two given parts, or under two classes.

    Raises:
        ValueError: an image of one given part is in another too, and `duplicates` is "refuse".
    """
    if duplicates not in ("refuse", "keep"):
        raise ValueError(f"duplicates: expected 'refuse' or 'keep', received {duplicates!r}.")
    first: dict[bytes, tuple[str, str, int]] = {}
    across: list[str] = []
    contrary: list[str] = []
    copies = 0
    for name, part in parts.items():
        for key, identity, label in zip(part.digests.tolist(), part.ids.tolist(), part.labels.tolist(), strict=True):
            before = first.setdefault(key, (name, identity, label))
            if before[:2] == (name, identity):
                continue
            copies += 1
            if before[0] != name:
                across.append(f"{before[1]} ({before[0]}) and {identity} ({name})")
            if before[2] != label:
                contrary.append(f"{before[1]} ({class_names[before[2]]}) and {identity} ({class_names[label]})")
    if across and duplicates == "refuse":
        raise ValueError(
            f"{counted(len(across), 'image')} in two parts at once, so that what is tested was learned: "
            f"{listed(across)}. "
            "Take them out of one, or pass duplicates='keep' (--keep-duplicates)."
        )
    if contrary:
        _say(f"{counted(len(contrary), 'image')} under two classes: {listed(contrary)}. One of the two is wrong.")
    elif copies:
        _say(
            f"{counted(copies, 'copy', 'copies')} of other images, by their pixels"
            + (f" ({len(across):,} of them across given parts)." if across else "; copies were put into one part.")
        )


def _say(text: str) -> None:
    warnings.warn(text, stacklevel=5)
