"""Finds the published folders (models, search spaces) in a wheel, an editable install or a checkout; and the cache."""

from __future__ import annotations

import os
from pathlib import Path

from kspike._files import expanded

#: The environment variable that names the folder of what is kept to be used again: decoded images, downloaded entries.
CACHE = "KSPIKE_CACHE"
#: What is published, and where a checkout keeps it; a wheel keeps each under kspike/_data/<name> (hatch_build.py).
PUBLISHED = {"zoo": "zoo", "spaces": "tuners/spaces"}


def published(name: str) -> Path:
    """Returns the folder that holds the published models ("zoo") or search spaces ("spaces").

    In a wheel this is `kspike/_data/<name>`; in an editable install and in a bare checkout, the checkout's own folder.

    Args:
        name: "zoo" or "spaces".

    Raises:
        ValueError: another name.
        FileNotFoundError: the folder is nowhere, which means a broken installation.

    Example:
        >>> from kspike._resources import published
        >>> published("spaces").is_dir()
        True
    """
    if name not in PUBLISHED:
        raise ValueError(f"Nothing is published as {name!r}; expected one of: {', '.join(PUBLISHED)}.")
    package = Path(__file__).resolve().parent
    installed = package / "_data" / name
    if installed.is_dir():
        return installed
    checkout = package.parent
    # Next to an installed package are other packages, so a folder counts only beside our pyproject.toml.
    folder = checkout / PUBLISHED[name]
    if (checkout / "pyproject.toml").is_file() and folder.is_dir():
        return folder
    raise FileNotFoundError(
        f"The folder of published {name} is neither at {installed} nor at {folder}. "
        "Install kspike again, from a wheel or from a whole checkout."
    )


def cache() -> Path | None:
    """The folder that KSPIKE_CACHE names; None where it names none, and each kind of thing has a place of its own."""
    chosen = os.environ.get(CACHE)
    return expanded(chosen) if chosen else None
