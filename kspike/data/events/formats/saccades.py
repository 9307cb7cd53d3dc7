"""N-MNIST and N-Caltech101 (.bin): five bytes an event: x, y, then one bit of polarity and 23 of microseconds.

Orchard et al., "Converting static image datasets to spiking neuromorphic datasets using saccades", 2015. A row of 240,
which the sensor has not, marks that the clock went on by 2**13 microseconds, as the authors' own reader has it.
"""

from __future__ import annotations

import numpy as np

from kspike.data.events.mending import Raw

BYTES, CLOCK_ROW, CLOCK_STEP = 5, 240, 1 << 13


def read(content: bytes) -> Raw:
    """A .bin file -> its events; the sensor's size is not in it."""
    count, rest = divmod(len(content), BYTES)
    words = np.frombuffer(content, np.uint8, count * BYTES).reshape(count, BYTES)
    x, y, high, middle, low = np.ascontiguousarray(words.T)
    t = ((high & 127).astype(np.int64) << 16) | (middle.astype(np.int64) << 8) | low
    p = high >> 7
    marks = y == CLOCK_ROW
    if marks.any():
        t += np.cumsum(marks) * CLOCK_STEP
        kept = ~marks
        t, x, y, p = t[kept], x[kept], y[kept], p[kept]
    return Raw(t, x, y, p, time_unit="us", notes=cut(count, rest))


def cut(count: int, rest: int) -> tuple[str, ...]:
    """What is said of a file that ends inside an event."""
    return (f"the file ends inside an event: {count:,} whole ones were read, {rest} byte(s) left",) if rest else ()
