"""Heartbeats between processes that share a folder: a file that one touches, and a timeout for the other."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

#: Seconds between two heartbeats.
EVERY = 5.0


@contextlib.contextmanager
def beating(path: Path, every: float = EVERY) -> Iterator[None]:
    """Touches a file at once and every few seconds while the block runs, from a thread of its own."""
    done = threading.Event()

    def beat() -> None:
        while not done.wait(every):
            with contextlib.suppress(OSError):  # a full disk, or a share that is away for a while
                path.touch()

    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    thread = threading.Thread(target=beat, name="kspike-heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


class SilenceTimeout:
    """Times out when the other process stops touching its file. Only changes count: clocks may differ by machine.

    Args:
        path: the file that the other process touches; it may not exist yet.
        seconds: the longest silence.
        clock: gives seconds, for tests.
    """

    def __init__(self, path: Path, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.path, self.seconds, self.clock = path, seconds, clock
        self._last, self._since = self._stamp(), clock()

    def ended(self) -> bool:
        """Whether the file has not changed for that long."""
        stamp, now = self._stamp(), self.clock()
        if stamp != self._last:
            self._last, self._since = stamp, now
        return now - self._since > self.seconds

    def _stamp(self) -> int | None:
        try:
            return self.path.stat().st_mtime_ns
        except OSError:
            return None
