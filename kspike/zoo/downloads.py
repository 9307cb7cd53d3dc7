"""Keeps what was downloaded, by its hash: `<cache>/<SHA-256>.zip`, and for each address which hash it gave.

    <cache>     the folder `zoo` in KSPIKE_CACHE, else `kspike/zoo` in the user's folder of caches
    urls/<SHA-256 of the address>.json     {"url", "sha256", "bytes"}; the address without its query, which may be a key
    parts/<SHA-256 of the address>         what has come so far, and beside it, .json, what the server said of it

An entry never changes once it is published, so what an address once gave is taken from here without asking again, and
without a network. All of it may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kspike import _json, _lock, _resources
from kspike._files import expanded, sha256, sync, write_bytes
from kspike._messages import shown
from kspike.zoo import files

_PIN = re.compile(r"sha256=([0-9a-f]{64})")


@dataclasses.dataclass(frozen=True)
class Address:
    """A URL as given. `url`: without its fragment; `pin`: the SHA-256 that the fragment asks for, or None."""

    url: str
    pin: str | None = None

    @classmethod
    def of(cls, text: str) -> Address:
        """`https://host/file.zip#sha256=<64 digits>` -> the address and the hash.

        Raises:
            ValueError: another fragment, a user's name or password in it, or no host.
        """
        try:
            parts = urllib.parse.urlsplit(text)
            host = parts.hostname
            parts.port  # noqa: B018 - raises for what is no number
        except ValueError as error:
            raise ValueError(f"Expected the address of an entry; received {shown(text)}: {error}.") from None
        if parts.scheme.lower() != "file" and not host:
            raise ValueError(f"Expected the address of an entry, https://host/file.zip; received {shown(text)}.")
        if "@" in parts.netloc:
            raise ValueError(f"Expected an address without a user's name or password; received one of {host}.")
        if re.search(r"[\x00-\x20\x7f]", text) or not text.isascii():
            raise ValueError(f"Expected an address with %-escapes for blanks and the like; received {shown(text)}.")
        match = _PIN.fullmatch(parts.fragment)
        if parts.fragment and match is None:
            raise ValueError(
                f"Expected nothing behind the '#' of an address but sha256=<64 hexadecimal digits>; received "
                f"{shown(parts.fragment)}."
            )
        return cls(urllib.parse.urlunsplit(parts._replace(fragment="")), match[1] if match else None)

    @property
    def shown(self) -> str:
        """For messages: without the query."""
        return urllib.parse.urlunsplit(urllib.parse.urlsplit(self.url)._replace(query=""))

    @property
    def key(self) -> str:
        """The name of its files here."""
        return files.sha256(self.url.encode())

    def check_pin(self, path: Path) -> str:
        """The SHA-256 of a file; ValueError unless it is the one asked for."""
        found = sha256(path)
        if self.pin not in (None, found):
            raise ValueError(
                f"Expected {self.shown} to have the SHA-256 {self.pin}; received {found}: it is another file. Ask "
                "where you have the address from."
            )
        return found


def folder() -> Path:
    """The folder of downloads, which need not be there."""
    chosen = _resources.cache()
    if chosen is not None:
        return chosen / "zoo"
    usual = os.environ.get("XDG_CACHE_HOME") or (os.environ.get("LOCALAPPDATA") if os.name == "nt" else None)
    return expanded(usual or "~/.cache") / "kspike" / "zoo"


def find(address: Address) -> Path | None:
    """The zip that an address gave before; None where it is not here whole."""
    stated: dict[str, Any] = {"sha256": address.pin}
    if address.pin is None:
        stated = read_record(folder() / "urls" / f"{address.key}.json")
    name, size = stated.get("sha256"), stated.get("bytes")
    path = folder() / f"{name}.zip"
    if not isinstance(name, str) or not re.fullmatch(r"[0-9a-f]{64}", name) or not path.is_file():
        return None
    return path if size in (None, path.stat().st_size) else None


@contextlib.contextmanager
def part(address: Address) -> Iterator[Path]:
    """Gives the place of what has come so far; another process that fetches the same address waits."""
    place = folder() / "parts" / address.key
    place.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(place.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o666)
    try:
        with _lock.exclusively(lock):
            yield place
    finally:
        os.close(lock)


def keep(address: Address, come: Path, check: Callable[[Path], Any]) -> Path:
    """Puts a finished download in its place, after `check` has read it; what is refused is removed."""
    try:
        found = address.check_pin(come)
        check(come)
    except ValueError as error:
        discard(come)
        raise ValueError(f"What {address.shown} gave was refused, and nothing of it was kept. {error}") from None
    sync(come)
    target = folder() / f"{found}.zip"
    os.replace(come, target)
    sync(target.parent)
    record = {"url": address.shown, "sha256": found, "bytes": target.stat().st_size}
    (folder() / "urls").mkdir(exist_ok=True)
    write_record(folder() / "urls" / f"{address.key}.json", record)
    discard(come)
    return target


def discard(come: Path) -> None:
    """Removes what has come so far, and what was said of it."""
    come.unlink(missing_ok=True)
    come.with_suffix(".json").unlink(missing_ok=True)


def read_record(path: Path) -> dict[str, Any]:
    """A record of this cache; empty where there is none that can be read."""
    try:
        return _json.read_object(path, largest=1 << 16)
    except ValueError:
        return {}


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Writes a record atomically."""
    write_bytes(path, json.dumps(record).encode())
