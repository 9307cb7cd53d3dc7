"""How long one call takes in each runtime, beside kspike's three backends: docs/results/export_latency.csv.

    python benchmarks/export_latency.py --entries auto_spikformer_digits spikformer_c10

Each runtime has a process of its own with one thread, all of them open at a time, and they take turns, the one that
begins changing from round to round: what else the machine does meets them alike. A row's ratio is the median over
rounds of its seconds by those of kspike on torch in the same round, with the quartiles. Files are written once, and
not compared: `benchmarks/export.py` does that. The table has not been made yet.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from rows import append, read
from runtimes import Runtime

FILES = ("net.onnx", "net.xml", "net.pt2", "net.tflite", "net")
#: What the others are divided by.
FIRST = "kspike, torch"


def contestants(entry: str, folder: Path) -> dict[str, tuple[str, str, int, str]]:
    """Name -> what a `Runtime` takes; formats that are not installed are left out, and named."""
    import kspike

    found = {f"kspike, {backend}": ("kspike", entry, 0, backend) for backend in ("torch", "jax", "tensorflow")}
    model = kspike.zoo.load(entry)
    for file in FILES:
        form = next(f for f in kspike.export.formats() if f.suffix == Path(file).suffix)
        try:
            report = kspike.export.save(model, folder / file)
        except ImportError as error:
            print(f"{form.name}: left out, {error}")
            continue
        found[form.name] = (form.runtime, str(report.path), report.batch or 0, "tensorflow")
    return found


def by_turns(runtimes: list[Runtime], images: Path, rounds: int) -> np.ndarray:
    """Seconds, (rounds, runtimes); two rounds more, which come first, are not counted."""
    seconds = np.zeros((rounds + 2, len(runtimes)))
    for number in range(rounds + 2):
        for i in np.roll(np.arange(len(runtimes)), number):
            seconds[number, i] = runtimes[i](images)
    return seconds[2:]


def main() -> None:
    """Every entry, in batches of each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", nargs="+", default=["auto_spikformer_digits"])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 32])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--out", type=Path, default=Path("docs/results/export_latency.csv"))
    given = parser.parse_args()
    import kspike

    for entry in given.entries:
        if any(row["entry"] == entry for row in read(given.out)):
            continue
        shape = kspike.zoo.card(entry)["input"]["shape"]
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            known = contestants(entry, folder)
            runtimes: dict[str, Any] = {}
            for each, arguments in known.items():
                try:
                    runtimes[each] = Runtime(*arguments)
                except RuntimeError as error:
                    print(f"{each}: left out, {error}")
            try:
                for batch in given.batches:
                    images = np.random.default_rng(0).normal(0.0, 1.0, (batch, *shape)).astype("float32")
                    np.save(folder / "images.npy", images)
                    seconds = by_turns(list(runtimes.values()), folder / "images.npy", given.rounds)
                    ratios = seconds / seconds[:, [list(runtimes).index(FIRST)]]
                    for i, each in enumerate(runtimes):
                        low, middle, high = np.quantile(ratios[:, i], (0.25, 0.5, 0.75))
                        row = {
                            "entry": entry, "batch": batch, "runtime": each, "version": runtimes[each].version,
                            "rounds": given.rounds, "ratio": f"{middle:.3f}", "low": f"{low:.3f}",
                            "high": f"{high:.3f}", "ms": f"{1e3 * np.median(seconds[:, i]):.2f}",
                        }  # fmt: skip
                        append(given.out, row)
                        print(row, flush=True)
            finally:
                for each in runtimes.values():
                    each.close()


if __name__ == "__main__":
    main()
