"""Opens data sets of event cameras: those known by name, and folders of one's own."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kspike._files import expanded
from kspike.data import arguments
from kspike.data import cache as decoded
from kspike.data.dataset import Dataset
from kspike.data.events import folder as folders
from kspike.data.events.augmentation import EventAugmentation
from kspike.data.events.framing import Framing, as_framing
from kspike.data.events.named_augmentations import as_event_augmentation
from kspike.data.events.sets import PACKED, SETS, digits_events
from kspike.data.sources import Source

#: The environment variable that names the folder of event data sets, where `data_dir` is not given.
FOLDER = "KSPIKE_EVENTS_DIR"
#: Below the folder of decoded images.
KEPT = "events"


def names() -> tuple[str, ...]:
    """The event data sets known by name; the first travels with the package."""
    return (PACKED, *SETS)


def check_spelling(name: str) -> None:
    """Refuses an event data set's name in another spelling, "N-MNIST" or "DVSGesture", and says the known one."""
    plain = re.sub(r"[\W_]+", "", name.lower())
    known = {re.sub("_", "", one): one for one in names()} | {
        "dvsgesture": "dvs128_gesture",
        "gesture": "dvs128_gesture",
    }
    if plain in known and name not in names():
        raise ValueError(f"Unknown data set {name!r}. Did you mean {known[plain]!r}?")


def refuse(name: str, given: Mapping[str, Any], kind: str) -> None:
    """Refuses arguments that are of images or of events alone."""
    strange = [f"{key}=" for key, value in given.items() if value is not None]
    if strange:
        raise ValueError(
            f"{name!r} takes no {', '.join(strange)}: {'they are' if len(strange) > 1 else 'it is'} of {kind}."
        )


def source(
    name: str,
    *,
    data_dir: str | os.PathLike[str] | None,
    image_size: tuple[int, int] | None,
    keep: bool,
    timesteps: int | tuple[int, ...] | None,
    frames: str | None,
    window_us: int | None,
    framing: Framing | Mapping[str, Any] | None,
    split: str | None,
) -> Source:
    """Describes a set known by name; recordings are framed when a split is read."""
    chosen = as_framing(framing, timesteps, frames, window_us, image_size)
    if name == PACKED:
        return digits_events.source(chosen, split)
    root = data_dir or os.environ.get(FOLDER)
    if root is None:
        raise ValueError(
            f"data_dir: expected the folder that holds {name!r}, which kspike does not download; received None. The "
            f"environment variable {FOLDER} may name it too."
        )
    root = expanded(root)
    return SETS[name](root, split).as_source(chosen, _kept(root) if keep else None)


def from_events(
    folder: str | os.PathLike[str],
    batch_size: int = 64,
    seed: int = 0,
    *,
    timesteps: int | tuple[int, ...] | None = None,
    frames: str | None = None,
    window_us: int | None = None,
    framing: Framing | Mapping[str, Any] | None = None,
    image_size: int | tuple[int, int] | None = None,
    sensor_size: tuple[int, int] | None = None,
    class_names: Sequence[str] | None = None,
    split: str | None = None,
    group: str | None = None,
    cut_us: int | None = None,
    augment: str | EventAugmentation | Mapping[str, Any] | None = None,
    mirrored: bool = True,
    cache: bool = True,
    name: str | None = None,
    time_unit: str | None = None,
    order: str | None = None,
    camera: str | None = None,
) -> Dataset:
    """Opens a folder of recordings as three fixed, disjoint splits, as `load` does a known set.

    The folder holds a folder a class, with files of any format that `kspike.events.read` knows; or folders train and
    test (and validation) with these in each. Where there is none named test, recordings are cut by the hash of their
    names: 70 % train, 10 % validate, 20 % test.

    ```python
    data = kspike.data.from_events("recordings", timesteps=10, cut_us=1_000_000, image_size=32)
    ```

    Args:
        folder: see above.
        batch_size, seed, timesteps, frames, window_us, framing: as in `load`.
        image_size: one number or (height, width), to which the sensor's pixels are summed.
        sensor_size: (height, width) of the sensor, where the files do not say it: one for all recordings.
        class_names: the classes in the order of the labels; by default the folders' names, sorted.
        split: "by_recording" (the default), where windows of one recording, and recordings of one `group`, never fall
            into two parts; or "time", where the first of each recording's windows train, the next tenth of those
            validates, and the last 30 % test.
        group: a regular expression that finds in a file's path what must not be divided, as r"user(\\d+)".
        cut_us: cuts every recording into windows of so many microseconds, each an example; the rest at its end is left
            out.
        augment: a name, an `events.EventAugmentation`, or its dict.
        mirrored: whether a mirrored recording still shows its class; otherwise nothing may flip.
        cache: whether to keep frames in KSPIKE_CACHE, or in `kspike_cache` inside the folder.
        name: of the data set, for cards; the folder's by default.
        time_unit, order, camera: as in `kspike.events.read`, for all files.

    Raises:
        ValueError: a folder without classes or recordings, a file that cannot be read, or too short for its frames:
            with its path, before training.
    """
    root = expanded(folder)
    size = arguments.image_size(image_size)
    chosen = as_framing(framing, timesteps, frames, window_us, size)
    found = folders.opened(
        root, sensor_size=sensor_size, class_names=class_names, split=split, group=group, cut_us=cut_us, name=name,
        mirrored=mirrored, time_unit=time_unit, order=order, camera=camera,
    )  # fmt: skip
    made = found.as_source(chosen, _kept(root) if cache else None)
    return dataset(made, batch_size=batch_size, seed=seed, augment=augment)


def dataset(made: Source, *, batch_size: int, seed: int, augment: Any) -> Dataset:
    """A source of event frames -> its data set."""
    augmentation = as_event_augmentation(augment, made.name, made.mirrored)
    return Dataset(made, batch_size=batch_size, seed=seed, augmentation=augmentation)


def _kept(root: Path) -> Path:
    return decoded.folder(root) / KEPT
