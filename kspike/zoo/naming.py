"""Resolves an entry's name (with or without version) or folder to the entry's folder.

A bare name is looked for in the published zoo first, then in the folders that the environment variable KSPIKE_ZOO lists
(separated as those of PATH), in that order; the first that has it gives it. So a published name means the same
everywhere.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from kspike import _names, _resources
from kspike._files import expanded
from kspike._messages import shown

METADATA = "metadata.json"
CONFIG = "config.json"
WEIGHTS = "model.weights.h5"
LAST_VERSION = 999_999
#: The environment variable that lists zoo folders of one's own.
OWN = "KSPIKE_ZOO"
_NAME = re.compile(rf"({_names.ENTRY})(?:\.v([1-9][0-9]{{0,5}}))?")


def split_name(name: str) -> tuple[str, int | None]:
    """`"auto_spikformer_c10.v2"` -> `("auto_spikformer_c10", 2)`; a bare name has version None."""
    match = _NAME.fullmatch(name) if isinstance(name, str) else None
    if match is None:
        raise ValueError(
            "Expected the name of an entry: lower-case letters, digits and underscores (at most 80; none that Windows "
            "keeps for devices: con, nul, com1, ...), with or without a version, as in 'auto_spikformer_c10' or "
            f"'auto_spikformer_c10.v2'; received {shown(name)}. "
            "A folder of your own is given as a path ('./my_zoo/my_entry')."
        )
    return match[1], int(match[2]) if match[2] else None


def full_name(name: str, version: int) -> str:
    """Name and version -> the folder's name."""
    return f"{name}.v{version}"


def is_name(text: str) -> bool:
    """Whether this is the name of an entry, with or without a version; anything else is a path, or nothing."""
    return _NAME.fullmatch(text) is not None


def is_full(name: str) -> bool:
    """Whether this is a full name, `<name>.v<N>`."""
    match = _NAME.fullmatch(name)
    return match is not None and match[2] is not None


def zoo_folder(directory: str | os.PathLike | None) -> Path:
    """The folder that entries are looked for in: the user's, or the one published with the package."""
    return Path(_resources.published("zoo")) if directory is None else expanded(directory)


def zoo_folders(directory: str | os.PathLike | None = None) -> Iterator[Path]:
    """The folders in which a bare name is looked for, one after the other: the user's, or the published and KSPIKE_ZOO.

    Raises:
        ValueError: KSPIKE_ZOO lists what is no folder, or an entry itself; when it is that one's turn.
    """
    yield zoo_folder(directory)
    for text in os.environ.get(OWN, "").split(os.pathsep) if directory is None else ():
        if text:
            folder = expanded(text)
            if not folder.is_dir():
                raise ValueError(
                    f"Expected {OWN} to list folders, separated by {os.pathsep!r}; received {shown(text)}, which is "
                    "none. Correct the environment variable."
                )
            if os.path.lexists(folder / METADATA):
                raise ValueError(
                    f"Expected {OWN} to list folders that hold entries; {shown(text)} is an entry itself: give the "
                    f"folder that it is in, {shown(os.fspath(folder.parent))}."
                )
            yield folder


def is_published(folder: Path) -> bool:
    """Whether an entry's folder belongs to the zoo published with the package."""
    try:
        return folder.parent.resolve() == zoo_folder(None).resolve()
    except FileNotFoundError:  # nothing is published
        return False


def versions(directory: Path) -> dict[str, list[int]]:
    """A zoo folder -> the versions of each entry in it, oldest first; an absent folder holds none."""
    found: dict[str, list[int]] = {}
    if not directory.is_dir():
        return found
    for child in directory.iterdir():
        match = _NAME.fullmatch(child.name)
        if match and match[2] and os.path.lexists(child / METADATA):
            found.setdefault(match[1], []).append(int(match[2]))
    return {name: sorted(numbers) for name, numbers in sorted(found.items())}


def incomplete(directory: Path) -> dict[str, list[int]]:
    """A zoo folder -> the versions whose folder holds an entry's config or weights but no metadata.json, oldest first.

    An incomplete copy or unpacking looks like this; publishing never leaves it.
    """
    found: dict[str, list[int]] = {}
    if not directory.is_dir():
        return found
    for child in directory.iterdir():
        match = _NAME.fullmatch(child.name)
        if match and match[2] and lacks_metadata(child):
            found.setdefault(match[1], []).append(int(match[2]))
    return {name: sorted(numbers) for name, numbers in sorted(found.items())}


