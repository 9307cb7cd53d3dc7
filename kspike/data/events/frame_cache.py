"""Keeps packed frames on the disk, by a hash of the recordings and the settings; the whole of it is bounded.

One folder a pack: index, values, offsets.npy, labels.npy, ids.npy, groups.npy, and meta.json with the fingerprint and
the SHA-256 of each. It is written aside and renamed when complete. Packs lie beside decoded images
(kspike/data/cache.py), in `events`; when they are more than KSPIKE_EVENTS_CACHE_GB gigabytes together (default 20),
those used longest ago are removed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kspike._messages import warn
from kspike.data import kept as folders
from kspike.data.events import packing
from kspike.data.sources import Array

FORMAT = 1
FILES = {name: name for name in ("index", "values", "offsets.npy", "labels.npy", "ids.npy", "groups.npy")}
#: Gigabytes of packs that are kept.
LIMIT = 20.0


class Sample(NamedTuple):
    """The frames of one recording, or of one window of it, and what is known of it."""

    frames: Array
    label: int
    id: str
    group: str


class Pack(NamedTuple):
    """Offsets, places and values of the frames, and a label, an id and a group a sample."""

    offsets: Array
    places: Array
    values: Array
    labels: Array
    ids: Array
    groups: Array


def kept(root: Path | None, name: str, fingerprint: str, make: Callable[[], Iterator[Sample]]) -> Pack:
    """Maps a pack from `root`, or makes it first; in memory where `root` is None or cannot be written.

    Args:
        root: the folder of packs.
        name: of the data set and the split, for a reader of the folder.
        fingerprint: hexadecimal; changes with the recordings and the settings.
        make: reads and frames everything, one sample after the other.
    """
    if root is None:
        return _in_memory(make())
    limit = _limit()
    target = root / f"{name}-{fingerprint[:16]}"
    found = _open(target, fingerprint)
    if found is not None:
        return found
    try:
        _write(target, fingerprint, make())
    except OSError as error:
        warn(
            f"Frames could not be kept in {root} ({error}) and stay in memory. Set KSPIKE_CACHE to a folder with space "
            "that may be written, or pass cache=False.",
        )
        return _in_memory(make())
    bound(root, target, limit)
    return _open(target, fingerprint) or _in_memory(make())


def bound(root: Path, newest: Path, limit: float) -> None:
    """Removes the packs used longest ago until all take at most `limit` bytes; the newest always stays."""
    packs = []
    for meta in root.glob(f"*/{folders.SEAL}"):
        with contextlib.suppress(OSError):
            size = sum(file.stat().st_size for file in meta.parent.iterdir())
            packs.append((meta.stat().st_mtime_ns, meta.parent, size))
    total = sum(size for _, _, size in packs)
    for _, folder, size in sorted(packs, key=lambda pack: pack[0]):
        if total <= limit:
            return
        if folder != newest:
            shutil.rmtree(folder, ignore_errors=True)
            total -= size


def _limit() -> float:
    stated = os.environ.get("KSPIKE_EVENTS_CACHE_GB")
    try:
        gigabytes = LIMIT if stated is None else float(stated)
    except ValueError:
        gigabytes = -1.0
    if not gigabytes >= 0:
        raise ValueError(f"KSPIKE_EVENTS_CACHE_GB: expected a number of gigabytes, received {stated!r}.")
    return gigabytes * 1e9


def _in_memory(samples: Iterator[Sample]) -> Pack:
    facts: list[Sample] = []
    return Pack(*packing.in_memory(_frames(samples, facts)), *_facts(facts))


def _frames(samples: Iterator[Sample], facts: list[Sample]) -> Iterator[Array]:
    nothing = np.empty(0)
    for sample in samples:
        facts.append(sample._replace(frames=nothing))
        yield sample.frames


def _facts(facts: list[Sample]) -> tuple[Array, Array, Array]:
    labels = np.array([sample.label for sample in facts], np.int32)
    ids, groups = ([str(getattr(sample, name)) for sample in facts] for name in ("id", "group"))
    return labels, np.array(ids, np.str_), np.array(groups, np.str_)


def _write(target: Path, fingerprint: str, samples: Iterator[Sample]) -> None:
    with folders.written(target, FORMAT, fingerprint, FILES) as aside:
        facts: list[Sample] = []
        with open(aside / "index", "wb") as index, open(aside / "values", "wb") as values:
            offsets = packing.write(_frames(samples, facts), index, values)
        for name, array in zip(("offsets", "labels", "ids", "groups"), (offsets, *_facts(facts)), strict=True):
            np.save(aside / f"{name}.npy", array, allow_pickle=False)


def _open(target: Path, fingerprint: str) -> Pack | None:
    if not (target / folders.SEAL).is_file():
        return None
    try:
        if not folders.whole(target, FORMAT, fingerprint, FILES):
            return None
        arrays = packing.mapped(target)
        facts = (np.load(target / f"{name}.npy", allow_pickle=False) for name in ("labels", "ids", "groups"))
        pack = Pack(*arrays, *facts)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        warn(f"Frames kept in {target} are unreadable ({error}); making them again.")
        shutil.rmtree(target, ignore_errors=True)
        return None
    with contextlib.suppress(OSError):
        os.utime(target / folders.SEAL)  # used now: removed last
    return pack
