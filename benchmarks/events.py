"""Events a second: files read beside tonic, frames made beside SpikingJelly; made-up events, the best of interleaved
turns.

Memory, too: the largest resident set while a folder of recordings is framed, against the size of its frames.
tonic (GPL-3.0-only) and SpikingJelly are used where they are installed, beside kspike; without them their column is
empty.

    python benchmarks/events.py
"""

from __future__ import annotations

import argparse
import json
import resource
import struct
import subprocess
import sys
import tempfile
import time
import types
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kspike.data import events
from kspike.data.events import reading

Call = Callable[[], Any]


def drawn(n: int, size: tuple[int, int], seed: int = 0) -> dict[str, np.ndarray]:
    """n events of a sensor, one every 2 microseconds on average."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, 2 * n, n))
    return {"t": t, "x": rng.integers(0, size[1], n), "y": rng.integers(0, size[0], n), "p": rng.integers(0, 2, n)}


def files(folder: Path, n: int) -> dict[str, Path]:
    """One file of n events in each format that has a writer of a line or two."""
    e = drawn(n, (128, 128))
    t, x, y, p = (e[name].astype(np.int64) for name in "txyp")
    made = {}

    def write(name: str, *parts: bytes) -> None:
        made[name] = folder / name
        made[name].write_bytes(b"".join(parts))

    low = t % (1 << 23)
    write("n_mnist.bin", np.stack([x, y, p << 7 | low >> 16, low >> 8 & 255, low & 255], 1).astype("u1").tobytes())
    pairs = np.stack([y << 8 | x << 1 | 1 - p, t], 1).astype(">u4")
    write("aedat2.aedat", b"#!AER-DAT2.0\r\n", pairs.tobytes())
    words = np.stack([x << 17 | y << 2 | p << 1 | 1, t], 1).astype("<u4")
    packets = [b"#!AER-DAT3.1\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"]
    for start in range(0, n, 1000):
        part = words[start : start + 1000]
        packets += [struct.pack("<hhiiiiii", 1, 1, 8, 4, 0, *[len(part)] * 3), part.tobytes()]
    write("aedat3.aedat", *packets)
    write("prophesee.dat", b"% Version 2\n\x0c\x08", np.stack([t, p << 28 | y << 14 | x], 1).astype("<u4").tobytes())
    cd = np.stack([8 << 28 | t >> 6, p << 28 | (t & 63) << 22 | x << 11 | y], 1)
    write("evt2.raw", b"% evt 2.0\n% end\n", cd.astype("<u4").tobytes())
    evt3 = np.stack([8 << 12 | t >> 12 & 4095, 6 << 12 | t & 4095, y, 2 << 12 | p << 11 | x], 1)
    write("evt3.raw", b"% evt 3.0\n% end\n", evt3.astype("<u2").tobytes())
    np.savez(folder / "events.npz", **e)
    made["events.npz"] = folder / "events.npz"
    return made


def of_tonic() -> dict[str, Callable[[Path], Any]]:
    """tonic's readers of the same files; {} where it is not installed."""
    try:
        from tonic import io
    except ImportError:
        return {}
    # Its readers of AEDAT 2.0 and 3.1 fail in 1.7.0, whose reader of headers returns three values where they take two.
    dtype = np.dtype([("x", int), ("y", int), ("t", int), ("p", int)])
    return {
        "n_mnist.bin": lambda path: io.read_mnist_file(str(path), dtype=dtype),
        "aedat2.aedat": lambda path: io.read_dvs_128(str(path)),
        "aedat3.aedat": lambda path: io.read_dvs_ibm(str(path)),
    }


def of_spikingjelly() -> Callable[[dict[str, np.ndarray], str, int], Any] | None:
    """SpikingJelly's frames; None where it is not installed."""

    class Anything(types.ModuleType):
        """Stands for torchvision and torchaudio, which its data sets import and what is measured does not use."""

        def __getattr__(self, name: str) -> Any:
            return type(name, (), {})

    for name in ("torchvision", "torchaudio"):
        for inner in ("", ".transforms", ".datasets", ".datasets.utils", ".datasets.folder", ".functional"):
            sys.modules.setdefault(name + inner, Anything(name + inner))
    sys.modules.setdefault("torchaudio.functional.functional", Anything("torchaudio.functional.functional"))
    try:
        from spikingjelly.datasets import utils
    except Exception as error:  # not installed, or without a package of its own
        print(f"without SpikingJelly: {error}")
        return None
    return lambda e, by, steps: utils.integrate_events_by_fixed_frames_number(e, by, steps, 128, 128)


