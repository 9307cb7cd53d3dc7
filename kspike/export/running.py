"""Runs an exported file on batches of images, in a process that loads one runtime and nothing of kspike or Keras.

Run as `python -P running.py JOB`: a JSON file of runtime, the two files (as shipped, and with every neuron as an
output), the images' folder and where what was found goes. Two runtimes in one process abort each other.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

#: What a file gives for a batch: its outputs in order.
Run = Callable[..., list[np.ndarray]]


def pack(arrays: list[Any]) -> dict[str, Any]:
    """Spikes as arrays to be stored: a bit each where all are 0 or 1, else as they are."""
    out: dict[str, Any] = {}
    for i, array in enumerate(np.asarray(a) for a in arrays):
        if ((array == 0) | (array == 1)).all():
            out[f"{i}.bits"] = np.packbits(array.astype(bool))
        else:
            out[f"{i}.values"] = array.astype("float32")
        out[f"{i}.shape"] = np.array(array.shape)
    return out


def unpack(stored: Mapping[str, np.ndarray], i: int) -> np.ndarray:
    """The i-th array that `pack` stored; bits as truth values."""
    shape = tuple(int(n) for n in stored[f"{i}.shape"])
    if f"{i}.values" in stored:
        return stored[f"{i}.values"].reshape(shape)
    return np.unpackbits(stored[f"{i}.bits"], count=int(np.prod(shape))).astype(bool).reshape(shape)


def _onnxruntime(file: str, threads: int) -> tuple[Run, str]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    return lambda *inputs: session.run(None, dict(zip(names, inputs, strict=True))), onnxruntime.__version__


def _openvino(file: str, threads: int) -> tuple[Run, str]:
    import openvino

    # its default on processors with bfloat16 is bfloat16, in which a spike of a hundred changes
    options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}
    if threads:
        options["INFERENCE_NUM_THREADS"] = threads
    program = openvino.Core().compile_model(file, "CPU", options)

    def run(*inputs: np.ndarray) -> list[np.ndarray]:
        found = program(list(inputs))
        return [np.array(found[i]) for i in range(len(program.outputs))]

    return run, openvino.__version__.split("-")[0]


def _torch(file: str, threads: int) -> tuple[Run, str]:
    import torch

    if threads:
        torch.set_num_threads(threads)
    program = torch.export.load(file).module()

    def run(*inputs: np.ndarray) -> list[np.ndarray]:
        with torch.no_grad():
            found = program(*(torch.from_numpy(each) for each in inputs))
        return [each.numpy() for each in (found if isinstance(found, (tuple, list)) else [found])]

    return run, torch.__version__


def _tensorflow(file: str, threads: int) -> tuple[Run, str]:
    import tensorflow

    if threads:
        tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
    loaded = tensorflow.saved_model.load(file)
    program = loaded.signatures["serving_default"]
    (name,) = program.structured_input_signature[1]

    def run(images: np.ndarray) -> list[np.ndarray]:
        found = program(**{name: tensorflow.constant(images)})
        return [found[key].numpy() for key in sorted(found)]

    run.kept = loaded  # type: ignore[attr-defined]  # a signature alone does not keep its variables
    return run, tensorflow.__version__


def _litert(file: str, threads: int) -> tuple[Run, str]:
    from importlib import metadata

    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(file, num_threads=threads or None)
    runner = interpreter.get_signature_runner()
    (name,) = runner.get_input_details()

    def run(images: np.ndarray) -> list[np.ndarray]:
        found = runner(**{name: images})
        return [np.array(found[key]) for key in sorted(found)]

    run.kept = interpreter  # type: ignore[attr-defined]
    return run, metadata.version("ai-edge-litert")


#: Name -> what loads a file, with so many threads (0: the runtime's own choice), and gives (run, version).
RUNTIMES: dict[str, Callable[[str, int], tuple[Run, str]]] = {
    "onnxruntime": _onnxruntime,
    "openvino": _openvino,
    "torch": _torch,
    "tensorflow": _tensorflow,
    "ai_edge_litert": _litert,
}


def whole(run: Run, images: np.ndarray, job: Mapping[str, Any]) -> list[np.ndarray]:
    """Outputs for a batch: at once, or, where the file's batch is fixed, as many at a time, filled up at the end."""
    size = job.get("batch") or len(images)
    parts = []
    for first in range(0, len(images), size):
        part = images[first : first + size]
        padded = np.concatenate([part, np.repeat(part[-1:], size - len(part), axis=0)])
        parts.append([each[: len(part)] for each in run(padded)])
    return [np.concatenate(each) for each in zip(*parts, strict=True)]


def stepped(run: Run, images: np.ndarray, job: Mapping[str, Any]) -> list[np.ndarray]:
    """The same of a file of one step: T calls, its states handed on; logits of the last, spikes of all."""
    states = [
        np.full([len(images) if n is None else n for n in each["shape"]], each["start"], "float32")
        for each in job["states"]
    ]
    spikes: list[list[np.ndarray]] = []
    logits = images[:0]
    for t in range(job["timesteps"]):
        frames = np.ascontiguousarray(images[:, t]) if job["frames"] else images
        logits, *out = run(frames, *states)
        states, fired = out[: len(states)], out[len(states) :]
        spikes.append(fired)
    return [logits, *(np.concatenate(each, axis=1) for each in zip(*spikes, strict=True))]


def main(job_file: str) -> None:
    """Runs the job that a JSON file describes."""
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    through = stepped if job.get("states") else whole
    shipped, version = RUNTIMES[job["runtime"]](job["file"], 0)
    checked, _ = RUNTIMES[job["runtime"]](job["checked"], 0)
    found = Path(job["found"])
    for number in range(job["batches"]):
        images = np.load(Path(job["images"]) / f"{number}.npy")
        logits, *_ = through(shipped, images, job)
        beside, *spikes = through(checked, images, job)
        np.savez(found / f"{number}.npz", logits=logits, beside=beside, **pack(spikes))
    Path(job["facts"]).write_text(json.dumps({"version": version}), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
