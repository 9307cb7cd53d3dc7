"""Named cuts of event data sets: by group, by number, by time; windows of one recording never fall into two parts.

Each is a function of the training split as it was read, and gives the positions of "validation", and of "test" where
that is no official split.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from kspike.data import partition
from kspike.data.sources import Array, Images

#: Shares of all recordings, as of images without official splits.
TEST, VALIDATION = 0.2, 0.1


def by_group(images: Images, name: str, sizes: Mapping[str, float]) -> dict[str, Array]:
    """Cuts by group, groups in the fixed order of their hashes, the classes in proportion where a group has one class.

    Args:
        images: the split; its frames carry a group a sample.
        name: of the data set: the purpose of the hashes.
        sizes: share of the samples that each part takes at least, in order.
    """
    groups = _groups(images)
    names, first, where = np.unique(groups, return_index=True, return_inverse=True)
    if len(names) <= len(sizes):
        raise ValueError(
            f"{name}: expected more than {len(sizes)} recordings or groups, of which {' and '.join(sizes)} are taken; "
            f"received {len(names)}."
        )
    labels = images.labels[first].copy()
    mixed = np.zeros(len(names), bool)
    np.logical_or.at(mixed, where, images.labels != labels[where])
    labels[mixed] = -1
    counts, rest = np.bincount(where), np.arange(len(names))
    chosen: dict[str, Array] = {}
    for part, share in sizes.items():
        order = rest[partition.fixed_order(names[rest], labels[rest], f"{name}/{part}")]
        # At least one group, and always one left for what comes after.
        taken = 1 + int(np.searchsorted(np.cumsum(counts[order]), share * len(groups)))
        taken = min(taken, len(rest) - (len(sizes) - len(chosen)))
        chosen[part] = np.flatnonzero(np.isin(where, order[:taken]))
        rest = np.setdiff1d(rest, order[:taken])
    _check_classes(images, chosen, name)
    return chosen


def _check_classes(images: Images, chosen: Mapping[str, Array], name: str) -> None:
    """Refuses a cut that leaves a class without a recording to train on."""
    train = np.delete(images.labels, np.concatenate(list(chosen.values())))
    gone = np.setdiff1d(images.labels, train)
    if len(gone):
        groups = np.unique(_groups(images)[images.labels == gone[0]])
        raise ValueError(
            f"{name}: class number {gone[0]} has {len(groups)} recording(s) or group(s), and none is left to train on "
            "when "
            f"{' and '.join(chosen)} have theirs: add recordings, or cut windows by time (cut_us=, split='time')."
        )


def by_folder(images: Images, name: str, sizes: Mapping[str, float]) -> dict[str, Array]:
    """Takes the recordings of a folder `validation` to validate where there is one, else cuts by group."""
    inside = np.char.startswith(images.ids, "validation/")
    if not inside.any():
        return by_group(images, name, sizes)
    chosen = {"validation": np.flatnonzero(inside)}
    if "test" in sizes:
        raise ValueError(f"{name} has a folder validation and none named test: add it, or leave out both.")
    return chosen


def by_time(images: Images, name: str, test: float = 0.3) -> dict[str, Array]:
    """Tests on the last windows of every recording, validates on the last tenth of those before, trains on the first.

    Windows of one recording are in all three parts, apart in time: for a handful of long recordings, and said on the
    card.
    """
    number = np.array([int(re.findall(r"@(\d+)$", i)[0]) if "@" in i else -1 for i in images.ids.tolist()])
    if (number < 0).any():
        raise ValueError(
            f"{name}: split='time' cuts windows of recordings; pass cut_us=, their length in microseconds."
        )
    parts: dict[str, list[Array]] = {"test": [], "validation": []}
    recordings = np.array([str(i).partition("@")[0] for i in images.ids.tolist()])
    order = np.lexsort((number, recordings))
    names, starts = np.unique(recordings[order], return_index=True)
    for recording, own in zip(names, np.split(order, starts[1:]), strict=True):
        late = len(own) - round(len(own) * test)
        before = late - max(1, late // 10)
        if before < 1 or late == len(own):
            raise ValueError(
                f"{name}: {recording} has {len(own)} windows, too few to cut by time: take a smaller cut_us=."
            )
        parts["validation"].append(own[before:late])
        parts["test"].append(own[late:])
    return {part: np.sort(np.concatenate(found)) for part, found in parts.items()}


def _groups(images: Images) -> Array:
    frames: Any = images.images
    groups: Array = images.ids if getattr(frames, "groups", None) is None else frames.groups
    return groups
