"""What the files of `sets` share: a tree of classes read into items, named splits checked, what is missing said."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from kspike.data.events.files import Item, child, listed


def chosen_split(name: str, split: str | None, known: Sequence[str]) -> str:
    """Reads a `split=` argument; the first of the known ones is the default."""
    if split is None:
        return known[0]
    if split not in known:
        raise ValueError(f"split: expected {' or '.join(map(repr, known))} for {name!r}; received {split!r}.")
    return split


def missing(name: str, data_dir: Path, layout: str) -> ValueError:
    """What is raised where a set is not found."""
    return ValueError(
        f"{name!r} was not found in {str(data_dir)!r}: expected {layout} there, or in a folder of the set's name "
        "below. kspike downloads no event data: get it from its authors, and name the folder by data_dir=."
    )


def tree(folder: Path, classes: Sequence[str], suffixes: tuple[str, ...], prefix: str = "") -> tuple[Item, ...]:
    """A folder with one folder a class -> its recordings, each a group of its own; ids are `prefix` + class + name."""
    found: list[Item] = []
    for label, name in enumerate(classes):
        below = child(folder, name)
        for path in listed(below, suffixes) if below is not None else ():
            key = f"{prefix}{name}/{path.stem}"
            found.append(Item(path, label, key, key))
    return tuple(found)


def absent(found: int, full: int, what: str) -> str:
    """Says how many of all recordings are here; "" for all."""
    return "" if found == full else f"{found:,} of {full:,} {what} are here"


def joined(parts: Iterable[str]) -> str:
    """Several such sentences as one."""
    return ", ".join(part for part in parts if part)
