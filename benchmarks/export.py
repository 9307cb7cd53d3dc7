"""Exports zoo entries from every backend in every format, and writes down what each gave: docs/results/export.csv.

    python benchmarks/export.py --entries auto_spikformer_digits --backends torch jax tensorflow

Each backend runs in a process of its own. Images are the entry's test images where the data set is there, else numbers
drawn at random in the entry's shape.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
from pathlib import Path

FILES = (
    ("net.onnx", "unrolled"), ("net.onnx", "scan"), ("net.onnx", "step"), ("net.xml", "unrolled"), ("net.xml", "scan"),
    ("net.xml", "step"), ("net.pt2", "unrolled"), ("net.tflite", "unrolled"), ("net", "unrolled"),
    ("net.nir", "unrolled"),
)  # fmt: skip
FIELDS = (
    "entry", "backend", "format", "time", "works", "writer", "runtime", "bytes", "images", "classes_changed", "ulp",
    "spikes_compared", "spikes_differing", "unexplained", "differing_from_own_backend", "note",
)  # fmt: skip


def images_of(entry: str, count: int | None) -> object:
    """The entry's test images, or random ones."""
    import numpy as np

    import kspike

    card = kspike.zoo.card(entry)
    shown = card["input"]
    name = card.get("data", {}).get("name", "digits" if "digits" in entry else "cifar10")
    try:
        data = kspike.data.load(
            name, batch_size=100, image_size=tuple(shown["shape"][-3:-1]), mean=shown["mean"], std=shown["std"]
        )
        return data.test if count is None else data.test.subset(count)
    except (ValueError, OSError, ImportError):
        return np.random.default_rng(0).normal(0.0, 1.0, (count or 1000, *shown["shape"])).astype("float32")


def here(entries: list[str], count: int | None, only: list[str]) -> None:
    """Runs on this process's backend; prints rows as CSV."""
    import keras

    import kspike

    out = csv.DictWriter(sys.stdout, FIELDS)
    for entry in entries:
        model, images = kspike.zoo.load(entry), images_of(entry, count)
        for file, time in FILES:
            form = next(f for f in kspike.export.formats() if f.suffix == Path(file).suffix)
            if only and form.name not in only:
                continue
            row = {"entry": entry, "backend": keras.backend.backend(), "format": form.name, "time": time}
            with tempfile.TemporaryDirectory() as folder:
                try:
                    report = kspike.export.save(model, Path(folder) / file, images=images, time=time)
                except (ValueError, ImportError, RuntimeError) as error:
                    row |= {"works": "no", "note": " ".join(str(error).split())[:300]}
                else:
                    written = report.written
                    row |= {
                        "works": "yes", "writer": report.writer, "runtime": report.runtime, "bytes": report.bytes,
                        "images": report.images, "classes_changed": report.classes_changed,
                        "ulp": f"{written.ulp:.3g}", "spikes_compared": written.spikes_compared,
                        "spikes_differing": written.spikes_differing, "unexplained": written.unexplained,
                        "differing_from_own_backend": report.own.spikes_differing, "note": "; ".join(report.skipped),
                    }  # fmt: skip
            out.writerow(row)
            sys.stdout.flush()


def main() -> None:
    """Every backend in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", nargs="+", default=["auto_spikformer_digits"])
    parser.add_argument("--backends", nargs="+", default=["torch", "jax", "tensorflow"])
    parser.add_argument("--formats", nargs="*", default=[], help="names as kspike.export.formats() has them")
    parser.add_argument("--images", type=int, default=None, help="so many of the test images; all by default")
    parser.add_argument("--out", type=Path, default=Path("docs/results/export.csv"))
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.here:
        here(given.entries, given.images, given.formats)
        return
    given.out.parent.mkdir(parents=True, exist_ok=True)
    with given.out.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerow(FIELDS)
        for backend in given.backends:
            count = [] if given.images is None else ["--images", str(given.images)]
            command = [sys.executable, __file__, "--here", "--entries", *given.entries, *count]
            command += ["--formats", *given.formats] if given.formats else []
            file.flush()
            subprocess.run(command, stdout=file, env={**os.environ, "KERAS_BACKEND": backend}, check=True)


if __name__ == "__main__":
    main()
