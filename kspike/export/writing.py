"""Writes a network's files in a process of the backend that can, with what the network itself gives for the images.

Within that backend's own process `write` is called; from another one `elsewhere` runs this module.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kspike import ops
from kspike.components import elsewhere as processes
from kspike.convert.nir import from_nir
from kspike.export import nir_files, onnx_files, onnx_time, tensorflow_files, torch_files
from kspike.export.observing import Observed, listening, recorded, scaled_pixels
from kspike.export.running import pack
from kspike.export.table import CHECKED, FILE

#: Names inside the folder that a task is worked on in.
MODEL, TASK, FACTS, IMAGES, EXPECTED = "model.keras", "task.json", "facts.json", "images", "expected"
NOTES = "notes.json"


@dataclasses.dataclass(frozen=True)
class Task:
    """What is to be written.

    Args:
        suffix: which format.
        time: "unrolled", "scan" or "step".
        batch: images at a time; None leaves it free.
        opset: of ONNX.
        pixels: range, mean and std, where raw pixels come in.
        batches: how many batches of images lie in the folder.
        notes: name -> text that the file carries.
    """

    suffix: str
    time: str
    batch: int | None
    opset: int
    pixels: dict[str, Any] | None
    batches: int
    notes: dict[str, str]


def write(model: Any, task: Task, folder: Path) -> None:
    """Writes the file, the one to be checked, what is expected of both, and facts, into the folder."""
    import keras

    facts: dict[str, Any] = {"backend": keras.backend.backend(), "version": _version(), "batch": task.batch}
    with ops.portable():
        writer = _WRITERS[task.suffix]
        facts |= writer(model, task, folder)
        facts["expected"] = _expected(model, task, folder)
    (folder / FACTS).write_text(json.dumps(facts), encoding="utf-8")


def _version() -> str:
    import keras

    return getattr(importlib.import_module(keras.backend.backend()), "__version__", "")


def _expected(model: Any, task: Task, folder: Path) -> list[str]:
    """Runs the network itself on every batch; gives the neurons' names."""
    names: list[str] = []

    def run(images: Any) -> tuple[Any, list[Any], list[Any]]:
        x = images if task.pixels is None else scaled_pixels(images, task.pixels)
        logits, seen = recorded(model, x)
        names[:] = [name for name, *_ in seen]
        return logits, [spikes for _, spikes, _ in seen], [near for *_, near in seen]

    compiled = ops.jit(run, model.variables)
    from keras.ops import convert_to_numpy

    for number in range(task.batches):
        logits, spikes, near = compiled(np.load(folder / IMAGES / f"{number}.npy"))
        arrays = [convert_to_numpy(each) for each in (*spikes, *near)]
        np.savez(folder / EXPECTED / f"{number}.npz", logits=convert_to_numpy(logits), **pack(arrays))
    return names


def _example(model: Any, task: Task, batch: int) -> np.ndarray:
    return np.zeros((batch, *model.config.input_shape), "float32" if task.pixels is None else "uint8")


# -- one writer a format ----------------------------------------------------------------------------------------------


def _onnx(model: Any, task: Task, folder: Path) -> dict[str, Any]:
    if task.time != "unrolled":
        return onnx_time.write(model, task, folder)
    observed = Observed(model, task.pixels, watch=True)
    raw = folder / "raw.onnx"
    example = _example(model, task, task.batch or 2)
    found = torch_files.write_onnx(observed, raw, [example], ["images"], task.opset, task.batch is None)
    names = list(observed.names)
    shapes = [(task.batch, *each[1:]) for each in found]
    outputs = ["logits", *(f"spikes.{name}" for name in names)]
    checked = onnx_files.named(raw, outputs, {"images": (task.batch, *example.shape[1:])}, shapes)
    onnx_files.finish(checked, folder, task.notes)
    return {"neurons": names, "opset": task.opset}


def _openvino(model: Any, task: Task, folder: Path) -> dict[str, Any]:
    facts = _onnx(model, task, folder)
    (folder / NOTES).write_text(json.dumps(task.notes), encoding="utf-8")
    script = str(Path(__file__).with_name("openvino_files.py"))
    for name in (FILE, CHECKED):
        run_alone([script, str(folder / f"{name}.onnx"), str(folder / f"{name}.xml"), str(folder / NOTES)], "OpenVINO")
    return facts


