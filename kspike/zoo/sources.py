"""Finds where an entry lies by what a user writes for it: a name, a folder, a zip, or an address.

    auto_spikformer_c10, name.v2        the published zoo, then KSPIKE_ZOO (kspike/zoo/naming.py)
    ./my_zoo/my_entry                   a folder
    my_entry.v1.zip                     a zip, read as it is
    https://host/my_entry.v1.zip        downloaded once (kspike/zoo/fetching.py); #sha256=... pins it
    file:///data/my_entry.v1.zip        a zip of this machine, or a folder

Where KSPIKE_ZOO_URL names an address, `name.vN` that no folder has is looked for at <address>/name.vN.zip.
"""

from __future__ import annotations

import os
import re
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kspike._files import expanded
from kspike._messages import shown
from kspike.zoo import fetching, naming
from kspike.zoo.downloads import Address
from kspike.zoo.https import NotThereError
from kspike.zoo.stores import Folder, Store
from kspike.zoo.zips import Zip

#: The environment variable that names the address of more entries.
MORE = "KSPIKE_ZOO_URL"
SUFFIX = ".zip"
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def is_source(name: Any) -> bool:
    """Whether this is an address, or the path of a zip; anything else is a name or a folder."""
    if not isinstance(name, (str, os.PathLike)):
        return False
    text = os.fspath(name)
    return isinstance(text, str) and (_is_address(name) or text.lower().endswith(SUFFIX))


def _is_address(name: str | os.PathLike) -> bool:
    return isinstance(name, str) and _ADDRESS.match(name) is not None


def find(
    name: str | os.PathLike,
    directory: str | os.PathLike | None,
    check: Callable[[Path], Any],
    offline: bool | None = None,
    verbose: int = 1,
) -> Store:
    """What a user writes for an entry -> where its files lie; downloaded, and read by `check`, where it must be.

    Raises:
        ValueError: nothing is there, or what is there is no entry.
        OSError: a download broke off.
    """
    if is_source(name):
        if directory is not None:
            raise ValueError(
                f"Expected a name beside directory={os.fspath(directory)!r}; received {shown(os.fspath(name))}. Give "
                "that alone, or the entry's bare name."
            )
        if _is_address(name):
            return _by_address(os.fspath(name), check, offline, verbose)
        return Zip.open(expanded(name))
    more = os.environ.get(MORE)
    if not more or directory is not None or not _is_absent(name):
        return _folder(naming.resolve(name, directory))
    full = os.fspath(name)
    address = f"{more.rstrip('/')}/{full}{SUFFIX}"
    try:
        if not naming.is_full(full):
            raise NotThereError(f"At {MORE} entries are found by name and version, as in {full + '.v1'!r}.")
        return _by_address(address, check, offline, verbose)
    except NotThereError as absent:
        try:
            return _folder(naming.resolve(name))
        except ValueError as error:
            raise ValueError(f"{error} {absent}") from None


def _is_absent(name: str | os.PathLike) -> bool:
    """Whether this is an entry's name that no folder here has."""
    if not isinstance(name, str) or not naming.is_name(name):
        return False
    try:
        naming.resolve(name)
    except ValueError:
        return True
    return False


def _by_address(text: str, check: Callable[[Path], Any], offline: bool | None, verbose: int) -> Store:
    if text.partition("://")[0].lower() != "file":
        return Zip.open(fetching.fetch(text, check, offline=offline, verbose=verbose))
    address = Address.of(text)
    parts = urllib.parse.urlsplit(address.url)
    if parts.netloc.lower() not in ("", "localhost") or parts.query:
        raise ValueError(f"Expected the path of a file of this machine, file:///...; received {shown(text)}.")
    path = Path(urllib.request.url2pathname(parts.path))
    if path.suffix.lower() != SUFFIX:
        if address.pin is not None:
            raise ValueError(f"Expected sha256= behind the address of a zip; received {shown(text)}.")
        return _folder(naming.resolve(path))
    if not path.is_file():
        raise NotThereError(f"Expected an entry at {address.shown}; there is no such file.")
    address.check_pin(path)
    return Zip.open(path)


def _folder(path: Path) -> Folder:
    return Folder(path, allow_hard_links=naming.is_published(path))
