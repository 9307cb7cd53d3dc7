"""Lists the pictures of a folder: <class>/<file>, or train|validation|test/<class>/<file>."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path
from typing import NamedTuple

from kspike.data.own.labels import check_names, in_order, listed

#: Names of the folders of parts, and the part that each is.
PARTS = {"train": "train", "validation": "validation", "val": "validation", "valid": "validation", "test": "test"}
#: Left by systems beside pictures; like hidden files (.DS_Store) they are no pictures and nobody's.
_SYSTEMS = ("thumbs.db", "desktop.ini")
#: Endings of pictures, by which one that lies outside of the classes is noticed.
_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


class Listed(NamedTuple):
    """One file: its path, its class, and its id, the path from the folder with "/" on every system."""

    path: Path
    label: str
    id: str


def read(root: Path, class_names: tuple[str, ...] | None) -> tuple[dict[str, list[Listed]], tuple[str, ...]]:
    """A folder -> its files by part (all are "train" where it has no parts), and the class names in order.

    Raises:
        ValueError: no folder, one class, an empty class, files or folders where none belong, or other classes than
            `class_names`; names the folder or file.
    """
    if not root.is_dir():
        raise ValueError(f"Expected a folder of pictures, <class>/<file>; {str(root)!r} is {_other(root)}.")
    top = folders_of(root)
    tops: list[tuple[str, Path]]
    if _is_parted(top):
        parts = {name: PARTS[name.lower()] for name in top}
        doubled = [name for name, part in parts.items() if list(parts.values()).count(part) > 1]
        if doubled:
            raise ValueError(f"{root} holds {' and '.join(sorted(doubled))}, which are the same part: keep one.")
        inside = {parts[name]: path for name, path in top.items()}
        tops = [(part, inside[part]) for part in ("train", "validation", "test") if part in inside]
    else:
        tops = [("train", root)]
    found = {part: _classes(path, root) for part, path in tops}
    names = in_order(found["train"])
    if len(names) < 2:
        raise ValueError(
            f"Expected at least two classes, a folder each, in {dict(tops)['train']}; found {listed(names) or 'none'}. "
            "The folder to give is the one that holds the folders of the classes."
        )
    if class_names is not None:
        if set(class_names) != set(names):
            more, fewer = sorted(set(names) - set(class_names)), sorted(set(class_names) - set(names))
            said = [f"has {listed(more)} besides"] * bool(more) + [f"has no {listed(fewer)}"] * bool(fewer)
            raise ValueError(
                f"Expected the classes {listed(class_names)} in {root}, which {' and '.join(said)}: rename the "
                "folders, or give the class_names that they have."
            )
        names = class_names
    for part, classes in found.items():
        strange = sorted(set(classes) - set(names))
        if strange:
            raise ValueError(f"{root}: {part} has the classes {listed(strange)}, which train has not.")
        empty = sorted(name for name, files in classes.items() if not files)
        if empty:
            raise ValueError(
                f"{root}: no picture in {part} of the class {listed(empty)}: add some or remove the folder."
            )
    return {part: [file for name in names for file in classes.get(name, [])] for part, classes in found.items()}, (
        check_names(names)
    )


def files_of(folder: Path) -> list[Path]:
    """The files of a folder in the order of their names, but hidden ones and those that systems leave."""
    return [path for path in _entries(folder) if not path.is_dir()]


def _is_parted(top: dict[str, Path]) -> bool:
    """Whether these are parts: by name, in small or capital letters, and the one to train holds folders.

    A class may be called "train".
    """
    train = [path for name, path in top.items() if PARTS.get(name.lower()) == "train"]
    if not train or not {name.lower() for name in top} <= set(PARTS):
        return False
    return any(map(folders_of, train))


def _classes(folder: Path, root: Path) -> dict[str, list[Listed]]:
    outside = [path for path in files_of(folder) if path.suffix.lower() in _PICTURES]
    if outside:
        raise ValueError(
            f"{folder} holds pictures outside of the folders of classes: {listed(path.name for path in outside)}. "
            "Expected <class>/<file> in it: give the folder that holds the folders of the classes."
        )
    found: dict[str, list[Listed]] = {}
    for name, path in folders_of(folder).items():
        deeper = sorted(folders_of(path))
        if deeper:
            raise ValueError(
                f"{path} holds the folders {listed(deeper)}; expected files alone, {folder}/<class>/<file>, or the "
                f"parts {', '.join(sorted(set(PARTS.values())))} with folders of classes in them."
            )
        strange = [each.name for each in (path, *files_of(path)) if _is_strange(each.name)]
        if strange:
            raise ValueError(
                f"{str(folder)!r}: {listed(map(ascii, strange))} holds letters that are no text (a line break, a "
                "control character, another encoding than UTF-8): rename it; names of files are the names of images."
            )
        label = unicodedata.normalize("NFC", name)  # macOS spells accents apart
        if label in found:
            raise ValueError(f"{folder} holds two folders of the class {label!r}, spelled in two ways: keep one.")
        ids = [(file, unicodedata.normalize("NFC", file.relative_to(root).as_posix())) for file in files_of(path)]
        found[label] = [Listed(file, label, identity) for file, identity in ids]
    return found


def _is_strange(name: str) -> bool:
    """Whether a name holds control characters, or bytes that are no UTF-8 (lone surrogates, to Python)."""
    return any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name)


def folders_of(folder: Path) -> dict[str, Path]:
    """The folders in a folder by name, in order, but hidden ones."""
    return {path.name: path for path in _entries(folder) if path.is_dir()}


def _entries(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries)
    except OSError as error:
        raise ValueError(f"{folder} cannot be read: {error.strerror}.") from None
    return [folder / name for name in names if not name.startswith(".") and name.lower() not in _SYSTEMS]


def _other(path: Path) -> str:
    return "a file" if path.exists() else "not there"
