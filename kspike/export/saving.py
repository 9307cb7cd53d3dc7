"""Writes a network as a file that another runtime reads, runs it there, and compares every spike."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kspike import ops
from kspike._files import expanded, private_folder
from kspike.config import SpikformerConfig
from kspike.data.normalization import normalize
from kspike.export import checking, placing, writing
from kspike.export.comparing import compare
from kspike.export.observing import listening
from kspike.export.report import Comparison, Report
from kspike.export.running import pack
from kspike.export.table import CHECKED, FILE, Format, check_installed, format_of, installed
from kspike.models import Spikformer

_OWN, _FOUND = "own", "found"
#: What runs a .nir file here.
_READ = "kspike.convert.from_nir, its layers"


def save(
    model: Spikformer,
    path: str | os.PathLike[str],
    images: Any = None,
    *,
    overwrite: bool = True,
    batch: int | None = None,
    time: str = "unrolled",
    opset: int = 17,
    pixels: Mapping[str, Any] | None = None,
    class_names: Sequence[str] | None = None,
    card: str | None = None,
    allow: Sequence[str] = (),
) -> Report:
    """Writes a network in the format that the path's suffix says, and compares it there with the network itself.

    .onnx, .xml (OpenVINO), .pt2 (torch.export), .tflite (LiteRT), .nir, or no suffix: the folder of a SavedModel. What
    this process's backend cannot write, another backend writes in a process of its own. The file is run by its own
    runtime, in a process of its own too, and every neuron's spikes are compared with those of the backend that wrote
    it, and with those of this process. The file is written whole or not at all.

    Args:
        model: a `kspike.Spikformer` of float32. It is not changed.
        path: of the file or folder, in a folder that is there.
        images: what is compared: an array, or batches such as `data.validation`; as the file takes them, so raw
            integers where `pixels` is given (of a split of kspike.data those are taken by themselves). None compares
            nothing, and the report says so.
        overwrite: whether an existing file is replaced.
        batch: images at a time; None leaves it free.
        time: "unrolled" writes T steps one after the other; of .onnx and .xml also "scan" (one step in a loop over T)
            and "step" (one step alone, whose states come in and go out).
        opset: version of ONNX' operators, 13 to 20.
        pixels: range, mean and std, as a card's "input": the file then takes raw uint8 pixels and scales them itself.
        class_names: names of the classes, which the file carries.
        card: text that the file carries.
        allow: ("spikes",) lets a file pass whose spikes differ beyond rounding.

    Returns:
        A `Report`, which prints.

    Raises:
        ValueError: something about the arguments, before any work; or spikes that differ beyond rounding: nothing is
            written then.
        ImportError: what writes the format is not installed; names the extra.
        RuntimeError: the exporter, or the runtime, failed; with its message.
        OSError: the folder cannot be written, or the disk is full; nothing is left behind.

    Example:
        >>> import kspike
        >>> data = kspike.data.load("digits", batch_size=60, seed=0)  # doctest: +SKIP
        >>> print(kspike.export.save(model, "digits.onnx", images=data.validation))  # doctest: +SKIP
    """
    target = expanded(path)
    form = format_of(target)
    checking.check_model(model)
    placing.check_place(target, form, overwrite)
    checking.check_options(form, batch, time, opset, pixels, allow)
    checking.check_steps(model, time, class_names)
    stated = checking.pixels_of(pixels, model.config)
    notes = checking.notes_of(model, time, stated, class_names, card)
    check_installed(form)
    given = checking.images_of(images, model.config, stated)
    with private_folder() as folder:
        for name in (writing.IMAGES, writing.EXPECTED, _OWN, _FOUND):
            (folder / name).mkdir()
        for number, each in enumerate(given):
            np.save(folder / writing.IMAGES / f"{number}.npy", each)
        task = writing.Task(form.suffix, time, batch, opset, stated, len(given), notes)
        if form.backend in ("", keras.backend.backend()):
            writing.write(model, task, folder)
        else:
            writing.elsewhere(model, task, folder, form.backend)
        facts = json.loads((folder / writing.FACTS).read_text(encoding="utf-8"))
        skipped = list(facts.get("skipped", ()))
        runtime, written, own = "", None, None
        if not given:
            skipped.append("the comparison: no images were given")
        elif form.runtime and not installed(form.runtime):
            skipped.append(f"the comparison: {form.runtime} is not installed (pip install 'kspike[{form.extra}]')")
        else:
            runtime = f"{form.runtime} {_run(form, task, facts, model.config, folder)}" if form.runtime else _READ
            if not form.runtime:
                writing.run_nir(model, task, facts["nodes"], folder / _FOUND, folder)
            written, own = _compare(model, task, facts, folder)
            _judge(written, target, allow)
        size = placing.place(folder, form, target)
    return Report(
        path=target, format=form.name, bytes=size, writer=f"{facts['backend']} {facts['version']}", runtime=runtime,
        opset=facts.get("opset"), batch=facts["batch"], time=time, written=written, own=own, skipped=tuple(skipped),
    )  # fmt: skip


# -- what is compared -------------------------------------------------------------------------------------------------


def _run(form: Format, task: writing.Task, facts: Mapping[str, Any], config: SpikformerConfig, folder: Path) -> str:
    """Runs the written files by their runtime; gives its version."""
    job = {
        "runtime": form.runtime, "file": str(folder / f"{FILE}{form.suffix}"), "found": str(folder / _FOUND),
        "checked": str(folder / f"{CHECKED}{form.suffix}"), "images": str(folder / writing.IMAGES),
        "batches": task.batches, "batch": facts["batch"], "timesteps": config.timesteps, "states": facts.get("states"),
        "frames": config.has_time, "facts": str(folder / "ran.json"),
    }  # fmt: skip
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    script = Path(__file__).with_name("running.py")
    # TensorFlow loads Keras, and Keras its backend: another one's libraries beside TensorFlow's abort the process
    env = {**os.environ, "KERAS_BACKEND": "tensorflow"}
    writing.run_alone([str(script), str(folder / "job.json")], f"Running the file by {form.runtime}", env)
    return json.loads((folder / "ran.json").read_text(encoding="utf-8"))["version"]


def _compare(
    model: Spikformer, task: writing.Task, facts: Mapping[str, Any], folder: Path
) -> tuple[Comparison, Comparison]:
    """(beside the network that wrote it, beside the model in this process)."""
    expected, order = folder / writing.EXPECTED, facts["expected"]
    writer = f"{facts['backend']} {facts['version']}, Keras' operations alone, which wrote it"
    written = compare(folder / _FOUND, expected, expected, facts["neurons"], order, writer)
    _run_own(model, task, order, folder)
    own = f"this model on {keras.backend.backend()}, as it runs here"
    return written, compare(folder / _FOUND, folder / _OWN, expected, facts["neurons"], order, own)


def _run_own(model: Spikformer, task: writing.Task, order: Sequence[str], folder: Path) -> None:
    """What the model gives in this process, fast forms and all."""
    names: list[str] = []

    def run(images: Any) -> tuple[Any, list[Any]]:
        with listening(model) as seen:
            logits = model(images, training=False)
        names[:] = [name for name, _ in seen]
        return logits, [spikes for _, spikes in seen]

    compiled = ops.jit(run, model.variables)
    size = 0
    for number in range(task.batches):
        images = np.load(folder / writing.IMAGES / f"{number}.npy")
        if task.pixels is not None:
            images = normalize(images, task.pixels["mean"], task.pixels["std"], tuple(task.pixels["range"]))
        size = max(size, len(images)) if ops.compiles() else len(images)
        # a smaller batch would be one more program to compile
        padded = np.concatenate([images, np.repeat(images[-1:], size - len(images), axis=0)])
        logits, spikes = compiled(padded)
        by_name = {
            name: keras.ops.convert_to_numpy(each)[: len(images)] for name, each in zip(names, spikes, strict=True)
        }
        logits = keras.ops.convert_to_numpy(logits)[: len(images)]
        np.savez(folder / _OWN / f"{number}.npz", logits=logits, **pack([by_name[name] for name in order]))


def _judge(written: Comparison, target: Path, allow: Sequence[str]) -> None:
    """Refuses what gives other spikes than rounding explains, unless that is allowed."""
    if written.unexplained and "spikes" not in allow:
        found = "\n".join(written.lines())
        raise ValueError(
            f"{target.name} was not written: {written.unexplained:,} spikes differ beyond rounding.\n{found}\n"
            "Give allow=('spikes',) to write it nevertheless."
        )
