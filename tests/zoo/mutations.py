"""Seeded damage to the files of an entry: flipped bits, cut and swapped files, JSON of other values and types."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

FILES = ("README.md", "config.json", "metadata.json", "model.weights.h5")
JSON = ("config.json", "metadata.json")


def _deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


#: What may stand where something else was expected.
VALUES = (
    None, True, 0, -1, 5, 0.5, 10**18, 10**30, 1e308, float("nan"), "", "text", "[red]x[/b]", "\x1b[2J", "x" * 5000, [],
    [1, "2"], [[]], {}, {"name": 5}, _deep(40), _deep(900),
)  # fmt: skip


def read(folder: Path) -> dict[str, bytes]:
    """The files of an entry's folder."""
    return {name: (folder / name).read_bytes() for name in FILES}


def damage(files: dict[str, bytes], rng: random.Random) -> dict[str, bytes | None]:
    """The files that one mutation changes; None for one that it takes away."""
    kind = rng.choice((flip, flip, flip, cut, grow, blank, swap, remove, alter, alter, alter))
    return kind(files, rng)


def flip(files: dict[str, bytes], rng: random.Random) -> dict[str, bytes | None]:
    """One to three bits of one file."""
    name = rng.choice(FILES)
    content = bytearray(files[name])
    for _ in range(rng.choice((1, 1, 2, 3))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return {name: bytes(content)}


def cut(files: dict[str, bytes], rng: random.Random) -> dict[str, bytes | None]:
    """The end of one file, or the whole of it."""
    name = rng.choice(FILES)
    return {name: files[name][: rng.randrange(len(files[name]))]}


def grow(files: dict[str, bytes], rng: random.Random) -> dict[str, bytes | None]:
    """Bytes put into one file, or behind it."""
    name = rng.choice(FILES)
    at, more = rng.choice((len(files[name]), rng.randrange(len(files[name])))), rng.choice((b" ", b"\n", b"\0", b"}"))
    return {name: files[name][:at] + more * rng.choice((1, 7, 4096)) + files[name][at:]}


def blank(files: dict[str, bytes], rng: random.Random) -> dict[str, bytes | None]:
    """A block of zeros, as a disk that lost a sector gives it."""
    name = rng.choice(FILES)
    at = rng.randrange(len(files[name]))
    size = min(rng.choice((1, 16, 512)), len(files[name]) - at)
    return {name: files[name][:at] + b"\0" * size + files[name][at + size :]}


def swap(files: dict[str, bytes], rng: random.Random) -> dict[str, bytes | None]:
    """Two files under each other's name."""
    one, other = rng.sample(FILES, 2)
    return {one: files[other], other: files[one]}


def remove(files: dict[str, bytes], rng: random.Random) -> dict[str, bytes | None]:
    """One file."""
    return {rng.choice(FILES): None}


def alter(files: dict[str, bytes], rng: random.Random, name: str | None = None) -> dict[str, bytes | None]:
    """One value of a JSON file: another value or type, gone, or under another key."""
    name = name or rng.choice(JSON)
    value = json.loads(files[name])
    holder, key = rng.choice(_places(value))
    how = rng.random()
    if how < 0.15:
        del holder[key]
    elif how < 0.3 and isinstance(holder, dict):
        holder[f"{key}s"] = holder.pop(key)
    elif how < 0.5 and isinstance(holder[key], (int, float)):
        holder[key] = rng.choice((holder[key] + 1, -holder[key], holder[key] * 1.0000001, str(holder[key])))
    else:
        holder[key] = rng.choice(VALUES)
    return {name: json.dumps(value, indent=rng.choice((None, 2))).encode()}


def _places(value: Any) -> list[tuple[Any, Any]]:
    found, pending = [], [value]
    while pending:
        holder = pending.pop()
        for key in holder if isinstance(holder, dict) else range(len(holder)):
            found.append((holder, key))
            if isinstance(holder[key], (dict, list)):
                pending.append(holder[key])
    return found
