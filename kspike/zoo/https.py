"""Asks for a file by https, as Python's urllib does (certificates, proxies); redirects are followed to https alone."""

from __future__ import annotations

import contextlib
import http.client
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any

#: Opens a request: `(request, seconds) -> response`, with `status`, `headers`, `read1(n)` and `close()`. It follows no
#: redirect and raises OSError where there is no answer.
Opener = Callable[[urllib.request.Request, float], Any]
_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 5


class NotThereError(ValueError):
    """The server says that there is no such file."""


class BrokenError(Exception):
    """A connection that ended, stalled or did not come about: tried again where the last try brought something."""


def open_request(request: urllib.request.Request, timeout: float) -> Any:
    """The usual opener: https alone, through the proxy of the environment if there is one."""
    director = urllib.request.OpenerDirector()  # without the usual handlers: no file, no ftp, no redirects
    for handler in (urllib.request.ProxyHandler, urllib.request.HTTPSHandler, urllib.request.UnknownHandler):
        director.add_handler(handler())
    return director.open(request, timeout=timeout)


def get(url: str, shown: str, headers: dict[str, str], opener: Opener, timeout: float) -> Any:
    """A response of 200 or 206, or of 416; redirects are followed, other answers refused."""
    from kspike import __version__

    for _ in range(_MOST_REDIRECTS + 1):
        always = {"User-Agent": f"kspike/{__version__}", "Accept-Encoding": "identity"}
        try:
            response = opener(urllib.request.Request(url, headers={**always, **headers}), timeout)
        except (OSError, http.client.HTTPException) as error:
            raise BrokenError(said(error)) from None
        if response.status in ((200, 206, 416) if "Range" in headers else (200,)):
            return response
        with contextlib.closing(response):
            if response.status not in _REDIRECTS:
                raise _refused(response, shown)
            url = urllib.parse.urljoin(url, response.headers.get("Location") or "")
            check_scheme(url, f"{shown}, which redirects to {url.partition('?')[0][:200]!r}")
    raise ValueError(f"Expected {shown} to lead to a file; it redirects again and again.")


def _refused(response: Any, shown: str) -> Exception:
    answer = f"{response.status} {http.client.responses.get(response.status, '')}".strip()
    if response.status in (404, 410):
        return NotThereError(f"Expected an entry at {shown}; the server says {answer}.")
    if response.status >= 500 or response.status in (408, 429):
        return BrokenError(f"the server says {answer}")
    return ValueError(f"Expected {shown} to be a file; the server says {answer}.")


def validator(response: Any) -> str | None:
    """What tells that a file is still the same: a strong ETag, else its date; None where the server gives neither."""
    tag = response.headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")


def check_scheme(url: str, what: str) -> None:
    """Refuses an address that is not https, by ValueError."""
    if urllib.parse.urlsplit(url).scheme.lower() != "https":
        raise ValueError(
            f"Expected entries to come by https:// (or file://, where the user says so); received {what}. Nothing was "
            "fetched."
        )


def said(error: Exception) -> str:
    """Why there was no answer, or no more of one, in words."""
    reason = getattr(error, "reason", None) or error
    if isinstance(reason, TimeoutError):
        return "nothing came for a while"
    return str(reason) or type(reason).__name__
