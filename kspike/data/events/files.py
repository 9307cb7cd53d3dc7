"""Sets of event files: which recordings there are; how they are read, cut into windows and framed, one at a time."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kspike._messages import warn
from kspike.data import cache
from kspike.data.events import frame_cache, reading
from kspike.data.events.frame_cache import Sample
from kspike.data.events.framing import Framing
from kspike.data.events.packing import PackedFrames
from kspike.data.events.recording import Recording
from kspike.data.reading import progress
from kspike.data.sources import Array, Images, Source


class Item(NamedTuple):
    """One recording: its file, or the part of it from `start` to `stop` in microseconds of the file's clock.

    group: what must not fall into two parts: a user, or the recording itself.
    """

    path: Path
    label: int
    id: str
    group: str
    start: int | None = None
    stop: int | None = None


@dataclass(frozen=True)
class EventSet:
    """A data set of event files, as it lies on a disk.

    items: by official split, in a fixed order.
    cut: positions of "validation" (and "test", where no split of that name is official) in the training split; None
        takes them by id, as of images.
    split: name of that cut, for the card. absent: what the full set has and this copy has not, in words; "" for
        nothing.
    options: of `kspike.events.read`. turned: changes a recording that was read, such as its orientation.
    cut_us: length of windows into which every recording is cut; None leaves them whole.
    """

    name: str
    version: str
    sensor_size: tuple[int, int]
    class_names: tuple[str, ...]
    items: Mapping[str, tuple[Item, ...]]
    split: str
    cut: Callable[[Images], dict[str, Array]] | None = None
    absent: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    turned: Callable[[Recording, Item], Recording] | None = None
    cut_us: int | None = None
    mirrored: bool = True
    simulated: bool = False
    source: str = ""
    license: str = ""
    citation: str = ""

    def as_source(self, framing: Framing, root: Path | None) -> Source:
        """The set as kspike.data.Dataset takes it; frames are kept in `root`, or in memory where it is None."""
        shape = framing.shape(self.sensor_size)
        if self.absent:
            warn(f"{self.name}: {self.absent}. Figures are of this subset alone.")
        facts = {
            "sensor_size": list(self.sensor_size), "framing": framing.to_dict(), "split": self.split,
            "polarities": ["ON minus OFF"] if framing.voxels else ["OFF", "ON"], "normalised": False,
            "counts": framing.counts(self.sensor_size), "simulated": self.simulated, "absent": self.absent,
            "cut_us": self.cut_us,
        }  # fmt: skip
        return Source(
            name=self.name,
            version=self.version,
            image_shape=shape,
            class_names=self.class_names,
            input_range=None,
            splits=tuple(self.items),
            read=partial(self._read, framing, root),
            source=self.source,
            license=self.license,
            citation=self.citation,
            mirrored=self.mirrored,
            cut=self.cut,
            events=facts,
        )

    def open(self, item: Item) -> Recording:
        """Reads the recording of an item."""
        recording = self._file(item.path)
        if item.start is not None and item.stop is not None:
            recording = recording.between(item.start, item.stop)
            recording.source = f"{item.path} from {item.start} to {item.stop} us"
        return recording if self.turned is None else self.turned(recording, item)

    def _file(self, path: Path) -> Recording:
        """Reads a file; the last one is kept, since several items may be parts of it."""
        try:
            stat = path.stat()
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error.strerror}.") from None
        key = (path, stat.st_size, stat.st_mtime_ns, self.sensor_size, tuple(self.options.items()))
        known, recording = _LAST.get("file", (None, None))
        if key != known:
            recording = reading.read_quietly(path, self.sensor_size, **self.options)
            _LAST["file"] = key, recording
        return recording

    def _read(self, framing: Framing, root: Path | None, split: str) -> Images:
        items = self.items[split]
        if not items:
            raise ValueError(f"{self.name} has no recording in its split {split!r}.")
        fingerprint = self._fingerprint(framing, items)
        pack = frame_cache.kept(root, f"{self.name}-{split}", fingerprint, partial(self._samples, framing, items))
        by_id = {item.id: item for item in items}
        opened = partial(self._reopened, by_id, pack.ids)
        shape = (len(pack.labels), *framing.shape(self.sensor_size))
        frames: Any = PackedFrames(shape, pack.offsets, pack.places, pack.values, opened, framing, pack.groups)
        return Images(frames, pack.labels, pack.ids)

    def _reopened(self, by_id: Mapping[str, Item], ids: Array, position: int) -> Recording:
        name, _, window = str(ids[position]).partition("@")
        recording = self.open(by_id[name])
        if not window:
            return recording
        return dict(windows(recording, self.cut_us or 0))[int(window)]

    def _fingerprint(self, framing: Framing, items: tuple[Item, ...]) -> str:
        """Changes when files do (names, sizes, times of change), or what is made of them."""
        stats = {path: path.stat() for path in dict.fromkeys(item.path for item in items)}
        listed = [
            [
                item.id,
                item.label,
                item.group,
                item.start,
                item.stop,
                stats[item.path].st_size,
                stats[item.path].st_mtime_ns,
            ]
            for item in items
        ]
        settings = [frame_cache.FORMAT, self.name, self.sensor_size, framing.to_dict(), self.cut_us, dict(self.options)]
        return hashlib.sha256(json.dumps([settings, listed]).encode()).hexdigest()

    def _samples(self, framing: Framing, items: tuple[Item, ...]) -> Iterator[Sample]:
        notes: Counter[str] = Counter()
        first: dict[str, str] = {}
        shape = framing.shape(self.sensor_size)
        few = 0
        for item in progress(items, len(items), f"Framing {self.name}"):
            recording = self.open(item)
            for note in recording.notes:
                kind = re.sub(r"\d[\d,]*", "N", note)
                notes[kind] += 1
                first.setdefault(kind, recording.source)
            if self.cut_us is None:
                yield Sample(framing.frames(recording), item.label, item.id, item.group)
                continue
            for number, window in windows(recording, self.cut_us):
                if len(window) < shape[0] or window.duration < shape[0]:
                    few += 1
                    continue
                yield Sample(framing.frames(window), item.label, f"{item.id}@{number:05d}", item.group)
        said = [f"{kind} ({count:,} recordings, the first {first[kind]})" for kind, count in notes.items()]
        if few:
            said.append(f"{few:,} windows of fewer than {shape[0]} events were left out")
        if said:
            warn(f"{self.name}: {'; '.join(said)}.")


#: The last file that was read, with what tells whether it is the same.
_LAST: dict[str, Any] = {}


def windows(recording: Recording, cut_us: int) -> Iterator[tuple[int, Recording]]:
    """Cuts a recording into windows of `cut_us` from its first event on; what is left at its end is no window."""
    if not len(recording):
        return
    start = int(recording.t[0])
    edges = start + cut_us * np.arange((recording.duration + 1) // cut_us + 1)
    places = np.searchsorted(recording.t, edges)
    for number, (first, last) in enumerate(zip(places[:-1].tolist(), places[1:].tolist(), strict=True)):
        window = recording.chosen(slice(first, last))
        window.source = f"{recording.source} from {edges[number]} to {edges[number + 1]} us"
        yield number, window


def listed(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """The files of a folder with one of these suffixes, none hidden, by number where the names have numbers."""
    found = [p for p in folder.iterdir() if p.suffix.lower() in suffixes and p.is_file() and not p.name.startswith(".")]
    return sorted(found, key=lambda path: (_number(path.stem), path.name))


def classes(folder: Path) -> dict[str, Path]:
    """The folders below a folder by name, sorted; hidden ones and that of kept frames left out."""
    if not folder.is_dir():
        return {}
    found = (path for path in sorted(folder.iterdir()) if path.is_dir())
    return {path.name: path for path in found if not path.name.startswith(".") and path.name != cache.FOLDER}


def child(folder: Path, *names: str) -> Path | None:
    """The folder below another that has one of these names, in capitals or not."""
    below = {name.lower(): path for name, path in classes(folder).items()}
    return next((below[name.lower()] for name in names if name.lower() in below), None)


def roots(data_dir: Path, *names: str) -> Iterator[Path]:
    """Where a set may lie: `data_dir` itself, a folder of its name below, and where usual libraries put it inside."""
    outer = [data_dir, *(path for path in (child(data_dir, name) for name in names) if path is not None)]
    for folder in outer:
        yield folder
        for inner in ("extract", "events_np"):
            if (path := child(folder, inner)) is not None:
                yield path
                for name in names:
                    if (below := child(path, name)) is not None:
                        yield below


def _number(stem: str) -> int:
    digits = re.findall(r"\d+", stem)
    return int(digits[-1]) if digits else -1
