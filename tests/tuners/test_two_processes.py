"""Two processes on one project: one searches, the other is told who does; what is found may be read meanwhile."""

import json
import os
import re

import pytest

from kspike import _lock
from kspike.tuners import EvolutionSearch
from kspike.tuners.engine import Journal
from kspike.tuners.project import handshake
from tests import processes
from tests.tuners.fakes import SPACE, Evaluator, FakeSearch, essence, zero_cost_search

pytestmark = pytest.mark.once

#: Says what became of it: the search ended, or was refused.
CHILD = """
import os, sys, time
from tests.tuners.fakes import FakeSearch
deadline = time.monotonic() + 300
while not os.path.exists(sys.argv[2]) and time.monotonic() < deadline:  # both begin at once
    time.sleep(0.001)
try:
    FakeSearch(sys.argv[1]).run()
    print("RESULT done")
except ValueError as error:
    print("RESULT", error)
"""


def plain(records):
    """Records without what time they took, and without the hash of the fake finalists' weights, which are random."""
    kept = [{name: value for name, value in record.items() if name != "seconds"} for record in records]
    for record in kept:
        for row in record.get("ranked", []):
            row.pop("sha256")
    return kept


@pytest.mark.parametrize("rounds", [pytest.param(1, marks=pytest.mark.slow), pytest.param(20, marks=pytest.mark.proof)])
def test_two_processes_give_the_journal_that_one_gives(rounds, tmp_path):
    FakeSearch(tmp_path / "one").run()
    one = plain(Journal(tmp_path / "one" / "fake" / "journal.jsonl").read())
    for i in range(rounds):
        folder = tmp_path / str(i)
        both = [processes.start_code(CHILD, tmp_path, folder, tmp_path / f"go{i}") for _ in range(2)]
        (tmp_path / f"go{i}").touch()
        ends = [process.ended(300) for process in both]
        said = [re.findall("^RESULT (.*)", end.stdout, re.MULTILINE) for end in ends]
        assert ["done"] in said, ends  # the other came later, and found it done, or was refused
        for other, process in ((said[0], both[1]), (said[1], both[0])):
            assert other == ["done"] or f"held by process {process.pid} on" in other[0], ends
        assert plain(Journal(folder / "fake" / "journal.jsonl").read()) == one
        assert essence(FakeSearch(folder)) == essence(FakeSearch(tmp_path / "one"))


class Asking(Evaluator):
    """Does something in the middle of a search, once."""

    def __init__(self, do, at=7):
        self.do, self.at = do, at

    def __call__(self, genome):
        self.at -= 1
        if self.at == 0:
            self.do()
        return super().__call__(genome)


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_while_one_searches_another_is_refused_before_it_writes_and_may_read(tmp_path):
    seen = []

    def look():
        before = files(tmp_path)
        reader = FakeSearch(tmp_path)
        seen.append(len(reader.state.archive))
        reader.results_summary()
        for call in (reader.run, lambda: FakeSearch(tmp_path, overwrite=True)):
            with pytest.raises(ValueError, match=rf"is held by this very process {os.getpid()} .*search, since"):
                call()
        assert files(tmp_path) == before
        seen.append(reader)

    search = FakeSearch(tmp_path, Asking(look)).run()
    reads, reader = seen
    assert 0 < reads < 15 == len(search.state.archive)
    assert essence(reader) == essence(search)  # it reads on
    assert reader.get_best_models()[0].config == search.get_best_models()[0].config


def test_a_zero_cost_search_is_held_too(tmp_path):
    with _lock.held(tmp_path / "free", "search"), pytest.raises(ValueError, match="is held by"):
        zero_cost_search(tmp_path).search()
    zero_cost_search(tmp_path).search()


@pytest.mark.slow
def test_an_object_kept_alive_goes_on_from_what_another_has_found_since(tmp_path):
    def stop():
        raise KeyboardInterrupt

    kept = FakeSearch(tmp_path / "a", Asking(stop))
    with pytest.raises(KeyboardInterrupt):
        kept.run()
    FakeSearch(tmp_path / "a").run()
    kept.run()
    whole = FakeSearch(tmp_path / "b").run()
    assert essence(kept) == essence(whole)
    journals = [plain(Journal(tmp_path / name / "fake" / "journal.jsonl").read()) for name in "ab"]
    assert journals[0] == journals[1]