def lacks_metadata(folder: Path) -> str | None:
    """What is wrong with a folder that holds an entry's config or weights and no metadata.json; None of any other."""
    there = [name for name in (CONFIG, WEIGHTS) if os.path.lexists(folder / name)]
    if not there or os.path.lexists(folder / METADATA):
        return None
    return (
        f"Expected {folder} to hold {METADATA}, which says what the entry is; received a folder with "
        f"{' and '.join(there)} alone: it was copied in part. Copy it again from its source."
    )


def is_entry(path: Path) -> bool:
    """Whether an entry, damaged or not, is there: its folder, or those of its versions."""
    found = {*versions(path.parent), *incomplete(path.parent)}
    return path.name in found or path.name.rpartition(".v")[0] in found


def next_version(directory: Path, name: str) -> int:
    """One above every folder of that name, even one whose entry is incomplete: a number is never used twice.

    Raises:
        ValueError: the last number is taken; a larger one would be a name that nothing loads.
    """
    matches = (_NAME.fullmatch(child.name) for child in directory.iterdir())
    number = 1 + max((int(match[2]) for match in matches if match and match[1] == name and match[2]), default=0)
    if number > LAST_VERSION:
        raise ValueError(
            f"Expected a version to go on from; received {directory / full_name(name, LAST_VERSION)}, the last "
            "there can be. Publish under another name, or give a version that is free, as in "
            f"'{name}.v2'."
        )
    return number


def resolve(name_or_folder: str | os.PathLike, directory: str | os.PathLike | None = None) -> Path:
    """A name or a folder -> the folder `<name>.v<N>` of one entry; a name without version is the newest.

    A path object, or a text with a path separator, is a folder; a text without one is a name in `directory` (the
    published zoo and those of KSPIKE_ZOO when None).
    """
    text = os.fspath(name_or_folder) if isinstance(name_or_folder, (str, os.PathLike)) else name_or_folder
    if not isinstance(text, str):
        raise ValueError(f"Expected the name or the folder of an entry; received {shown(name_or_folder)}.")
    if isinstance(name_or_folder, os.PathLike) or "/" in text or os.sep in text or text in (".", ".."):
        if directory is not None:
            raise ValueError(
                f"Expected a name beside directory={os.fspath(directory)!r}; received the path {text!r}. "
                "Give the path alone, or the entry's bare name."
            )
        path = expanded(text)
        path = path if path.name and path.name != ".." else path.resolve()
        return _in_folders([path.parent], path.name, given=text)
    return _in_folders(zoo_folders(directory), text, given=text)


def _in_folders(parents: Iterable[Path], text: str, given: str) -> Path:
    name, version = split_name(text)
    known: dict[Path, dict[str, list[int]]] = {}
    for parent in parents:
        known[parent] = versions(parent)
        numbers = known[parent].get(name, [])
        if numbers and version in (None, *numbers):
            folder = parent / full_name(name, numbers[-1] if version is None else version)
            if folder.is_symlink() or not folder.is_dir():
                raise ValueError(f"Expected {folder} to be a folder of its own; received a link. Copy the entry there.")
            return folder
    for parent in known:
        for number in [version] if version else incomplete(parent).get(name, [])[-1:]:
            if problem := lacks_metadata(parent / full_name(name, number)):
                raise ValueError(problem)
    raise ValueError(_unknown(given, name, version, known))


def _unknown(text: str, name: str, version: int | None, found: Mapping[Path, dict[str, list[int]]]) -> str:
    known: dict[str, list[int]] = {}
    for names in found.values():
        for each, numbers in names.items():
            known[each] = sorted({*known.get(each, ()), *numbers})
    message = f"Expected an entry of the zoo in {' or '.join(map(str, found))}; received {text!r}."
    if name in known:
        return message + f" Its versions there: {', '.join(f'v{number}' for number in known[name])}."
    if not known:
        message += " That folder holds no entries."
    else:
        message += f" Known entries: {', '.join(sorted(known))}."
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        if near:
            message += f" Did you mean {near[0]!r}?"
    if Path(text).is_dir() and os.sep not in text:
        message += f" For the folder of that name, write './{text}'."
    return message
