"""Named augmentations of training images, and the reader of an `augment=` argument."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from kspike._registry import meant
from kspike.data.augmentation import Augmentation

# "spikformer": the official CIFAR recipe; its mixup stops at epoch 200 of 310, which is for a training recipe to say.
NAMED = {
    "none": Augmentation(),
    "shift": Augmentation(shift=0.125),
    "flip_shift": Augmentation(flip=0.5, shift=0.125),
    "standard": Augmentation(flip=0.5, shift=0.125, erase=0.25),
    "spikformer": Augmentation(flip=0.5, distort=0.5, erase=0.25, mixup=0.5, fill="mean"),
}


def augmentations() -> tuple[str, ...]:
    """Lists the augmentations that `kspike.data.load` knows by name."""
    return tuple(NAMED)


def as_augmentation(value: Any, mirrored: bool = True) -> Augmentation:
    """Reads an `augment=` argument: None, a name, an Augmentation, or a mapping as `to_dict` gives it.

    Named augmentations never mirror digits or letters, which would change their class: where `mirrored` is false they
    do not flip, and "flip_shift", which is nothing else, is refused. Your own Augmentation is used as given.
    """
    if value is None:
        return NAMED["none"]
    if isinstance(value, Augmentation):
        return value
    if isinstance(value, Mapping):
        return Augmentation.from_dict(value)
    if value not in NAMED:
        raise ValueError(
            f"Unknown augmentation {value!r}.{meant(value, NAMED)} Known: {', '.join(NAMED)}; or pass a "
            "kspike.data.Augmentation."
        )
    if mirrored:
        return NAMED[value]
    if value == "flip_shift":
        raise ValueError(
            "augment='flip_shift' mirrors images, and mirrored digits are other signs: use augment='shift', or pass "
            "Augmentation(flip=0.5, shift=0.125) if that is meant."
        )
    if value == "standard":
        return NAMED["shift"]
    return dataclasses.replace(NAMED[value], flip=0.0)
