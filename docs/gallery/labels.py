"""Classes of test images, in the order in which cards keep their predictions: docs/gallery/labels.npz.

Made by `python docs/gallery/labels.py digits cifar10`, with the data sets at hand (TFDS_DATA_DIR); pages are then built
without them. A card says by a hash whose labels belong to its predictions: others are not used.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).with_name("labels.npz")


def of(metadata: dict[str, Any]) -> np.ndarray | None:
    """An entry's metadata -> the classes of its test images, `(n,)`; None where they are not known."""
    from kspike.zoo.evaluating import hash_labels

    predictions, name = metadata["predictions"], (metadata["data"] or {}).get("name")
    if predictions is None:
        return None
    with np.load(FILE, allow_pickle=False) as known:
        labels = known[name].astype("int64") if name in known else None
    if labels is None or hash_labels(labels) != predictions["labels_sha256"]:
        return None
    return labels


def main(names: list[str]) -> None:
    """Reads the test labels of data sets and writes them all."""
    import kspike

    found = {name: kspike.data.load(name).test.labels for name in names}
    np.savez_compressed(FILE, **{name: each.astype(np.min_scalar_type(each.max())) for name, each in found.items()})
    print(f"wrote {FILE}: {', '.join(f'{len(labels):,} of {name}' for name, labels in found.items())}")


if __name__ == "__main__":
    main(sys.argv[1:])
