"""Cuts a data set into fixed splits by image id: the same images in every run, on every machine, whatever the seed.

Each id is hashed together with the purpose of the cut, and images are taken in the order of their hashes, the classes
in proportion. No seed is involved: seeds only shuffle within a split. The splits for training, scoring, picking and
testing are therefore disjoint, and can be named in a publication.
"""

import hashlib
from collections.abc import Mapping

import numpy as np

from kspike.data.sources import Array


def fixed_order(ids: Array, labels: Array, purpose: str) -> Array:
    """Puts images into a fixed order of which every prefix holds the classes in proportion.

    Args:
        ids: (n,) names of the images.
        labels: (n,) their classes.
        purpose: makes the orders of different cuts independent of one another.

    Returns:
        (n,) positions: the first k of them are a balanced choice of k images, and include every smaller choice.
    """
    keys = np.array([_key(f"{purpose}/{i}") for i in ids.tolist()], dtype=np.uint64)
    by_class = np.lexsort((keys, labels))
    _, starts, counts = np.unique(labels[by_class], return_index=True, return_counts=True)
    rank = np.arange(len(ids)) - np.repeat(starts, counts)
    # The image of rank r among c stands at (r + 1/2) / c of the whole: quantiles, so rare classes keep their share.
    place = np.empty(len(ids))
    place[by_class] = (rank + 0.5) / np.repeat(counts, counts)
    return np.lexsort((keys, place))


def choose(ids: Array, labels: Array, n: int, purpose: str) -> tuple[Array, Array]:
    """Splits positions into n chosen ones and the rest, both in ascending order."""
    order = fixed_order(ids, labels, purpose)
    return np.sort(order[:n]), np.sort(order[n:])


def halve(ids: Array, labels: Array, purpose: str) -> tuple[Array, Array]:
    """Splits positions into two disjoint halves; no class is larger in one of them by more than one image."""
    keys = np.array([_key(f"{purpose}/{i}") for i in ids.tolist()], dtype=np.uint64)
    by_class = np.lexsort((keys, labels))
    return np.sort(by_class[0::2]), np.sort(by_class[1::2])


def digest(splits: Mapping[str, Array]) -> str:
    """SHA-256 of a partition: of one line a split, `name:id,id,...`, splits and ids in ascending order."""
    lines = (f"{name}:{','.join(sorted(splits[name].tolist()))}\n" for name in sorted(splits))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _key(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
