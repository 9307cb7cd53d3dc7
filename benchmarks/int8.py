"""Quantises zoo entries, and measures them on the whole test set beside the network of floats: docs/results/int8.csv.

    python benchmarks/int8.py --entries auto_spikformer_digits --static

--static also has ONNX Runtime make int8 of every operation of the exported network, by its own static quantisation.
Entries whose data set is not there are left out, and named; rows that the table has are not measured again.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from rows import append, read

FIELDS = (
    "entry", "network", "backend", "images", "right", "accuracy", "energy_mj", "convention", "bytes",
    "calibration_images", "spikes_compared", "spikes_changed", "classes_changed", "inexact_neurons",
)  # fmt: skip


def data_of(entry: str, batch_size: int) -> Any:
    """The entry's data set, as its card says."""
    import kspike

    card = kspike.zoo.card(entry)
    shown, data = card["input"], card.get("data", {})
    return kspike.data.load(
        data.get("name", "digits" if "digits" in entry else "cifar10"), batch_size=batch_size,
        image_size=tuple(shown["shape"][-3:-1]), mean=shown["mean"], std=shown["std"],
    )  # fmt: skip


def measured(model: Any, split: Any, convention: str | None = None) -> dict[str, Any]:
    """Accuracy and energy on a split."""
    import kspike

    report = kspike.cost.measure(model, split, convention, progress=False)
    return {
        "images": report.images, "right": round(report.accuracy * report.images), "accuracy": f"{report.accuracy:.4f}",
        "energy_mj": f"{report.energy_mj:.6g}", "convention": report.convention.name,
    }  # fmt: skip


def static(model: Any, train: Any, test: Any) -> dict[str, Any]:
    """What ONNX Runtime's static quantisation of every operation gives on a split."""
    import onnxruntime
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    import kspike

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter([train[i][0] for i in range(min(4, len(train)))])

        def get_next(self) -> dict[str, np.ndarray] | None:
            found = next(self.left, None)
            return None if found is None else {"images": np.asarray(found, "float32")}

    with tempfile.TemporaryDirectory() as folder:
        path, small = Path(folder) / "net.onnx", Path(folder) / "small.onnx"
        kspike.export.save(model, path)
        quantize_static(path, small, Reader(), per_channel=True, activation_type=QuantType.QInt8)
        session = onnxruntime.InferenceSession(str(small), providers=["CPUExecutionProvider"])
        right = count = 0
        for i in range(len(test)):
            images, labels = test[i][:2]
            (logits, *_) = session.run(None, {"images": np.asarray(images, "float32")})
            right, count = right + int((logits.argmax(-1) == np.asarray(labels)).sum()), count + len(labels)
        return {"images": count, "right": right, "accuracy": f"{right / count:.4f}", "bytes": small.stat().st_size}


def main() -> None:
    """Every entry in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", nargs="+", default=["auto_spikformer_digits"])
    parser.add_argument("--batch-size", type=int, default=60)
    parser.add_argument("--batches", type=int, default=16, help="of calibration images")
    parser.add_argument("--images", type=int, default=None, help="so many of the test images; all by default")
    parser.add_argument("--static", action="store_true", help="ONNX Runtime's static quantisation too")
    parser.add_argument("--out", type=Path, default=Path("docs/results/int8.csv"))
    given = parser.parse_args()
    import keras

    import kspike

    for entry in given.entries:
        try:
            data = data_of(entry, given.batch_size)
            test = data.test if given.images is None else data.test.subset(given.images)
        except (ValueError, OSError, ImportError) as error:
            print(f"{entry}: left out, {error}")
            continue
        there = {
            row["network"] for row in read(given.out)
            if row["entry"] == entry and row["images"] == str(test.num_examples)
        }  # fmt: skip
        same = {**dict.fromkeys(FIELDS, ""), "entry": entry, "backend": keras.backend.backend()}
        model = kspike.zoo.load(entry)
        if not {"float32", "int8"} <= there:
            small = kspike.quantize(model, data.train, batches=given.batches)
            found = kspike.export.Quantization.from_dict(small.quantization)
            print(found, flush=True)
            changed = {
                "bytes": found.bytes, "calibration_images": found.images, "spikes_compared": found.spikes_compared,
                "spikes_changed": found.spikes_changed, "classes_changed": found.classes_changed,
                "inexact_neurons": len(found.inexact),
            }  # fmt: skip
            if "float32" not in there:
                before = {"network": "float32", "bytes": found.bytes_before}
                append(given.out, {**same, **before, **measured(model, test)})
            if "int8" not in there:
                append(given.out, {**same, "network": "int8", **changed, **measured(small, test)})
        if given.static and "ONNX Runtime, static" not in there:
            network = {"network": "ONNX Runtime, static"}
            append(given.out, {**same, **network, **static(model, data.train, test)})


if __name__ == "__main__":
    main()
