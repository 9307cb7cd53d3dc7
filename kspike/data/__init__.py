"""Real images and events as batches: loaded, cut into fixed splits, shuffled, augmented, normalised; channels last.

Names are resolved when first used: what an event camera's frames are needs no Keras.
"""

from typing import TYPE_CHECKING

from kspike._lazy import attributes

if TYPE_CHECKING:
    from kspike.data import events
    from kspike.data.augmentation import Augmentation
    from kspike.data.dataset import Dataset
    from kspike.data.event_loading import from_events
    from kspike.data.loading import load, names
    from kspike.data.named_augmentations import augmentations
    from kspike.data.normalization import normalize
    from kspike.data.own.arrays import from_arrays
    from kspike.data.own.directory import from_directory
    from kspike.data.own.items import from_dataset
    from kspike.data.own.opening import is_own, open_data
    from kspike.data.split import Split
    from kspike.data.teacher import TeacherLogits

__all__ = [
    "Augmentation",
    "Dataset",
    "Split",
    "TeacherLogits",
    "augmentations",
    "events",
    "from_arrays",
    "from_dataset",
    "from_directory",
    "from_events",
    "is_own",
    "load",
    "names",
    "normalize",
    "open_data",
]

#: Public names and the module that holds each.
_LAZY = {
    "Augmentation": "augmentation",
    "Dataset": "dataset",
    "Split": "split",
    "TeacherLogits": "teacher",
    "augmentations": "named_augmentations",
    "from_arrays": "own.arrays",
    "from_dataset": "own.items",
    "from_directory": "own.directory",
    "from_events": "event_loading",
    "is_own": "own.opening",
    "load": "loading",
    "names": "loading",
    "normalize": "normalization",
    "open_data": "own.opening",
}

__getattr__, __dir__ = attributes(__name__, _LAZY, __all__, modules=True)
