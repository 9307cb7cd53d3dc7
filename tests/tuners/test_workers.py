"""KerasTuner's chief and workers as real processes: the same genomes as one worker, also when one of them dies."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from kspike.tuners.engine import Journal
from tests.tuners.fakes import FakeSearch, essence

ROOT = Path(__file__).resolve().parents[2]

#: worker2 dies in its first trial; until then the others hold theirs, or a late start would leave it none.
SCRIPT = """
import os, pathlib, sys, time
from tests.tuners.fakes import Evaluator, FakeSearch
from tests.tuners.test_resume import Dying

died = pathlib.Path(sys.argv[1] + ".died")
deadline = time.monotonic() + 300

class Patient(Evaluator):
    def __call__(self, genome):
        while not died.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        return super().__call__(genome)

class Doomed(Dying):
    def __call__(self, genome):
        died.touch()
        return super().__call__(genome)

name = os.environ["KERASTUNER_TUNER_ID"]
evaluator = {"chief": Evaluator(), "worker2": Doomed(0)}.get(name) or Patient()
FakeSearch(sys.argv[1], evaluator, lease=10.0).run()
"""


@pytest.mark.slow
@pytest.mark.once
def test_three_workers_one_of_them_killed_find_what_one_finds(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    running = {}
    for name in ("chief", "worker0", "worker1", "worker2"):
        env = os.environ | {
            "KERASTUNER_TUNER_ID": name,
            "KERASTUNER_ORACLE_IP": "127.0.0.1",
            "KERASTUNER_ORACLE_PORT": port,
        }
        running[name] = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", SCRIPT, str(tmp_path / "many")], cwd=ROOT, env=env,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        ends = {name: process.communicate(timeout=900)[0].decode() for name, process in running.items()}
    finally:
        for process in running.values():
            process.kill()
    codes = {name: process.returncode for name, process in running.items()}
    assert codes == {"chief": 0, "worker0": 0, "worker1": 0, "worker2": -signal.SIGKILL}, ends
    many, one = FakeSearch(tmp_path / "many"), FakeSearch(tmp_path / "one").run()
    assert essence(many) == essence(one)
    assert [c.genome for c in many.pareto_front()] == [c.genome for c in one.pareto_front()]
    results = [
        r["number"] for r in Journal(tmp_path / "many" / "fake" / "journal.jsonl").read() if r["type"] == "result"
    ]
    assert sorted(results) == list(range(15))
