"""CIFAR10-DVS: 10,000 CIFAR-10 images moving on a screen before a DVS128 (Li et al., 2017); it has no official split.

Three splits are in use, and figures of one are not comparable with those of another:

- "first_90_percent": of each class, in the order of the files' numbers, the first 90 % train and the last 10 % test
  (numbers 900 to 999 of the full set). SpikingJelly's `split_to_train_test_set` does so, but over names in the order of
  their letters.
- "random_90_percent": 10 % of each class at random test; which, is fixed and published
  (kspike/data/files/splits/cifar10_dvs_random_90_percent.json).
- "tebn": numbers 0 to 99 test, the others train, as Duan et al. (2022), "Temporal Effective Batch Normalization in
  Spiking Neural Networks", have it. SpikingJelly warns that accuracy on it is typically much higher than on a random
  split.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import numpy as np

from kspike.data import partition
from kspike.data.class_names import CIFAR10
from kspike.data.events.files import EventSet, Item, roots
from kspike.data.events.recording import Recording
from kspike.data.events.sets import finding
from kspike.data.sources import Array, Images

NAME, SENSOR, EACH = "cifar10_dvs", (128, 128), 1_000
SPLITS = ("first_90_percent", "random_90_percent", "tebn")


def opened(data_dir: Path, split: str | None) -> EventSet:
    """Finds airplane/cifar10_airplane_0.aedat (the authors'), .aedat4 (tonic's), or SpikingJelly's events_np."""
    named = finding.chosen_split(NAME, split, SPLITS)
    for root in roots(data_dir, NAME, "CIFAR10DVS", "CIFAR10-DVS"):
        items = finding.tree(root, CIFAR10, (".aedat", ".aedat4", ".npz"))
        items = tuple(item for item in items if re.fullmatch(r"cifar10_[a-z]+_\d+", item.path.stem))
        if items:
            break
    else:
        raise finding.missing(NAME, data_dir, "airplane/cifar10_airplane_0.aedat, or SpikingJelly's events_np")
    items = tuple(item._replace(id=item.path.stem, group=item.path.stem) for item in items)
    return EventSet(
        name=NAME,
        version="2017",
        sensor_size=SENSOR,
        class_names=CIFAR10,
        items={"train": items},
        split=named,
        cut=partial(cut, split=named),
        absent=finding.absent(len(items), EACH * len(CIFAR10), "recordings"),
        turned=_upright,
        source="https://figshare.com/articles/dataset/CIFAR10-DVS_New/4724671",
        license="CC BY 4.0",
        citation=(
            "Li, H.; Liu, H.; Ji, X.; Li, G.; and Shi, L. (2017). CIFAR10-DVS: An Event-Stream Dataset for Object "
            "Classification. Frontiers in Neuroscience 11:309."
        ),
    )


def cut(images: Images, split: str) -> dict[str, Array]:
    """The positions that test, and a tenth of the others, by id, that validate."""
    test = np.flatnonzero(_tests(images, split))
    if not len(test) or len(test) == len(images.ids):
        raise ValueError(
            f"{NAME}: the split {split!r} leaves no recording to {'train on' if len(test) else 'test on'} here."
        )
    rest = np.setdiff1d(np.arange(len(images.ids)), test)
    chosen, _ = partition.choose(images.ids[rest], images.labels[rest], max(1, len(rest) // 10), f"{NAME}/validation")
    return {"test": test, "validation": rest[chosen]}


def random_ids() -> Array:
    """The ids of the 1,000 recordings that "random_90_percent" tests on: of all 10,000, whatever copy is here."""
    ids = np.array([f"cifar10_{name}_{number}" for name in CIFAR10 for number in range(EACH)])
    labels = np.repeat(np.arange(len(CIFAR10)), EACH)
    chosen, _ = partition.choose(ids, labels, len(ids) // 10, f"{NAME}/random_90_percent")
    return ids[chosen]


def _tests(images: Images, split: str) -> Array:
    if split == "random_90_percent":
        return np.isin(images.ids, random_ids())
    number = np.array([int(str(name).rpartition("_")[2]) for name in images.ids.tolist()])
    if split == "tebn":
        return number < EACH // 10
    out = np.zeros(len(number), bool)
    for label in np.unique(images.labels):
        own = np.flatnonzero(images.labels == label)
        out[own[np.argsort(number[own])][-(-len(own) * 9 // 10) :]] = True
    return out


def _upright(recording: Recording, item: Item) -> Recording:
    """Turns an AEDAT 2.0 recording as the screen stood: both axes reversed and exchanged, as SpikingJelly does."""
    if item.path.suffix.lower() != ".aedat":
        return recording
    last = SENSOR[0] - 1
    return recording.moved(last - recording.y.astype(np.int32), last - recording.x.astype(np.int32))