def _program(model: Any, task: Task, folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    batch = task.batch
    for name, watch in ((CHECKED, True), (FILE, False)):
        observed = Observed(model, task.pixels, watch=watch)
        facts["neurons"] = list(observed.names)
        path = folder / f"{name}.pt2"
        try:
            torch_files.write_program(observed, path, _example(model, task, batch or 2), batch is None, task.notes)
        except Exception as error:
            if batch is not None:
                raise
            first = next(iter(str(error).splitlines()), type(error).__name__)
            batch = 1
            facts["skipped"] = [f"a free batch: torch.export cannot leave it open ({first}); it is fixed at 1"]
            torch_files.write_program(observed, path, _example(model, task, 1), False, task.notes)
        facts["batch"] = batch
    return facts


def _saved_model(model: Any, task: Task, folder: Path) -> dict[str, Any]:
    return _by_keras(tensorflow_files.write_saved_model, "", model, task, folder)


def _litert(model: Any, task: Task, folder: Path) -> dict[str, Any]:
    found = _by_keras(tensorflow_files.write_litert, ".tflite", model, task, folder)
    return {**found, "skipped": ["class names and card: .tflite has no place for text"]}


def _by_keras(writer: Any, suffix: str, model: Any, task: Task, folder: Path) -> dict[str, Any]:
    shape = (task.batch, *model.config.input_shape)
    names: list[str] = []
    for name, watch in ((CHECKED, True), (FILE, False)):
        observed = Observed(model, task.pixels, watch=watch, named=True)
        writer(observed, folder / f"{name}{suffix}", shape, "float32" if task.pixels is None else "uint8")
        names = list(observed.names)
        if not suffix:
            extra = folder / name / "assets.extra"
            extra.mkdir()
            for note, text in task.notes.items():
                (extra / f"kspike.{note}.txt").write_text(text, encoding="utf-8")
    return {"neurons": names}


def _nir(model: Any, task: Task, folder: Path) -> dict[str, Any]:
    graph, nodes = nir_files.graph_of(model)
    nir_files.write(graph, folder / f"{FILE}.nir", task.notes)
    return {
        "neurons": list(nodes),
        "nodes": nodes,
        "skipped": ["T: a .nir file is one step, and what runs it repeats it"],
    }


def run_nir(model: Any, task: Task, nodes: dict[str, list[str]], found: Path, folder: Path) -> None:
    """Reads the written file and runs it on every batch."""
    from keras import ops as tensors

    read = from_nir(folder / f"{FILE}.nir", timesteps=model.config.timesteps)

    def run(frames: Any) -> tuple[Any, dict[str, Any]]:
        with listening(read) as seen:
            logits = read(frames, training=False)
        return tensors.mean(logits, axis=1), dict(seen)

    compiled = ops.jit(run, read.variables)
    for number in range(task.batches):
        frames = np.load(folder / IMAGES / f"{number}.npy")
        if not model.config.has_time:
            frames = np.repeat(frames[:, None], model.config.timesteps, axis=1)
        logits, spikes = compiled(frames)
        sides = [
            np.concatenate([tensors.convert_to_numpy(spikes[n]) for n in each], axis=-1) for each in nodes.values()
        ]
        np.savez(found / f"{number}.npz", logits=tensors.convert_to_numpy(logits), **pack(sides))


_WRITERS = {".nir": _nir, ".onnx": _onnx, ".xml": _openvino, ".pt2": _program, ".tflite": _litert, "": _saved_model}


# -- other processes --------------------------------------------------------------------------------------------------


def run_alone(
    arguments: Sequence[str], what: str, env: dict[str, str] | None = None, flags: Sequence[str] = ("-P",)
) -> None:
    """Runs Python in a process of its own.

    Raises:
        RuntimeError: it failed; with the end of what it said.
    """
    finished = subprocess.run(
        [sys.executable, *flags, *arguments],
        env=env,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if finished.returncode != 0:
        last = "\n".join(finished.stderr.strip().splitlines()[-5:])
        raise RuntimeError(f"{what} failed in its own process (exit code {finished.returncode}).\n{last}")


def elsewhere(model: Any, task: Task, folder: Path, backend: str) -> None:
    """Does what `write` does in a process of another backend.

    Raises:
        ValueError: a component of the user's lies where another process cannot import it.
        RuntimeError: that process failed.
    """
    modules = processes.modules(processes.of_config(model.config))
    model.save(folder / MODEL)
    (folder / TASK).write_text(json.dumps(dataclasses.asdict(task)), encoding="utf-8")
    package = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join([package, *filter(None, [processes.path() if modules else os.environ.get("PYTHONPATH")])])
    env = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": paths}
    run_alone(["-m", "kspike.export.writing", str(folder), *modules], f"Writing on {backend}", env, flags=())


def main(folder: str, *modules: str) -> None:
    """Loads the model on this process's backend and writes it."""
    import keras

    for module in modules:
        importlib.import_module(module)
    task = Task(**json.loads((Path(folder) / TASK).read_text(encoding="utf-8")))
    write(keras.saving.load_model(Path(folder) / MODEL, compile=False), task, Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
