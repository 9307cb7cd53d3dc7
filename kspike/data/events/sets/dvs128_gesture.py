"""DVS128 Gesture: 29 people make 11 gestures by hand and arm before a DVS128 (Amir et al., 2017).

Official split: users 1 to 23 train, 24 to 29 test. Validation is by user too: 20 to 23, so that nobody is in two parts.
A mirrored recording shows another gesture (right hand, left hand): nothing is mirrored.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from kspike._messages import warn
from kspike.data.events import splits
from kspike.data.events.files import EventSet, Item, child, listed, roots
from kspike.data.events.sets import finding
from kspike.data.sources import Array, Images

NAME, SENSOR = "dvs128_gesture", (128, 128)
CLASSES = (
    "hand_clapping", "right_hand_wave", "left_hand_wave", "right_arm_clockwise", "right_arm_counter_clockwise",
    "left_arm_clockwise", "left_arm_counter_clockwise", "arm_roll", "air_drums", "air_guitar", "other_gestures",
)  # fmt: skip
TRAINING_USERS, VALIDATION_USERS = range(1, 24), range(20, 24)
#: Gestures cut out of the authors' recordings by their own tables.
FULL = {"train": 1_176, "test": 288}
_USER = re.compile(r"user(\d+)")


def opened(data_dir: Path, split: str | None) -> EventSet:
    """Finds user01_fluorescent.aedat with its table of labels (the authors'), SpikingJelly's or tonic's files."""
    named = finding.chosen_split(NAME, split, ("official_by_user",))
    for root in roots(data_dir, NAME, "DvsGesture", "DVSGesture", "DVS128Gesture"):
        for layout in (_authors, _spikingjelly, _tonic):
            items = {part: tuple(found) for part, found in layout(root).items()}
            if all(items.values()):
                return _described(items, named, milliseconds=layout is _tonic)
    raise finding.missing(
        NAME,
        data_dir,
        "user01_fluorescent.aedat with user01_fluorescent_labels.csv of users on both sides of the split, "
        "SpikingJelly's events_np/train/0/user01_fluorescent_0.npz, or tonic's "
        "ibmGestureTrain/user01_fluorescent/0.npy",
    )


def _described(items: dict[str, tuple[Item, ...]], split: str, milliseconds: bool) -> EventSet:
    return EventSet(
        name=NAME,
        version="2017",
        sensor_size=SENSOR,
        class_names=CLASSES,
        items=items,
        split=split,
        cut=cut,
        # tonic's files hold the authors' own selection of gestures, another number than the tables have
        absent=""
        if milliseconds
        else finding.joined(finding.absent(len(items[part]), FULL[part], f"{part} gestures") for part in FULL),
        options={"order": "xypt", "time_unit": "ms"} if milliseconds else {},
        mirrored=False,
        source="https://research.ibm.com/interactive/dvsgesture/",
        license="CC BY 4.0",
        citation=(
            "Amir, A. et al. (2017). A Low Power, Fully Event-Based Gesture Recognition System. IEEE Conference on "
            "Computer Vision and Pattern Recognition."
        ),
    )


def cut(images: Images) -> dict[str, Array]:
    """The recordings of users 20 to 23; where a subset has none of them, users by hash, which is said."""
    frames = images.images
    users = np.array([int(_USER.findall(group)[0]) for group in frames.groups.tolist()])
    chosen = np.flatnonzero(np.isin(users, VALIDATION_USERS))
    if 0 < len(chosen) < len(users):
        return {"validation": chosen}
    warn(
        f"{NAME}: this copy has recordings of {'no other users than' if len(chosen) else 'none of the users'} 20 to "
        "23, who validate; other users do. Figures are not comparable.",
    )
    return splits.by_group(images, NAME, {"validation": 4 / 23})


def _authors(root: Path) -> dict[str, list[Item]]:
    found: dict[str, list[Item]] = {"train": [], "test": []}
    if not root.is_dir():
        return found
    stated = {part: _trials(root / f"trials_to_{part}.txt") for part in found}
    for path in listed(root, (".aedat",)):
        table = path.with_name(f"{path.stem}_labels.csv")
        user = _USER.match(path.stem)
        if user is None or not table.is_file():
            continue
        part = next((part for part, names in stated.items() if path.name in names), None)
        if part is None:
            if any(stated.values()):
                continue  # the authors list it in neither
            part = "train" if int(user[1]) in TRAINING_USERS else "test"
        for number, (label, start, stop) in enumerate(_labels(table)):
            found[part].append(Item(path, label, f"{part}/{path.stem}/{number:02d}", user[0], start, stop))
    return found


def _spikingjelly(root: Path) -> dict[str, list[Item]]:
    found: dict[str, list[Item]] = {}
    for part in FULL:
        folder = child(root, part)
        items = (
            finding.tree(folder, [str(k) for k in range(len(CLASSES))], (".npz", ".npy"), f"{part}/") if folder else ()
        )
        found[part] = [
            item._replace(group=_USER.findall(item.path.stem)[0]) for item in items if _USER.match(item.path.stem)
        ]
        found[part] = [item._replace(group=f"user{item.group}") for item in found[part]]
    return found


def _tonic(root: Path) -> dict[str, list[Item]]:
    found: dict[str, list[Item]] = {}
    for part, name in (("train", "ibmGestureTrain"), ("test", "ibmGestureTest")):
        outer, found[part] = child(root, name), []
        for folder in sorted(outer.iterdir()) if outer is not None else ():
            user = _USER.match(folder.name)
            for path in listed(folder, (".npy",)) if user and folder.is_dir() else ():
                if path.stem.isdigit() and int(path.stem) < len(CLASSES):
                    key = f"{part}/{folder.name}/{path.stem}"
                    found[part].append(Item(path, int(path.stem), key, user[0]))  # type: ignore[index]
    return found


def _trials(path: Path) -> set[str]:
    return set(path.read_text(encoding="utf-8").split()) if path.is_file() else set()


def _labels(table: Path) -> Iterator[tuple[int, int, int]]:
    """Lines of class (1 to 11), start and end in microseconds."""
    with open(table, newline="", encoding="utf-8") as file:
        for line, row in enumerate(csv.reader(file), 1):
            if not row or not row[0].strip().isdigit():
                if line > 1 and row:
                    raise ValueError(
                        f"{table}, line {line}: expected class, start and end in microseconds; received {row}."
                    )
                continue
            try:
                label, start, stop = (int(cell) for cell in row[:3])
            except ValueError:
                label = start = stop = 0
            if not 1 <= label <= len(CLASSES) or stop <= start:
                raise ValueError(
                    f"{table}, line {line}: expected a class from 1 to {len(CLASSES)}, its start and its end in "
                    f"microseconds; received {row}."
                )
            yield label - 1, start, stop
