"""Event cameras: recordings read from files, mended and filtered, counted in frames, augmented."""

from kspike.data.events.augmentation import EventAugmentation
from kspike.data.events.filters import crop, refractory, remove_hot_pixels, resize
from kspike.data.events.frames import to_frames, voxel_grid
from kspike.data.events.framing import Framing
from kspike.data.events.named_augmentations import augmentations
from kspike.data.events.reading import formats, read
from kspike.data.events.recording import Recording, as_recording
from kspike.data.events.simulation import Camera

__all__ = [
    "Camera",
    "EventAugmentation",
    "Framing",
    "Recording",
    "as_recording",
    "augmentations",
    "crop",
    "formats",
    "read",
    "refractory",
    "remove_hot_pixels",
    "resize",
    "to_frames",
    "voxel_grid",
]
