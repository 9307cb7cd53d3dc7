"""Named augmentations of events, and the reader of an `augment=` argument."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from kspike._registry import meant
from kspike.data.augmentation import Augmentation
from kspike.data.events.augmentation import UNCHANGED, EventAugmentation

NAMED = {
    "none": UNCHANGED,
    "shift": EventAugmentation(shift=0.125),
    "flip_shift": EventAugmentation(flip=0.5, shift=0.125),
    "standard": EventAugmentation(flip=0.5, shift=0.125, cutout=0.25),
    "event_drop": EventAugmentation(flip=0.5, shift=0.125, drop_area=0.3, drop_time=0.3, drop_events=0.3),
}


def augmentations() -> tuple[str, ...]:
    """Lists the augmentations of events that `kspike.data.load` knows by name."""
    return tuple(NAMED)


def from_dict(values: Mapping[str, Any]) -> Augmentation | EventAugmentation:
    """Reads an augmentation of images or of events, whichever has all of these names; of both, that of images."""
    known = ({field.name for field in dataclasses.fields(kind)} for kind in (Augmentation, EventAugmentation))
    images, events = (set(values) <= names for names in known)
    return EventAugmentation.from_dict(values) if events and not images else Augmentation.from_dict(values)


def as_event_augmentation(value: Any, name: str, mirrored: bool) -> EventAugmentation:
    """Reads the `augment=` argument of a data set of events: None, a name, an EventAugmentation, or its dict.

    Where a mirror changes the class (`mirrored` is false) names do not flip, and what is asked to flip is refused.
    """
    if value is None:
        return UNCHANGED
    if isinstance(value, str):
        if value not in NAMED:
            raise ValueError(
                f"Unknown augmentation of events {value!r}.{meant(value, NAMED)} Known: {', '.join(NAMED)}; or pass a "
                "kspike.events.EventAugmentation."
            )
        if value != "flip_shift" and not mirrored:
            return dataclasses.replace(NAMED[value], flip=0.0)
        value = NAMED[value]
    elif isinstance(value, Mapping):
        value = EventAugmentation.from_dict(value)
    if not isinstance(value, EventAugmentation):
        raise ValueError(
            f"augment: expected a name, a kspike.events.EventAugmentation, or its dict; received {value!r}."
        )
    if value.flip and not mirrored:
        raise ValueError(
            f"augment: expected flip=0 for {name!r}, received flip={value.flip}: a mirror makes another class of its "
            "recordings (a digit's sign, the other hand). Use augment='shift'."
        )
    return value
