"""Counts how far a call travels through kspike: files entered, and moves from one file to another.

    KERAS_BACKEND=torch python benchmarks/trips.py

Each task runs once before it is counted, so that nothing is counted that a first call makes ready. Only kspike's own
Python counts: what a compiled program or a library does in between belongs to where it was called from. A move is a
call of one file's function by another file's.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras

import kspike
from kspike.tuners.evolution.evaluator import Evaluator

PACKAGE = str(Path(kspike.__file__).parent) + "/"


class Trip:
    """Follows the calls of this process, in all its threads, by `sys.setprofile`."""

    def __init__(self) -> None:
        self.files: Counter[str] = Counter()
        self.ways: Counter[tuple[str, str]] = Counter()

    def see(self, frame: Any, event: str, _: Any) -> None:
        """Takes one event of the interpreter's."""
        file = frame.f_code.co_filename
        if event != "call" or not file.startswith(PACKAGE):
            return
        self.files[file.removeprefix(PACKAGE)] += 1
        caller = frame.f_back
        while caller is not None and not caller.f_code.co_filename.startswith(PACKAGE):
            caller = caller.f_back
        if caller is not None and caller.f_code.co_filename != file:
            self.ways[caller.f_code.co_filename.removeprefix(PACKAGE), file.removeprefix(PACKAGE)] += 1

    @property
    def moves(self) -> int:
        """How often one file's function called another's."""
        return sum(self.ways.values())


@contextlib.contextmanager
def followed() -> Iterator[Trip]:
    """Within it every call of this process is counted."""
    trip = Trip()
    threading.setprofile(trip.see)
    sys.setprofile(trip.see)
    try:
        yield trip
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def tasks(folder: Path) -> dict[str, Callable[[], Any]]:
    """What is counted, each ready to run twice."""
    model = kspike.zoo.load("auto_spikformer_digits")
    data = kspike.data.load("digits", batch_size=32)
    images, labels = data.validation[0]
    trained = kspike.zoo.load("auto_spikformer_digits")
    trained.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    space = kspike.tuners.SearchSpace.load("digits")
    supernet = kspike.Supernet(space)
    supernet.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    evaluate = Evaluator(supernet, data.train, data.validation, calibration_batches=2, energy_batches=2)
    return {
        "load an entry": lambda: kspike.zoo.load("auto_spikformer_digits"),
        "predict one image": lambda: model.predict(images[:1], verbose=0),
        "a training step": lambda: trained.train_on_batch(images, labels),
        "an energy measurement": lambda: kspike.cost.measure(model, images),
        "one candidate": lambda: evaluate(space.smallest()),
        "publish with data": lambda: kspike.zoo.publish(model, "mine", data=data, directory=folder, license="CC0-1.0"),
    }


def main() -> None:
    """Prints a row a task, and the files of each on request."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", action="store_true", help="show the ways most often taken")
    parser.add_argument("--only", help="one task, by a part of its name")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(f"{'task':24} {'files':>6} {'moves':>7}")
        for name, run in tasks(Path(folder)).items():
            if args.only and args.only not in name:
                continue
            run()
            with followed() as trip:
                run()
            print(f"{name:24} {len(trip.files):6} {trip.moves:7}")
            if args.files:
                for (caller, called), calls in trip.ways.most_common(40):
                    print(f"    {calls:6}  {caller} -> {called}")


if __name__ == "__main__":
    main()
