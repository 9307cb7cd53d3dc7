"""Compares what a file gave with what a network gives, spike by spike; and says which differences rounding explains."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kspike.export.report import Comparison, NeuronDifference
from kspike.export.running import unpack

#: Of real numbers, which an ANN twin's layers give: how far two may lie apart, over the largest of the layer.
CLOSE = 1e-5
#: Images that a neuron's difference names.
SHOWN = 8


def compare(
    found: Path, other: Path, near: Path, neurons: Sequence[str], order: Sequence[str], beside: str
) -> Comparison:
    """Compares a file's outputs with a network's, batch by batch.

    Args:
        found: the folder of what the file gave, its spikes in the order of `neurons`.
        other: the folder of what the network gives, in the order of `order`.
        near: the folder that holds, after the spikes in the order of `order`, where rounding decides.
        neurons, order: names.
        beside: whose network it is.

    Raises:
        ValueError: the file has other neurons than the network.
    """
    if sorted(neurons) != sorted(order):
        raise ValueError(f"Expected the neurons {sorted(order)}; the file has {sorted(neurons)}.")
    counts = {name: [0, 0, 0, 0] for name in order}
    where: dict[str, list[int]] = {name: [] for name in order}
    images = changed = 0
    difference = ulp = 0.0
    for number in range(len(list(found.glob("*.npz")))):
        with (
            np.load(found / f"{number}.npz") as a,
            np.load(other / f"{number}.npz") as b,
            np.load(near / f"{number}.npz") as c,
        ):
            logits = np.stack([a["logits"], b["logits"]]).astype("float64")
            apart = np.abs(logits[0] - logits[1])
            difference = max(difference, float(apart.max(initial=0.0)))
            last = np.spacing(np.abs(logits[1]).max(axis=-1).astype("float32")).astype("float64")
            ulp = max(ulp, float((apart.max(axis=-1) / last).max(initial=0.0)))
            changed += int((logits[0].argmax(-1) != logits[1].argmax(-1)).sum())
            earlier = np.zeros(logits.shape[1], bool)
            for i, name in enumerate(order):
                mine, theirs = unpack(a, neurons.index(name)), unpack(b, i)
                if mine.size == theirs.size:  # a map's height and width, or its tokens
                    mine = mine.reshape(theirs.shape)
                if mine.shape != theirs.shape:
                    raise ValueError(f"Expected spikes of {name} as {theirs.shape}; the file gives {mine.shape}.")
                differs = unequal(mine, theirs)
                count = counts[name]
                count[0] += differs.size
                if not differs.any():
                    continue
                close = differs & unpack(c, len(order) + i)
                behind = differs & ~close & earlier.reshape((-1, *[1] * (differs.ndim - 1)))
                for at, mask in enumerate((differs, close, behind), 1):
                    count[at] += int(mask.sum())
                rows = differs.reshape(len(differs), -1).any(axis=1)
                where[name] += [images + int(row) for row in np.flatnonzero(rows)]
                earlier |= rows
            images += logits.shape[1]
    fields = ("compared", "differing", "rounding", "following")
    found_by = {
        name: NeuronDifference(**dict(zip(fields, counts[name], strict=True)), images=tuple(where[name][:SHOWN]))
        for name in order
    }
    return Comparison(beside, images, difference, ulp, changed, found_by)


def unequal(mine: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Where two tensors of spikes differ: whole numbers by anything, real ones by more than rounding."""
    if theirs.dtype == bool and mine.dtype == bool:
        return mine != theirs
    a, b = np.asarray(mine, "float32"), np.asarray(theirs, "float32")
    if (b == np.rint(b)).all():
        return a != b
    return ~(np.abs(a - b) <= CLOSE * np.abs(b).max())