def best(calls: dict[str, Call], turns: int) -> dict[str, float]:
    """The shortest processor time of each call over interleaved turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(turns):
        for name, call in calls.items():
            start = time.process_time()
            call()
            times[name].append(time.process_time() - start)
    return {name: min(each) for name, each in times.items()}


def repeated(call: Callable[..., Any], times: int, *arguments: Any) -> Call:
    return lambda: [call(*arguments) for _ in range(times)]


def works(reader: Callable[[Path], Any], path: Path) -> bool:
    try:
        reader(path)
    except Exception as error:
        print(f"tonic fails at {path.name}: {error}", file=sys.stderr)
        return False
    return True


def row(what: str, n: int, ours: float, theirs: float | None) -> str:
    rate = "" if theirs is None else f"{n / theirs / 1e6:.1f}"
    ratio = "" if theirs is None else f"{theirs / ours:.1f}"
    return f"| {what} | {n / ours / 1e6:.1f} | {rate} | {ratio} |"


def folder_memory(folder: Path, recordings: int, n: int) -> dict[str, float]:
    """Frames a folder in a process of its own: its largest resident set before and after, and the frames."""
    for k in range(recordings):
        path = folder / "set" / f"class_{k % 2}" / f"{k}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **drawn(n, (128, 128), seed=k))
    command = [sys.executable, __file__, "--frame", str(folder / "set")]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def frame(folder: str) -> None:
    """What `folder_memory` runs."""
    import kspike

    resident = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    data = kspike.data.from_events(folder, timesteps=16, sensor_size=(128, 128), batch_size=8)
    before, start = resident(), time.process_time()
    n = data.train.num_examples + data.validation.num_examples + data.test.num_examples
    seconds = time.process_time() - start
    dense = n * int(np.prod(data.input_shape)) * 4 / 2**20
    print(json.dumps({"before": before, "after": resident(), "dense": dense, "seconds": seconds}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=2_000_000, help="events a large file")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--frame", help="frame this folder and print its memory; run by the script itself")
    given = parser.parse_args()
    if given.frame:
        frame(given.frame)
        return
    warnings.simplefilter("ignore")
    tonic, jelly = of_tonic(), of_spikingjelly()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print("| file | kspike (M events/s) | tonic | times |\n|---|---|---|---|")
        for size, label in ((given.events, f"{given.events:,} events"), (4_000, "4,000 events")):
            (folder / str(size)).mkdir()
            repeat = max(1, 400_000 // size)
            for file, path in files(folder / str(size), size).items():
                calls: dict[str, Call] = {"kspike": repeated(reading.read_quietly, repeat, path, (128, 128))}
                if file in tonic and works(tonic[file], path):
                    calls["tonic"] = repeated(tonic[file], repeat, path)
                found = best(calls, given.turns)
                print(row(f"{file}, {label}", size * repeat, found["kspike"], found.get("tonic")))
        print("\n| frames, T=16, 128x128 | kspike (M events/s) | SpikingJelly | times |\n|---|---|---|---|")
        for size in (given.events, 100_000, 4_000):
            e = drawn(size, (128, 128))
            recording = events.Recording(**e, sensor_size=(128, 128))
            for by, theirs in (("time", "time"), ("count", "number")):
                calls = {"kspike": partial(events.to_frames, recording, timesteps=16, by=by)}
                if jelly is not None:
                    calls["jelly"] = partial(jelly, e, theirs, 16)
                found = best(calls, given.turns)
                print(row(f"by {by}, {size:,} events", size, found["kspike"], found.get("jelly")))
        print(
            "\n| recordings of 300,000 events | largest resident set before, after (MiB) | dense frames (MiB) | s of "
            "the processor |"
        )
        print("|---|---|---|---|")
        for recordings in (20, 200):
            (folder / f"memory_{recordings}").mkdir()
            m = folder_memory(folder / f"memory_{recordings}", recordings, 300_000)
            print(f"| {recordings} | {m['before']:.0f}, {m['after']:.0f} | {m['dense']:.0f} | {m['seconds']:.1f} |")


if __name__ == "__main__":
    main()
