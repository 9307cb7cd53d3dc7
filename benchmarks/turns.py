"""Seconds of calls that take turns: whatever else the machine does meets them alike."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np


def by_turns(
    calls: list[Callable[[], Any]], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """Median seconds of each, after one call that is not counted, by a clock."""
    seconds: list[list[float]] = [[] for _ in calls]
    for call in calls:
        call()
    for _ in range(repeats):
        for times, call in zip(seconds, calls, strict=True):
            start = clock()
            call()
            times.append(clock() - start)
    return [float(np.median(times)) for times in seconds]
