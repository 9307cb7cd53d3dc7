"""A process that runs one network in one runtime, when asked: on images in a file, answering with logits and seconds.

`Runtime` starts it. Run as `python runtimes.py FILE RUNTIME BATCH`, it reads from standard input a line of JSON a task
and writes a line for each. RUNTIME is a name that kspike/export/running.py knows, in a process that loads nothing of
kspike or Keras; or "kspike", this process's backend with FILE an entry's name; or "portable", the same by Keras'
operations alone, which is what an exported file is compared with. One thread each.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
MARK = "runtimes: "


class Runtime:
    """A worker's process, seen from outside.

    Args:
        runtime: as the module says.
        file: what it runs: an exported file, or an entry's name.
        batch: images at a time where the file has that fixed; 0 where it is free.
        backend: Keras' backend, of "kspike" and "portable".

    Raises:
        RuntimeError: it does not start, or ends; with the end of what it said.
    """

    def __init__(self, runtime: str, file: str | Path, batch: int = 0, backend: str = "tensorflow") -> None:
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        threads = dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1")
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}
        self.process = subprocess.Popen(
            [sys.executable, "-P", __file__, str(file), runtime, str(batch)],
            env={**os.environ, **threads, **quiet, "KERAS_BACKEND": backend, "PYTHONPATH": path},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self.version = self._answer()["version"]

    def __call__(self, images: Path, logits: Path | None = None) -> float:
        """Runs the images of one .npy file, writes the logits to another; gives the seconds of the run alone."""
        self.process.stdin.write(json.dumps([str(images), logits and str(logits)]) + "\n")
        self.process.stdin.flush()
        return self._answer()["seconds"]

    def _answer(self) -> dict[str, Any]:
        for line in self.process.stdout:
            if line.startswith(MARK):
                found = json.loads(line[len(MARK) :])
                if "error" in found:
                    raise RuntimeError(found["error"])
                return found
        raise RuntimeError(f"the runtime's process ended (exit code {self.process.wait()})")

    def close(self) -> None:
        """Ends the process."""
        self.process.stdin.close()
        self.process.wait()

    def __enter__(self) -> Runtime:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _exported(file: str, runtime: str, batch: int) -> tuple[Callable[[np.ndarray], np.ndarray], str]:
    # by its path: as a module of kspike it would bring Keras with it
    spec = importlib.util.spec_from_file_location("running", ROOT / "kspike" / "export" / "running.py")
    running = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(running)
    run, version = running.RUNTIMES[runtime](file, 1)
    return lambda images: running.whole(run, images, {"batch": batch})[0], version


def _kspike(entry: str, portable: bool) -> tuple[Callable[[np.ndarray], np.ndarray], str]:
    import contextlib
    import importlib

    import keras

    import kspike

    model = kspike.zoo.load(entry)
    call = kspike.ops.jit(lambda x: model(x, training=False), model.variables)
    within = kspike.ops.portable if portable else contextlib.nullcontext

    def run(images: np.ndarray) -> np.ndarray:
        with within():
            return keras.ops.convert_to_numpy(call(keras.ops.convert_to_tensor(images)))

    return run, importlib.import_module(keras.backend.backend()).__version__


def main(file: str, runtime: str, batch: str) -> None:
    """Answers until the input ends."""
    out = sys.stdout

    def say(**what: Any) -> None:
        out.write(f"{MARK}{json.dumps(what)}\n")
        out.flush()

    try:
        own = runtime in ("kspike", "portable")
        run, version = _kspike(file, runtime == "portable") if own else _exported(file, runtime, int(batch))
        say(version=version)
        for line in sys.stdin:
            images, logits = json.loads(line)
            given = np.load(images)
            start = time.perf_counter()
            found = run(given)
            seconds = time.perf_counter() - start
            if logits is not None:
                np.save(logits, found)
            say(seconds=seconds)
    except Exception as error:
        say(error=f"{runtime}: {type(error).__name__}: {error}"[:600])
        raise


if __name__ == "__main__":
    main(*sys.argv[1:])
