"""KerasTuner's chief and workers as real processes: the same genomes as one worker, also when one of them dies."""

import signal
import socket

import pytest

from kspike.tuners.engine import Journal
from kspike.tuners.zero_cost import shortlist
from tests import processes
from tests.tuners.fakes import FakeSearch, Untrained, arrays, essence, zero_cost_search

#: The doomed worker dies in its first trial; until then the others hold theirs, or a late start would leave it none.
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
evaluator = {"chief": Evaluator(), "doomed": Doomed(0)}.get(name) or Patient()
FakeSearch(sys.argv[1], evaluator, lease=10.0).run()
"""


#: The chief alone measures the shortlist; a worker that tried to would die of it.
FREE = """
import os, sys
from kspike.tuners.zero_cost import shortlist
from tests.tuners.fakes import Untrained, arrays, zero_cost_search

worker = os.environ["KERASTUNER_TUNER_ID"] != "chief"
shortlist.evaluate = Untrained(raises={1: TypeError("a worker measured")} if worker else None)
tuner = zero_cost_search(sys.argv[1], energy_weight=0.5, lease=60.0)
tuner.search(arrays())
"""


def distributed(script, folder, workers):
    """Runs KerasTuner's chief and workers as processes; name -> exit code, and what they printed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    oracle = {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": port}
    running = {
        name: processes.start_code(script, folder.parent, folder, KERASTUNER_TUNER_ID=name, **oracle)
        for name in ("chief", *workers)
    }
    ends = {name: process.ended() for name, process in running.items()}
    return {name: end.returncode for name, end in ends.items()}, ends


@pytest.mark.once
@pytest.mark.parametrize("alive", [pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.proof)])
def test_workers_one_of_them_killed_find_what_one_finds(alive, tmp_path):
    living = [f"worker{i}" for i in range(alive)]
    codes, ends = distributed(SCRIPT, tmp_path / "many", (*living, "doomed"))
    assert codes == {"chief": 0, **dict.fromkeys(living, 0), "doomed": -signal.SIGKILL}, ends
    many, one = FakeSearch(tmp_path / "many"), FakeSearch(tmp_path / "one").run()
    assert essence(many) == essence(one)
    assert [c.genome for c in many.pareto_front()] == [c.genome for c in one.pareto_front()]
    results = [
        r["number"] for r in Journal(tmp_path / "many" / "fake" / "journal.jsonl").read() if r["type"] == "result"
    ]
    assert sorted(results) == list(range(15))


@pytest.mark.proof  # workers of one search are in `make test`
@pytest.mark.once
def test_a_zero_cost_search_of_a_chief_and_two_workers_finds_what_one_finds(tmp_path, monkeypatch):
    codes, ends = distributed(FREE, tmp_path / "many", ("worker0", "worker1"))
    assert codes == {"chief": 0, "worker0": 0, "worker1": 0}, ends
    monkeypatch.setattr(shortlist, "evaluate", Untrained())
    many, one = (zero_cost_search(tmp_path / name, energy_weight=0.5) for name in ("many", "one"))
    one.search(arrays())
    assert len(many.state.archive) == 6 and essence(many) == essence(one)
    assert [c.genome for c in many.pareto_front()] == [c.genome for c in one.pareto_front()]
