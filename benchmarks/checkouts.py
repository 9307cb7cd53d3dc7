"""What a change costs: one step of two checkouts, in processor time, by turns: `checkouts.py BEFORE AFTER` (Linux).

Each checkout has a process of its own, `contestants.py kspike`, with the same arguments. A round asks both for a step,
the one that begins changing from round to round; printed is the median over rounds of AFTER's processor time by
BEFORE's, which a machine that does other work too moves less than seconds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


class Checkout:
    """A checkout's process, and the processor seconds of what it is asked for."""

    def __init__(self, root: Path, options: argparse.Namespace) -> None:
        environment = {**os.environ, "KERAS_BACKEND": options.backend, "PYTHONPATH": str(root)}
        command = [sys.executable, str(root / "benchmarks" / "contestants.py"), "kspike"]
        command += ["--precision", options.precision, "--batch", str(options.batch)]
        self.process = subprocess.Popen(
            command, env=environment, cwd=root, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        if not self.process.stdout.readline():
            raise SystemExit(f"{root} does not start")

    def used(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def ask(self, what: str) -> float:
        before = self.used()
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        self.process.stdout.readline()
        return self.used() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--backend", default="torch")
    parser.add_argument("--precision", default="bfloat16")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=11)
    options = parser.parse_args()
    both = [Checkout(root.resolve(), options) for root in (options.before, options.after)]
    try:
        for what in ("train 1", "infer 2"):
            for each in both:
                each.ask(what)
            ratios, seconds = [], []
            for turn in range(options.rounds):
                found = {}
                for i in (0, 1) if turn % 2 else (1, 0):
                    found[i] = both[i].ask(what)
                ratios.append(found[1] / found[0])
                seconds.append(found[0])
            low, _, high = statistics.quantiles(ratios, n=4)
            print(
                f"{options.backend} {options.precision} {what.split()[0]}: {statistics.median(ratios):.3f} of "
                f"{statistics.median(seconds):.2f} s (half of the rounds from {low:.3f} to {high:.3f})",
                flush=True,
            )
    finally:
        for each in both:
            each.process.kill()
            each.process.wait()


if __name__ == "__main__":
    main()
