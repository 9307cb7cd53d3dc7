"""Loads an entry on another backend, in a subprocess, and compares its logits image by image.

Keras chooses its backend once in a process, so a second backend needs a second process. It loads the entry with the
same checks as any user, and measures the same images as the publisher.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kspike._files import private_folder
from kspike.components import elsewhere
from kspike.zoo import evaluating
from kspike.zoo import weights as storage
from kspike.zoo.entry import Entry
from kspike.zoo.evaluating import Measured

BACKENDS = ("torch", "jax", "tensorflow")
_BATCH = 64


def check_backends(backends: Sequence[str]) -> tuple[str, ...]:
    """Checks that each backend can be imported here; returns the names without duplicates."""
    if isinstance(backends, str):
        raise ValueError(f"Expected backends as a sequence of names; received {backends!r}. Write ({backends!r},).")
    for name in backends:
        if name not in BACKENDS:
            raise ValueError(f"Expected backends out of {', '.join(BACKENDS)}; received {name!r}.")
        if importlib.util.find_spec(name) is None:
            raise ValueError(
                f"Expected the backend {name!r} to be installed; it is not. Install it (pip install {name}) or "
                "leave it out."
            )
    return tuple(dict.fromkeys(backends))


def modules_for(backends: Sequence[str], config: Any) -> tuple[str, ...]:
    """Modules that a process on another of the backends has to import first: those of the user's own components.

    Raises:
        ValueError: such a component lies where another process cannot import it.
    """
    if not others(backends):
        return ()
    try:
        return elsewhere.modules(elsewhere.of_config(config))
    except ValueError as error:
        raise ValueError(f"{error} Or publish without backends=.") from None


def others(backends: Sequence[str]) -> list[str]:
    """The backends that are not this process's own."""
    import keras

    return [name for name in backends if name != keras.backend.backend()]


def measure_on(
    backends: Sequence[str],
    folder: Path,
    name: str,
    test: Any,
    reference: Measured,
    modules: Sequence[str] = (),
) -> dict[str, dict]:
    """An entry's folder and test batches -> for each backend, the result of `evaluating.agreement`.

    `modules` are imported there first: they register the user's own components.
    """
    if not backends:
        return {}
    with private_folder() as private:
        arrays = private / "test.npz"
        images = np.concatenate([batch for batch, _ in evaluating.batches(test)])
        np.savez(arrays, images=images, labels=reference.labels, logits=reference.logits)
        return {backend: _run(backend, folder, name, arrays, modules) for backend in backends}


def _run(backend: str, folder: Path, name: str, arrays: Path, modules: Sequence[str]) -> dict:
    package = str(Path(__file__).resolve().parents[2])
    paths = [package, *filter(None, [elsewhere.path() if modules else os.environ.get("PYTHONPATH")])]
    finished = subprocess.run(
        [sys.executable, "-m", __spec__.name if __spec__ else __name__, str(folder), name, str(arrays), *modules],
        env={**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if finished.returncode != 0:
        last = "\n".join(finished.stderr.strip().splitlines()[-5:])
        raise RuntimeError(
            f"The entry could not be measured on {backend} (exit code {finished.returncode}); nothing was "
            f"published.\n{last}"
        )
    return json.loads(finished.stdout.strip().splitlines()[-1])


def main(folder: str, name: str, arrays: str, *modules: str) -> None:
    """Loads the entry on this process's backend and prints the comparison as one line of JSON.

    `modules` are the publisher's, from its command line: nothing that the entry says is imported.
    """
    from kspike.zoo import machine

    for module in modules:
        importlib.import_module(module)
    entry = Entry.read(Path(folder), name=name)
    model = storage.build(entry.config(), dtype="float32")
    storage.fill(model, entry.weights(), entry.name)
    with np.load(arrays, allow_pickle=False) as stored:
        images, reference = stored["images"], Measured(stored["logits"], stored["labels"])
    starts = range(0, len(images), _BATCH)
    measured = evaluating.measure(model, [(images[s : s + _BATCH], reference.labels[s : s + _BATCH]) for s in starts])
    print(json.dumps({**evaluating.agreement(measured, reference), "versions": machine.versions()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
