"""N-MNIST: MNIST digits on a screen before an ATIS camera that moves in three saccades (Orchard et al., 2015)."""

from __future__ import annotations

from pathlib import Path

from kspike.data.events.files import EventSet, child, roots
from kspike.data.events.sets import finding

NAME, SENSOR = "nmnist", (34, 34)
FULL = {"train": 60_000, "test": 10_000}
CLASSES = tuple("0123456789")


def opened(data_dir: Path, split: str | None) -> EventSet:
    """Finds Train/0/00002.bin (the authors', tonic's) or events_np/train/0/00002.npz (SpikingJelly's)."""
    named = finding.chosen_split(NAME, split, ("official",))
    for root in roots(data_dir, NAME, "N-MNIST", "N_MNIST"):
        folders = {part: child(root, part) for part in FULL}
        items = {
            part: finding.tree(folder, CLASSES, (".bin", ".bs2", ".npz"), f"{part}/")
            for part, folder in folders.items()
            if folder is not None
        }
        if all(items.get(part) for part in FULL):
            break
    else:
        raise finding.missing(NAME, data_dir, "Train/0/00002.bin and Test/0/00004.bin, or SpikingJelly's events_np")
    return EventSet(
        name=NAME,
        version="2015",
        sensor_size=SENSOR,
        class_names=CLASSES,
        items=items,
        split=named,
        absent=finding.joined(finding.absent(len(items[part]), FULL[part], f"{part} recordings") for part in FULL),
        mirrored=False,
        source="https://www.garrickorchard.com/datasets/n-mnist",
        citation=CITATION,
    )


CITATION = (
    "Orchard, G.; Cohen, G.; Jayawant, A.; and Thakor, N. (2015). Converting Static Image Datasets to Spiking "
    "Neuromorphic Datasets Using Saccades. Frontiers in Neuroscience 9:437."
)
