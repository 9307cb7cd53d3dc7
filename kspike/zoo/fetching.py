"""Downloads a zip by https: announced before, bounded, resumed where it stopped, and kept by its hash.

What has come stays if the connection breaks, and the next try, in the same call or a later one, asks for the rest
(a range of bytes, on the condition that the file is still the same by its ETag or its date). Redirects are followed to
https alone. No certificate, proxy or name is treated otherwise than Python's own urllib does.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kspike.zoo import downloads, https, zips
from kspike.zoo.downloads import Address

#: Seconds without a byte after which a connection counts as broken.
TIMEOUT = 30.0
OFFLINE = "KSPIKE_OFFLINE"
_MOST_TRIES = 20
_CHUNK = 1 << 18


def is_offline(offline: bool | None) -> bool:
    """Whether nothing may be asked of a network: as given, else as KSPIKE_OFFLINE says (1)."""
    return os.environ.get(OFFLINE, "0") not in ("", "0") if offline is None else bool(offline)


def fetch(
    url: str,
    check: Callable[[Path], Any],
    *,
    offline: bool | None = None,
    verbose: int = 1,
    opener: https.Opener | None = None,
    timeout: float = TIMEOUT,
) -> Path:
    """An address -> the zip, in the cache; from the network only where it is not there yet.

    Args:
        url: `https://...`, with `#sha256=<64 digits>` where only that file will do.
        check: reads what has come before it is kept, and raises ValueError for what is no entry.
        offline: whether nothing may be downloaded; None asks KSPIKE_OFFLINE.
        verbose: 1 says what is downloaded, how large it is and where it is kept, on the standard error stream.
        opener: what opens requests; None is `https.open_request`.
        timeout: seconds without a byte after which a connection counts as broken.

    Raises:
        ValueError: no address to be fetched, offline, refused by the server, or what came is not an entry.
        OSError: the connection broke and a new try brought nothing more, or the disk is full. What came is kept.
    """
    address = Address.of(url)
    https.check_scheme(address.url, address.shown)
    found = downloads.find(address)
    if found is not None:
        return found
    if is_offline(offline):
        raise ValueError(
            f"Expected {address.shown} among the downloads in {downloads.folder()}, for nothing is downloaded offline "
            f"({OFFLINE}, or offline=True); it is not there. Load it once with a network."
        )
    with downloads.part(address) as come:
        found = downloads.find(address)  # by another process in the meantime
        if found is None:
            _Download(address, come, opener or https.open_request, timeout, verbose).run()
            found = downloads.keep(address, come, check)
    return found


class _Download:
    """One file, in as many connections as it takes."""

    def __init__(self, address: Address, come: Path, opener: https.Opener, timeout: float, verbose: int) -> None:
        self.address, self.come, self.opener, self.timeout, self.verbose = address, come, opener, timeout, verbose

    def run(self) -> None:
        """Returns when all has come."""
        for _ in range(_MOST_TRIES):
            before = self._have()
            try:
                self._try()
                return
            except https.BrokenError as error:
                said, have = str(error), self._have()
                if have <= before:
                    break
        kept = f"{have:,} bytes that came are kept, and the same call goes on from there" if have else "try again later"
        raise OSError(errno.EIO, f"The download of {self.address.shown} broke off: {said}; {kept}") from None

    def _have(self) -> int:
        return self.come.stat().st_size if self.come.exists() else 0

    def _try(self) -> None:
        stated = downloads.read_record(self.come.with_suffix(".json"))
        # Without an ETag or a date two halves could be of two files; the asked for hash would tell.
        same = stated.get("same")
        have = self._have() if isinstance(same, str) or self.address.pin else 0
        if have and have == stated.get("bytes"):
            return
        headers = {} if not have else {"Range": f"bytes={have}-"}
        if have and isinstance(same, str):
            headers["If-Range"] = same
        response = https.get(self.address.url, self.address.shown, headers, self.opener, self.timeout)
        with contextlib.closing(response):
            if response.status == 416:  # the server's file is shorter than what came before: all anew
                downloads.discard(self.come)
                self._try()
                return
            have, total = self._sizes(response, have)
            if have and total != stated.get("bytes"):
                downloads.discard(self.come)
                raise ValueError(
                    f"Expected {self.address.shown} to hold {stated.get('bytes')} bytes, as the server said before; "
                    f"now it says {total:,}. What came was removed: try again."
                )
            self._announce(have, total)
            if not have:
                downloads.discard(self.come)  # first: what came of another file must not get this one's record
                about = {"same": https.validator(response), "bytes": total}
                downloads.write_record(self.come.with_suffix(".json"), about)
            self._read(response, have, total)

    def _sizes(self, response: Any, have: int) -> tuple[int, int]:
        """Bytes that are here and stay, and bytes in all, as the headers say."""
        what, headers = self.address.shown, response.headers
        if headers.get("Content-Encoding", "identity").lower() != "identity":
            raise ValueError(f"Expected {what} as it is; the server sends it encoded, which was not asked for.")
        if response.status == 206:
            match = re.fullmatch(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})", headers.get("Content-Range") or "")
            first, last, total = map(int, match.groups()) if match else (-1, -1, -1)
            if not have or first != have or last != total - 1:
                downloads.discard(self.come)
                raise ValueError(
                    f"Expected the rest of {what} from byte {have:,}; the server sends "
                    f"{headers.get('Content-Range')!r}. What came was removed: try again."
                )
        else:
            length = headers.get("Content-Length") or ""
            if not re.fullmatch(r"[0-9]{1,18}", length):
                raise ValueError(
                    f"Expected the server to say how large {what} is; it does not. Download it by other means, and "
                    "load the file."
                )
            have, total = 0, int(length)
        if not 0 < total <= zips.MAX_BYTES:
            raise ValueError(f"Expected {what} to hold 1 to {zips.MAX_BYTES:,} bytes; the server says {total:,}.")
        return have, total

    def _announce(self, have: int, total: int) -> None:
        free = shutil.disk_usage(self.come.parent).free
        if free < total - have:
            raise OSError(
                errno.ENOSPC,
                f"{self.address.shown} holds {total:,} bytes, and {downloads.folder()} has room for {free:,}. Make "
                "room, or set KSPIKE_CACHE to another folder",
            )
        if self.verbose:
            rest = f", of which {have:,} are here" if have else ""
            print(
                f"downloading {self.address.shown}: {total:,} bytes{rest}, into {downloads.folder()}",
                file=sys.stderr, flush=True,
            )  # fmt: skip

    def _read(self, response: Any, have: int, total: int) -> None:
        with open(self.come, "ab" if have else "wb") as file:
            while have < total:
                try:
                    content = response.read1(min(_CHUNK, total - have))  # what is there, or a timeout would lose it
                except http.client.IncompleteRead as error:
                    content = error.partial
                except (OSError, http.client.HTTPException) as error:
                    raise https.BrokenError(f"{https.said(error)} after {have:,} of {total:,} bytes") from None
                if not content:
                    raise https.BrokenError(f"the connection ended after {have:,} of {total:,} bytes")
                file.write(content)
                have += len(content)
