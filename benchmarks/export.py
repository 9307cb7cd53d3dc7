"""Exports zoo entries from every backend in every format, and writes down what each gave: docs/results/export.csv.

    python benchmarks/export.py --entries auto_spikformer_digits --backends torch jax tensorflow --images 100
    python benchmarks/export.py --whole --backends torch --entries auto_spikformer_digits autost_c10

Each backend runs in a process of its own. Images are the entry's test images where the data set is there, else numbers
drawn at random in the entry's shape. Rows that the table has are not measured again.

--whole runs the file as it is shipped on every test image: accuracy in the runtime, and classes that are others than
those of the backend that wrote the file; spikes are compared on so many images as --images says. The table is
docs/results/export_whole.csv.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from rows import append, read
from runtimes import Runtime

FILES = (
    ("net.onnx", "unrolled"), ("net.onnx", "scan"), ("net.onnx", "step"), ("net.xml", "unrolled"), ("net.xml", "scan"),
    ("net.xml", "step"), ("net.pt2", "unrolled"), ("net.tflite", "unrolled"), ("net", "unrolled"),
    ("net.nir", "unrolled"),
)  # fmt: skip
FIELDS = (
    "entry", "backend", "format", "time", "works", "writer", "runtime", "bytes", "images", "classes_changed", "ulp",
    "spikes_compared", "spikes_differing", "unexplained", "differing_from_own_backend", "note",
)  # fmt: skip
WHOLE = (
    "entry", "format", "time", "works", "writer", "runtime", "batch", "bytes", "images", "right", "accuracy",
    "writer_right", "classes_changed", "ulp", "seconds", "spikes_images", "spikes_compared", "spikes_differing",
    "unexplained", "note",
)  # fmt: skip
#: Images in one call of a runtime.
BATCH = 100
_KEPT: dict[tuple[str, ...], tuple[np.ndarray, float]] = {}


def images_of(entry: str, count: int | None, whole: bool = False) -> Any:
    """The entry's test images, or random ones unless `whole`."""
    import kspike

    card = kspike.zoo.card(entry)
    shown = card["input"]
    name = card.get("data", {}).get("name", "digits" if "digits" in entry else "cifar10")
    try:
        test = kspike.data.load(
            name, batch_size=BATCH, image_size=tuple(shown["shape"][-3:-1]), mean=shown["mean"], std=shown["std"]
        ).test
        return test if count is None else test.subset(min(count, test.num_examples))
    except (ValueError, OSError, ImportError):
        if whole:
            raise
        return np.random.default_rng(0).normal(0.0, 1.0, (count or 1000, *shown["shape"])).astype("float32")


def here(entries: list[str], count: int | None, only: list[str], times: list[str], out: Path, whole: bool) -> None:
    """Runs on this process's backend, and adds rows to the table."""
    import keras

    import kspike

    backend = keras.backend.backend()
    for entry in entries:
        model, images = kspike.zoo.load(entry), images_of(entry, count, whole)
        for file, way in FILES:
            form = next(f for f in kspike.export.formats() if f.suffix == Path(file).suffix)
            key = {"entry": entry, "format": form.name, "time": way} | ({} if whole else {"backend": backend})
            if (only and form.name not in only) or way not in times or (whole and way == "step"):
                continue
            if any(all(row[name] == value for name, value in key.items()) for row in read(out)):
                continue
            row: dict[str, Any] = dict.fromkeys(WHOLE if whole else FIELDS, "") | key
            with tempfile.TemporaryDirectory() as folder:
                try:
                    report = kspike.export.save(model, Path(folder) / file, images=images, time=way)
                    if whole:
                        row |= everywhere(entry, report, Path(folder))
                except (ValueError, ImportError, RuntimeError) as error:
                    row |= {"works": "no", "note": " ".join(str(error).split())[:300]}
                else:
                    row |= _whole_row(report) if whole else _row(report)
            append(out, row)
            print(row, flush=True)