def test_beginning_anew_leaves_what_no_search_wrote(tmp_path):
    FakeSearch(tmp_path).run().report()
    folder = tmp_path / "fake"
    mine = ["notes.txt", "trial_best/trial.json", "tensorboard/mine.csv", "finalists/copy.h5", "retrained/mine/w.h5"]
    for name in mine:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("kept")
    assert len(FakeSearch(tmp_path, overwrite=True).state.archive) == 0
    left = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert left == {*mine, "journal.jsonl", "kspike.lock"}


# -- KerasTuner's chief and worker ------------------------------------------------------------------------------


class Wire:
    """Answers as a chief of an oracle would over KerasTuner's gRPC protocol."""

    def __init__(self, oracle):
        self.get_trial = oracle.get_trial


@pytest.fixture
def port(monkeypatch):
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", "8000")
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "chief")
    monkeypatch.setattr(handshake.time, "sleep", lambda seconds: None)


def test_a_worker_and_a_chief_of_different_projects_refuse_each_other(tmp_path, port):
    ours, theirs = FakeSearch(tmp_path / "ours"), FakeSearch(tmp_path / "theirs")
    with ours._held(), theirs._held():
        name = handshake.greet(Wire(ours._oracle), "worker0", ours._folder)
        assert ours._oracle.create_trial(name).status == "RUNNING" and list(ours._oracle.ongoing_trials) == ["worker0"]
        with pytest.raises(Exception, match="127.0.0.1:8000 works on another project than .*ours.*PORT of its own"):
            handshake.greet(Wire(theirs._oracle), "worker0", ours._folder)
        for stranger in (name, "worker0"):  # of another project, or of KerasTuner's own
            with pytest.raises(ValueError, match="not of this chief's project"):
                theirs._oracle.create_trial(stranger)
        assert not theirs._oracle.trials and not theirs._oracle.tuner_ids
    with pytest.raises(Exception, match="does not say which project"):
        handshake.greet(Wire(ours._oracle), "worker0", ours._folder)  # as any other oracle, which holds nothing


def test_a_port_that_is_taken_is_refused(tmp_path, port, monkeypatch):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("KERASTUNER_ORACLE_PORT", str(taken.getsockname()[1]))
        with pytest.raises(ValueError, match="another search is the chief there"):
            FakeSearch(tmp_path).run()
    handshake.check_free()


# -- journals that are no search's ------------------------------------------------------------------------------


def test_a_journal_without_its_first_line_is_refused(tmp_path):
    FakeSearch(tmp_path).run()
    path = tmp_path / "fake" / "journal.jsonl"
    records, lines = Journal(path).read(), path.read_bytes().splitlines(keepends=True)
    for content in (b"".join(lines[1:]), "".join(json.dumps(r) + "\n" for r in records[1:]).encode()):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"{re.escape(str(path))}, line 1 is damaged"):
            FakeSearch(tmp_path)


def test_a_project_of_before_lines_had_sums_goes_on(tmp_path):
    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        FakeSearch(tmp_path / "a", Asking(stop)).run()
    path = tmp_path / "a" / "fake" / "journal.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in Journal(path).read()))
    assert essence(FakeSearch(tmp_path / "a").run()) == essence(FakeSearch(tmp_path / "b").run())
    assert b'"sum"' not in path.read_bytes()


def test_the_engine_alone_notices_another_writer(tmp_path):
    """An oracle in a tuner of KerasTuner's own holds no lock: no record is written after another's."""
    first, second = (EvolutionSearch(SPACE, directory=tmp_path, verbose=0)._oracle for _ in range(2))
    assert first.create_trial("a").status == "RUNNING"
    assert second.create_trial("a").status == "STOPPED" and "changed by another process" in str(second.error)
    assert [r["type"] for r in Journal(tmp_path / "search" / "journal.jsonl").read()] == ["project", "generation"]
