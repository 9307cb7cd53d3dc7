"""One's own recordings: a folder with a folder a class, or one with train, test and validation above these."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from kspike._messages import shown
from kspike.data.arguments import whole
from kspike.data.events import reading, splits
from kspike.data.events.files import EventSet, Item, child, classes
from kspike.data.events.sets import finding

SPLITS = ("by_recording", "time")


def opened(
    folder: Path,
    *,
    sensor_size: tuple[int, int] | None = None,
    class_names: Sequence[str] | None = None,
    split: str | None = None,
    group: str | None = None,
    cut_us: int | None = None,
    name: str | None = None,
    mirrored: bool = True,
    **options: Any,
) -> EventSet:
    """Describes the recordings of a folder; only the first file is read, for the sensor's size."""
    if not folder.is_dir():
        raise ValueError(f"There is no folder {shown(str(folder))}.")
    name = name or re.sub(r"\W+", "_", folder.resolve().name).strip("_").lower() or "events"
    named = finding.chosen_split(name, split, SPLITS)
    if cut_us is not None:
        whole("cut_us", cut_us, 1)
    parts = {part: below for part in ("train", "validation", "test") if (below := child(folder, part)) is not None}
    if parts and "train" not in parts:
        raise ValueError(
            f"{folder} has a folder {' and '.join(parts)} and none named train: name it so, or have none of them."
        )
    if named == "time" and "test" in parts:
        raise ValueError(f"{folder} has folders train and test: split='time' would cut what is cut already.")
    labels = _classes(folder, parts, class_names)
    items = {
        part: _grouped(finding.tree(below, labels, reading.suffixes(), f"{part}/"), group, below)
        for part, below in (parts or {"train": folder}).items()
    }
    if not parts:
        items = {"train": tuple(item._replace(id=item.id.removeprefix("train/")) for item in items["train"])}
    items["train"] += items.pop("validation", ())
    for part, found in items.items():
        if not found:
            known = ", ".join(reading.suffixes())
            raise ValueError(
                f"{parts.get(part, folder)} holds no recording in its classes' folders; known are {known}."
            )
    sizes = (
        {"validation": splits.VALIDATION} if "test" in items else {"test": splits.TEST, "validation": splits.VALIDATION}
    )
    cut = partial(splits.by_time, name=name) if named == "time" else partial(splits.by_folder, name=name, sizes=sizes)
    given = {key: value for key, value in options.items() if value is not None}
    return EventSet(
        name=name,
        version="1",
        sensor_size=_sensor_size(items["train"][0].path, sensor_size, given),
        class_names=labels,
        items=items,
        split=named if group is None else f"{named}, groups {group!r}",
        cut=cut,
        options=given,
        cut_us=cut_us,
        mirrored=mirrored,
        source=str(folder),
    )


def _classes(folder: Path, parts: dict[str, Path], wanted: Sequence[str] | None) -> tuple[str, ...]:
    found: dict[str, Path] = {}
    for below in parts.values() or (folder,):
        found |= classes(below)
    if wanted is not None:
        strange = sorted(set(found) - set(wanted))
        if strange:
            raise ValueError(
                f"{found[strange[0]]} is none of the classes {', '.join(wanted)}: move it, or name it there."
            )
        return tuple(wanted)
    if len(found) < 2:
        raise ValueError(
            f"{folder} holds {len(found)} folder(s) of classes; expected one for each of at least two classes."
        )
    return tuple(sorted(found))


def _grouped(items: tuple[Item, ...], group: str | None, below: Path) -> tuple[Item, ...]:
    """The same items, each with the group that a regular expression finds in its path below the classes' folders."""
    if group is None:
        return items
    try:
        pattern = re.compile(group)
    except (re.error, TypeError) as error:
        raise ValueError(
            f"group: expected a regular expression that finds a group's name in a path; received {error}."
        ) from None
    out = []
    for item in items:
        found = pattern.search(item.path.relative_to(below).as_posix())
        if found is None:
            raise ValueError(f"group: {group!r} finds nothing in {item.path.relative_to(below)}.")
        out.append(item._replace(group=found[found.re.groups and 1]))
    return tuple(out)


def _sensor_size(first: Path, given: tuple[int, int] | None, options: dict[str, Any]) -> tuple[int, int]:
    recording = reading.read_quietly(first, given, **options)
    if given is None and any("sensor's size is not known" in note for note in recording.notes):
        raise ValueError(
            f"{first} does not say the size of its sensor: pass sensor_size=(height, width), the same for all "
            "recordings."
        )
    return recording.sensor_size