def _row(report: Any) -> dict[str, Any]:
    written = report.written
    return {
        "works": "yes", "writer": report.writer, "runtime": report.runtime, "bytes": report.bytes,
        "images": report.images, "classes_changed": report.classes_changed, "ulp": f"{written.ulp:.3g}",
        "spikes_compared": written.spikes_compared, "spikes_differing": written.spikes_differing,
        "unexplained": written.unexplained, "differing_from_own_backend": report.own.spikes_differing,
        "note": "; ".join(report.skipped),
    }  # fmt: skip


def _whole_row(report: Any) -> dict[str, Any]:
    return {
        "works": "yes", "writer": report.writer, "runtime": report.runtime, "bytes": report.bytes,
        "batch": report.batch or "any", "spikes_images": report.images, "spikes_compared": report.spikes_compared,
        "spikes_differing": report.spikes_differing, "unexplained": report.written.unexplained,
        "note": "; ".join(report.skipped),
    }  # fmt: skip


def everywhere(entry: str, report: Any, folder: Path) -> dict[str, Any]:
    """What the shipped file gives on every test image, beside the backend that wrote it."""
    form, (writer, _) = report.format, report.writer.split()
    runtime = report.runtime.split()[0]
    test = images_of(entry, None, whole=True)
    theirs, labels = _logits("portable", entry, test, folder, backend=writer)[0], _labels(test)
    mine, seconds = _logits(runtime, report.path, test, folder, batch=report.batch or 0)
    right = int((mine.argmax(-1) == labels).sum())
    apart = np.abs(mine.astype("float64") - theirs).max(axis=-1)
    ulp = (apart / np.spacing(np.abs(theirs).max(axis=-1).astype("float32"))).max()
    print(f"{entry} {form}: {seconds:.0f} s in {runtime}", flush=True)
    return {
        "images": len(labels), "right": right, "accuracy": f"{right / len(labels):.4f}",
        "writer_right": int((theirs.argmax(-1) == labels).sum()),
        "classes_changed": int((mine.argmax(-1) != theirs.argmax(-1)).sum()),
        "ulp": f"{ulp:.3g}", "seconds": f"{seconds:.0f}",
    }  # fmt: skip


def _labels(test: Any) -> np.ndarray:
    return np.concatenate([np.asarray(test[i][1]) for i in range(len(test))])


def _logits(
    runtime: str, what: Any, test: Any, folder: Path, batch: int = 0, backend: str = "tensorflow"
) -> tuple[np.ndarray, float]:
    """(logits of all test images, seconds), by a process of the runtime's own."""
    key = (runtime, str(what), backend)
    if key not in _KEPT:
        found, start = [], time.perf_counter()
        with Runtime(runtime, what, batch, backend) as run:
            for i in range(len(test)):
                np.save(folder / "images.npy", np.asarray(test[i][0], "float32"))
                run(folder / "images.npy", folder / "logits.npy")
                found.append(np.load(folder / "logits.npy"))
        _KEPT[key] = np.concatenate(found), time.perf_counter() - start
    return _KEPT[key]


def main() -> None:
    """Every backend in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", nargs="+", default=["auto_spikformer_digits"])
    parser.add_argument("--backends", nargs="+", default=["torch", "jax", "tensorflow"])
    parser.add_argument("--formats", nargs="*", default=[], help="names as kspike.export.formats() has them")
    parser.add_argument("--times", nargs="+", default=["unrolled", "scan", "step"], help="ways of writing time")
    parser.add_argument("--images", type=int, default=None, help="so many of the test images; all by default")
    parser.add_argument("--whole", action="store_true", help="the shipped file on every test image")
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    out = given.out or Path("docs/results/export_whole.csv" if given.whole else "docs/results/export.csv")
    if given.here:
        here(given.entries, given.images, given.formats, given.times, out, given.whole)
        return
    for backend in given.backends:
        command = [sys.executable, __file__, "--here", "--entries", *given.entries, "--out", str(out)]
        command += ["--times", *given.times]
        command += [] if given.images is None else ["--images", str(given.images)]
        command += ["--formats", *given.formats] if given.formats else []
        command += ["--whole"] if given.whole else []
        subprocess.run(command, env={**os.environ, "KERAS_BACKEND": backend}, check=True)


if __name__ == "__main__":
    main()
