"""A page of one recording: events over time, its frames, and the firing of a network beside them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kspike import pages
from kspike.data.events.recording import Recording
from kspike.data.sources import Array
from kspike.pages.chart import LARGE

#: Points of the chart of events over time.
BINS = 60


def as_page(recording: Recording, frames: Array, how: str, firing: Sequence[Sequence[str]] = (), said: str = "") -> str:
    """The whole page as text; nothing in it is loaded from anywhere.

    Args:
        recording: at least one event.
        frames: (time, height, width, channels), of it.
        how: the framing in words.
        firing: a row a neuron layer: its name, then its firing rate at each time step; nothing without a network.
        said: what the network made of it, a line.
    """
    height, width = recording.sensor_size
    on = int(recording.p.sum())
    seconds = recording.duration / 1e6
    facts = [
        f"{len(recording):,} events in {seconds:.6g} s on {height}x{width} pixels (height x width): {on:,} ON, "
        f"{len(recording) - on:,} OFF; {_active(recording):.1%} of the pixels fired.",
        *(f"Mended: {note}." for note in recording.notes),
    ]
    return pages.render(
        "events.html",
        title=recording.source or "Recording",
        facts=facts,
        rate=_over_time(recording),
        frames=[
            {"image": pages.png(np.sqrt(one)), "text": f"t={k}: {one.sum():,.6g} events"}
            for k, one in enumerate(np.abs(frames), 1)
        ],
        how=f"{how}. Blue: ON, red: OFF; brighter where there are more.",
        firing=firing,
        columns=["layer", *(f"t={k}" for k in range(1, len(frames) + 1))],
        said=said,
    )


def _active(recording: Recording) -> float:
    height, width = recording.sensor_size
    pixels = recording.y.astype(np.int64) * width + recording.x
    return len(np.unique(pixels)) / (height * width)


def _over_time(recording: Recording) -> pages.Chart:
    """Thousands of events a second, ON and OFF, over seconds from the first event."""
    length = max(recording.duration, 1) / BINS
    place = np.minimum(((recording.t - recording.t[0]) / length).astype(np.int64), BINS - 1)
    series = []
    for colour, polarity in (("orange", 0), ("blue", 1)):
        counts = np.bincount(place[recording.p == polarity], minlength=BINS)
        points = [
            pages.Point((k + 0.5) * length / 1e6, count / length * 1e3, f"{count:,} events")
            for k, count in enumerate(counts.tolist())
        ]
        series.append(pages.Series(colour, points, line=True, dots=""))
    return pages.chart("thousand events a second", "seconds", series, size=LARGE, from_zero="xy")
