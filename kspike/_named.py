"""The published architectures by name: JSON files, read where they are asked for. Imports no Keras."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from kspike._registry import unknown

_FOLDER = Path(__file__).resolve().parent / "models" / "named"


@functools.cache
def names() -> tuple[str, ...]:
    """Names of all of them, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.json")))


def read(name: str) -> dict[str, Any]:
    """One of them as plain JSON: "config" as `SpikformerConfig.from_dict` takes it, "source", "departs", "recipe".

    Raises:
        ValueError: an unknown name.

    Example:
        >>> read("qkformer_c10")["config"]["embed_dim"]
        [96, 192, 384]
    """
    if name not in names():
        raise unknown("architecture", name, names())
    return json.loads((_FOLDER / f"{name}.json").read_text(encoding="utf-8"))
