"""A server on this machine that is asked for one file, and answers each request as a test says."""

from __future__ import annotations

import contextlib
import re
import threading
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

#: The address that the library is given; `Server.open` takes it to the server.
HOST = "https://zoo.example"
TAG = '"first"'


class Server(ThreadingHTTPServer):
    """`acts` are taken one a request, then the whole file is given; `asked` holds the headers of every request."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.acts, self.asked, self.released = content, [], [], threading.Event()

    def open(self, request, timeout):
        """What opens the library's requests: https to HOST is http to here, and nothing else is reached."""
        assert request.full_url.startswith(f"{HOST}/"), request.full_url
        here = request.full_url.replace(HOST, f"http://127.0.0.1:{self.server_port}")
        director = urllib.request.OpenerDirector()
        director.add_handler(urllib.request.HTTPHandler())
        return director.open(urllib.request.Request(here, headers=dict(request.header_items())), timeout=timeout)


class Handler(BaseHTTPRequestHandler):
    """Calls the next act."""

    def do_GET(self):
        self.server.asked.append(dict(self.headers))
        (self.server.acts.pop(0) if self.server.acts else file())(self)

    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def running(content: bytes) -> Iterator[Server]:
    """A server while the block runs."""
    server = Server(content)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


def file(
    send: int | None = None,
    more: bytes = b"",
    length: str | None = "true",
    tag: str | None = TAG,
    span: str | None = None,
    ranges: bool = True,
    stall: bool = False,
    **headers: str,
) -> Callable[[Handler], None]:
    """Gives the file, or the part of it that was asked for.

    Args:
        send: bytes after which the connection is closed.
        more: sent behind the end.
        length: what Content-Length says, "true" for what it is; None says nothing.
        tag: the ETag; None gives none.
        span: what Content-Range says instead.
        ranges: whether parts are given.
        stall: whether the connection stays open after `send` bytes, and nothing comes.
        headers: further ones, "_" for "-".
    """

    def act(handler: Handler) -> None:
        content, asked = handler.server.content, re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        same = handler.headers.get("If-Range") in (None, tag)
        start = int(asked[1]) if asked and ranges and same else 0
        if start and start >= len(content):
            handler.send_response(416)
            handler.end_headers()
            return
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", span or f"bytes {start}-{len(content) - 1}/{len(content)}")
        if length is not None:
            handler.send_header("Content-Length", str(len(content) - start) if length == "true" else length)
        if tag is not None:
            handler.send_header("ETag", tag)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        rest = content[start:] + more
        handler.wfile.write(rest if send is None else rest[:send])
        handler.wfile.flush()
        if stall:
            handler.server.released.wait(30)

    return act


def answer(status: int, **headers: str) -> Callable[[Handler], None]:
    """Answers with a status and headers alone."""

    def act(handler: Handler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()

    return act
