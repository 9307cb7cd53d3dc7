"""The event data sets known by name: one file each, with the layouts in which it is left on a disk, and its splits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kspike.data.events.files import EventSet
from kspike.data.events.sets import cifar10_dvs, digits_events, dvs128_gesture, n_caltech101, nmnist

#: Name -> what opens it: (data_dir, split) -> EventSet.
SETS: dict[str, Callable[[Path, str | None], EventSet]] = {
    "nmnist": nmnist.opened,
    "dvs128_gesture": dvs128_gesture.opened,
    "cifar10_dvs": cifar10_dvs.opened,
    "n_caltech101": n_caltech101.opened,
}
#: The set that travels with the package.
PACKED = digits_events.NAME

__all__ = ["PACKED", "SETS", "digits_events"]
