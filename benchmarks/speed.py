"""Speed and memory of Spikformer 4-384 beside its peers, in one run: `python benchmarks/speed.py`; of QKFormer and
Max-Former 4-384 with `--models qkformer max_former`.

Every contestant has a process of its own; they take turns, so that a machine that slows down slows all of them.
A turn begins with a step that is not counted: what a process owns grows cold while others run, and a system that takes
idle memory back has to give it again. Medians over the rounds; images a second; and ratios, which alone carry over to
another machine. On a GPU:
`python benchmarks/speed.py --device cuda --batch 256 --steps 10 --precision bfloat16`. Needs
`pip install --no-deps spikingjelly==2.0.0 loguru` beside kspike; a contestant that cannot start is named and left out.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PEERS = ("spikingjelly", "spikingjelly-compiled")
MODELS = ("spikformer", "qkformer", "max_former")


class Contestant:
    """A process that runs steps when told to."""

    def __init__(self, label: str, precision: str, options: list[str]) -> None:
        name, _, backend = label.partition(":")
        environment = {**os.environ, "KERAS_BACKEND": backend or "torch", "TF_CPP_MIN_LOG_LEVEL": "3"}
        environment["PYTHONPATH"] = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
        command = [sys.executable, str(HERE / "contestants.py"), name, "--precision", precision, *options]
        self.label, self.last = label, ""
        self.errors = open(HERE / f".{label.replace(':', '_')}.log", "w+")
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True
        )

    def answer(self) -> str | None:
        """The next line, or None where the process has died."""
        line = self.process.stdout.readline()
        return line.strip() or None

    def ask(self, what: str) -> float | None:
        try:
            self.process.stdin.write(what + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return None
        line = self.answer()
        return None if line is None else float(line)

    def why(self) -> str:
        self.errors.seek(0)
        return (self.errors.read().strip().splitlines() or ["no reason given"])[-1][:200]

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.errors.close()
        Path(self.errors.name).unlink(missing_ok=True)


def measure(
    labels: list[str], model: str, precision: str, rounds: int, steps: int, batch: int, options: list[str]
) -> list[dict]:
    """One row a contestant: images a second in training and inference, and the peak of a training step in MB."""
    contestants, rows = [], {}
    for label in labels:
        if label.startswith("plain") and model != "spikformer":
            continue  # it is the one network written out
        one = Contestant(label, precision, ["--model", model, "--batch", str(batch), *options])
        before = one.ask("peak") if one.answer() else None
        warm = None if before is None else one.ask("train 1")
        peak = None if warm is None else one.ask("peak")
        if peak is None or one.ask("infer 1") is None:
            print(f"{label}: left out: {one.why()}", flush=True)
            one.end()
            continue
        print(f"{label}: ready; first training step {warm:.1f} s", flush=True)
        contestants.append(one)
        rows[label] = {"peak_mb": peak - before, "first_step_s": warm, "train": [], "infer": []}
    for _ in range(rounds):
        for one in list(contestants):
            seconds: dict[str, float | None] = {}
            for what in ("train", "infer"):
                one.ask(f"{what} 1")
                seconds[what] = one.ask(f"{what} {steps}")
            if None in seconds.values():  # a process of 4 GB each: memory may not do for all of them
                print(f"{one.label}: left out, it ended in the middle: {one.why()}", flush=True)
                contestants.remove(one)
                one.end()
                del rows[one.label]
                continue
            for what, took in seconds.items():
                rows[one.label][what].append(batch * steps / took)
    for one in contestants:
        one.end()
    return [
        {
            "contestant": label, "model": model, "precision": precision, "batch": batch,
            "train_images_s": statistics.median(row["train"]), "train_spread": spread(row["train"]),
            "infer_images_s": statistics.median(row["infer"]), "infer_spread": spread(row["infer"]),
            "peak_mb": row["peak_mb"], "first_step_s": row["first_step_s"],
        }
        for label, row in rows.items()
    ]  # fmt: skip


def spread(values: list[float]) -> float:
    return (max(values) - min(values)) / statistics.median(values)


def report(rows: list[dict]) -> str:
    peers = [row for row in rows if row["contestant"] in PEERS]
    best = {key: max((row[key] for row in peers), default=None) for key in ("train_images_s", "infer_images_s")}
    memory = min((row["peak_mb"] for row in peers), default=None)
    lines = [f"{'':24}{'train':>9}{'x peer':>8}{'infer':>9}{'x peer':>8}{'peak MB':>9}{'x peer':>8}{'first s':>9}"]
    for row in rows:
        text = f"{row['contestant']:24}"
        for key in ("train_images_s", "infer_images_s"):
            text += f"{row[key]:9.2f}" + (f"{row[key] / best[key]:8.2f}" if best[key] else f"{'-':>8}")
        text += f"{row['peak_mb']:9.0f}" + (f"{row['peak_mb'] / memory:8.2f}" if memory else f"{'-':>8}")
        lines.append(text + f"{row['first_step_s']:9.1f}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    every = ["kspike:torch", "kspike:jax", "kspike:tensorflow", "plain:torch", "plain:jax", "plain:tensorflow", *PEERS]
    parser.add_argument("--contestants", nargs="+", default=every)
    parser.add_argument("--models", nargs="+", default=MODELS[:1], choices=MODELS)
    parser.add_argument("--precision", nargs="+", default=["bfloat16", "float32"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--out", type=Path, help="CSV file that the rows are written to")
    options, rest = parser.parse_known_args()
    where = "GPU" if "cuda" in rest else f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
    print(f"{where}; the faster of the peers is 1.00")
    rows: list[dict] = []
    for model, precision in itertools.product(options.models, options.precision):
        found = measure(options.contestants, model, precision, options.rounds, options.steps, options.batch, rest)
        rows += found
        print(f"\n{model}, {precision}, batch {options.batch}, images a second\n{report(found)}\n", flush=True)
        if options.out and rows:
            with open(options.out, "w", newline="") as file:
                writer = csv.DictWriter(file, rows[0])
                writer.writeheader()
                writer.writerows(rows)


if __name__ == "__main__":
    main()
