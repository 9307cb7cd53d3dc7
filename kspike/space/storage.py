"""Search spaces as JSON files: finds the published ones, reads with clear errors, never leaves half a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kspike import _json
from kspike._files import expanded, write_text
from kspike._registry import nearest
from kspike._resources import published

#: "$schema" says to an editor which schema the file follows.
KEYS = ("name", "description", "source", "base", "genes", "frames_from", "$schema")
#: A space is a page of text; anything larger is not one, and is refused before it is parsed.
LARGEST = 1_000_000


def names() -> list[str]:
    """Names of the published spaces, sorted."""
    return sorted(path.stem for path in published("spaces").glob("*.json"))


def find(name: str | Path) -> Path:
    """The file of a published name, or the path itself.

    Raises:
        ValueError: neither a published name nor a file; says the known names and the nearest.
    """
    if not isinstance(name, (str, Path)):
        raise ValueError(f"A search space is a name, a path, a dict or a SearchSpace, got {type(name).__name__}.")
    known = names()
    if isinstance(name, str) and name in known:
        return published("spaces") / f"{name}.json"
    path = expanded(name)
    if path.is_file():
        return path
    kind = "No file" if path.suffix == ".json" else "Unknown search space"
    raise ValueError(f"{kind} {str(name)!r}{nearest(name, known)}; published: {', '.join(known)}.")


def read(path: Path) -> dict[str, Any]:
    """Reads one JSON object."""
    return _json.read_object(path, LARGEST)


def check_keys(data: Mapping[str, Any]) -> None:
    """Refuses keys that a space does not have, rather than ignore a misspelt one."""
    for key in data:
        if key not in KEYS:
            raise ValueError(f"Unknown key {key!r}{nearest(key, KEYS)}; a space has: {', '.join(KEYS)}.")
    for key in ("base", "genes"):
        if not isinstance(data.get(key, {}), Mapping):
            raise ValueError(f"{key} must be an object, got {type(data[key]).__name__}.")


def write(path: Path, data: Mapping[str, Any]) -> Path:
    """Writes a JSON object beside its place, then renames it there."""
    return write_text(path, json.dumps(data, indent=2) + "\n")
