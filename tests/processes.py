"""Scripts in processes of their own, as a user runs them, without the seconds that importing takes each time.

On torch each is a fork of one process that has imported kspike and computed nothing. jax and TensorFlow start threads
as they are imported, which a fork has not: there each is a process from its beginning. What tests importing itself
starts its own.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

from tests.helpers import BACKEND

ROOT = Path(__file__).resolve().parents[1]
#: What the forks share. TensorFlow, where it is installed, is imported by Keras as soon as something is saved.
IMPORTED = [f"kspike.{part}" for part in ("models", "tuners", "zoo", "training", "data", "convert")]
IMPORTED += ["numba", "tensorflow"]
#: Keras' own switches: an epoch is a few steps, so that the whole path is walked at little cost.
SHORT = {"KERAS_MAX_EPOCHS": "1", "KERAS_MAX_STEPS_PER_EPOCH": "3"}


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a process ended (minus a signal's number, where one did it), and what it had printed."""

    returncode: int
    stdout: str
    stderr: str


class Started:
    """A process at work: `pid`, and `ended()` once it is to have ended."""

    def __init__(self, script: Path, arguments: Sequence[str], folder: Path, short: bool, environment: dict[str, str]):
        self._files = [tempfile.NamedTemporaryFile(suffix=".txt") for _ in range(2)]
        out, err = (each.name for each in self._files)
        if BACKEND == "torch":
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload(IMPORTED)
            given = (str(script), [str(each) for each in arguments], str(folder), short, environment, out, err)
            self._process = context.Process(target=_script, args=given)
            self._process.start()
        else:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "ignore", str(script), *map(str, arguments)],
                cwd=folder,
                env={**os.environ, **(SHORT if short else {}), "PYTHONPATH": str(ROOT), **environment},
                stdin=subprocess.DEVNULL, stdout=self._files[0], stderr=self._files[1],
            )  # fmt: skip
        self.pid = self._process.pid

    def ended(self, seconds: float = 900) -> Ended:
        """Waits for its end; a process that has not ended by then is killed."""
        if BACKEND == "torch":
            self._process.join(seconds)
            self._process.kill()
            self._process.join()
            code = self._process.exitcode
        else:
            try:
                code = self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                self._process.kill()
                code = self._process.wait()
        texts = [Path(each.name).read_text() for each in self._files]
        for each in self._files:
            each.close()
        return Ended(code, *texts)


def start(script: Path, *arguments: object, folder: Path = ROOT, short: bool = False, **environment: str) -> Started:
    """Starts a script in a folder; `short`: with epochs of a few steps."""
    return Started(script, [str(each) for each in arguments], folder, short, environment)


def start_code(code: str, folder: Path, *arguments: object, **environment: str) -> Started:
    """Starts Python code, kept as a script in a folder, from the root of the checkout."""
    with tempfile.NamedTemporaryFile("w", dir=folder, prefix=".code", suffix=".py", delete=False) as file:
        file.write(code)
    return start(Path(file.name), *arguments, **environment)


def _script(
    script: str, arguments: list[str], folder: str, short: bool, environment: dict[str, str], out: str, err: str
) -> None:
    """What a fork does: the script, as Python would run it."""
    for path, number in ((out, 1), (err, 2)):
        file = os.open(path, os.O_WRONLY)
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    os.environ.update(environment)
    sys.argv = [script, *arguments]
    sys.path[:0] = [os.path.dirname(script), str(ROOT)]
    warnings.simplefilter("ignore")
    if short:
        import keras

        keras.config.set_max_epochs(int(SHORT["KERAS_MAX_EPOCHS"]))
        keras.config.set_max_steps_per_epoch(int(SHORT["KERAS_MAX_STEPS_PER_EPOCH"]))
    runpy.run_path(script, run_name="__main__")
