"""N-Caltech101: Caltech101 images before an ATIS camera that moves in three saccades (Orchard et al., 2015)."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from kspike.data.events import splits
from kspike.data.events.files import EventSet, classes, roots
from kspike.data.events.sets import finding
from kspike.data.events.sets.nmnist import CITATION

#: The images' own sizes differ, up to 233 x 173; the camera's part that sees them is this.
NAME, SENSOR = "n_caltech101", (180, 240)
#: Recordings and classes: 100 objects ("Faces" is left out, "Faces_easy" is in) and a background.
FULL, CLASSES = 8_709, 101
#: A folder of these is the set, and not another one of .bin files.
SIGNS = ("accordion", "airplanes", "backgroundgoogle", "faceseasy", "leopards", "motorbikes", "wrench")


def opened(data_dir: Path, split: str | None) -> EventSet:
    """Finds Caltech101/accordion/image_0001.bin (the authors', tonic's), or SpikingJelly's events_np."""
    named = finding.chosen_split(NAME, split, ("by_id",))
    for root in roots(data_dir, NAME, "Caltech101", "N-Caltech101", "N_Caltech101", "NCaltech101"):
        labels = _classes(root)
        items = finding.tree(root, labels, (".bin", ".npz"))
        if items:
            break
    else:
        raise finding.missing(NAME, data_dir, "Caltech101/accordion/image_0001.bin, or SpikingJelly's events_np")
    return EventSet(
        name=NAME,
        version="2015",
        sensor_size=SENSOR,
        class_names=labels,
        items={"train": items},
        split=named,
        cut=partial(splits.by_group, name=NAME, sizes={"test": splits.TEST, "validation": splits.VALIDATION}),
        absent=finding.joined(
            [finding.absent(len(items), FULL, "recordings"), finding.absent(len(labels), CLASSES, "classes")]
        ),
        source="https://www.garrickorchard.com/datasets/n-caltech101",
        citation=CITATION,
    )


def _classes(root: Path) -> tuple[str, ...]:
    names = tuple(classes(root))
    return names if {name.lower().replace("_", "") for name in names} & set(SIGNS) else ()
