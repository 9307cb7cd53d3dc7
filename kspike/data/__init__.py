"""Real images and events as batches: loaded, cut into fixed splits, shuffled, augmented, normalised; channels last."""

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
