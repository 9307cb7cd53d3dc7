"""kill -9, torn files, KerasTuner's own faults: the search goes on, to the same end."""

import contextlib
import os
import signal
from pathlib import Path

import pytest

from kspike.tuners import EvolutionSearchOracle
from kspike.tuners.zero_cost import shortlist
from tests import processes
from tests.helpers import BACKEND
from tests.tuners.fakes import (
    SPACE,
    Evaluator,
    FakeSearch,
    Untrained,
    arrays,
    essence,
    measure,
    zero_cost_search,
)

pytestmark = pytest.mark.shared


class Dying(Evaluator):
    """Kills its own process, as the system would, in the middle of a trial."""

    def __init__(self, trial):
        self.left = trial + 1

    def __call__(self, genome):
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1
        return measure(genome)


CHILD = """
import sys
from tests.tuners.fakes import FakeSearch
from tests.tuners.test_resume import Dying
FakeSearch(sys.argv[1], Dying(7)).run()
"""


@pytest.mark.slow
def test_a_process_killed_in_mid_trial_goes_on_to_the_same_front(tmp_path):
    done = processes.start_code(CHILD, tmp_path, tmp_path / "a").ended()
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    resumed = FakeSearch(tmp_path / "a")
    assert len(resumed.state.archive) == 7
    calls = Counting()
    resumed.fake = calls
    resumed.run()
    assert calls.number == 15 - 7
    whole = FakeSearch(tmp_path / "b").run()
    assert essence(resumed) == essence(whole)
    assert [c.genome for c in resumed.pareto_front()] == [c.genome for c in whole.pareto_front()]
    assert [c.number for c in resumed.best_candidates()] == [c.number for c in whole.best_candidates()]


FREE_CHILD = """
import os, signal, sys
from kspike.tuners.zero_cost import shortlist
from tests.tuners.fakes import Untrained, arrays, zero_cost_search

class Dying(Untrained):
    def __call__(self, *args, **options):
        if len(self.calls) == 7:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(*args, **options)

shortlist.evaluate = Dying()
zero_cost_search(sys.argv[1]).search(arrays())
"""


@pytest.mark.slow
def test_a_process_killed_while_it_measures_a_shortlist_repeats_one_network_at_most(tmp_path, monkeypatch):
    done = processes.start_code(FREE_CHILD, tmp_path, tmp_path / "a").ended()
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    rest = Untrained()
    monkeypatch.setattr(shortlist, "evaluate", rest)
    resumed = zero_cost_search(tmp_path / "a")
    assert len(resumed.state.archive) == 0
    resumed.search(arrays())
    assert rest.calls == resumed.ranking.top(20)[7:]
    whole = zero_cost_search(tmp_path / "b")
    whole.search(arrays())
    assert essence(resumed) == essence(whole)
    assert [c.genome for c in resumed.shortlisted()] == [c.genome for c in whole.shortlisted()]
    assert [c.genome for c in resumed.pareto_front()] == [c.genome for c in whole.pareto_front()]


class Counting(Evaluator):
    """Counts its evaluations."""

    number = 0

    def __call__(self, genome):
        self.number += 1
        return measure(genome)


class Interrupt(Evaluator):
    """Ctrl-C in the middle of a trial."""

    def __init__(self, trial):
        self.left = trial + 1

    def __call__(self, genome):
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        return measure(genome)


def test_interrupted_many_times_it_ends_the_same(tmp_path):
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            FakeSearch(tmp_path / "a", Interrupt(3)).run()
    assert essence(FakeSearch(tmp_path / "a").run()) == essence(FakeSearch(tmp_path / "b").run())


def test_torn_files_of_keras_tuner_do_not_matter(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        FakeSearch(tmp_path / "a", Interrupt(6)).run()
    project = tmp_path / "a" / "fake"
    (project / "oracle.json").write_text('{"ongoing_tri')
    (project / "tuner0.json").write_text("")
    (project / "trial_03" / "trial.json").write_text('{"trial_id": "03", "stat')
    resumed = FakeSearch(tmp_path / "a")
    assert len(resumed.oracle.trials) == 6
    assert {t.status for t in resumed.oracle.trials.values()} == {"COMPLETED"}
    assert essence(resumed.run()) == essence(FakeSearch(tmp_path / "b").run())


def oracle(folder, **options):
    """An oracle as any tuner opens it."""
    made = EvolutionSearchOracle(SPACE, **({"generations": 1, "population_size": 4, "objective": "accuracy"} | options))
    made._set_project_dir(str(folder), "o")
    return made


def play(made, workers=("w0",), leave=0):
    """Asks and answers until the end, or until `leave` trials have been answered."""
    answered = 0
    while True:
        trials = []
        for worker in workers:
            trial = made.create_trial(worker)
            if trial.status == "STOPPED":
                return
            if trial.status == "RUNNING":
                trials.append(trial)
        for trial in reversed(trials):
            if leave and answered == leave:
                return
            made.update_trial(trial.trial_id, {"accuracy": float(int(trial.trial_id)) / 10})
            trial.status = "COMPLETED"
            made.end_trial(trial)
            answered += 1


def test_trials_of_workers_that_died_are_given_again(tmp_path):
    first = oracle(tmp_path)
    play(first, workers=("w0", "w1", "w2"), leave=2)
    assert [t.status for t in first.trials.values()] == ["RUNNING", "COMPLETED", "COMPLETED"]
    second = oracle(tmp_path)
    second.reload()
    trial = second.create_trial("w9")
    assert trial.trial_id == "0" and trial.status == "RUNNING"
    assert trial.hyperparameters.values == first.trials["0"].hyperparameters.values
    trial.status = "COMPLETED"
    second.update_trial("0", {"accuracy": 0.5})
    second.end_trial(trial)
    play(second)
    assert sorted(second.trials) == [str(i) for i in range(8)]
    assert len(second.state.archive) == 8


def test_idle_until_the_generation_is_in_then_on(tmp_path):
    made = oracle(tmp_path)
    trials = [made.create_trial(f"w{i}") for i in range(4)]
    assert made.create_trial("w4").status == "IDLE"
    for trial, status in zip(trials, ("COMPLETED", "INVALID", "FAILED", "COMPLETED"), strict=True):
        if status == "COMPLETED":
            made.update_trial(trial.trial_id, {"accuracy": 0.5})
        trial.status = status
        made.end_trial(trial)
    assert made.create_trial("w4").status == "RUNNING"
    assert [t.status for t in made.trials.values()][:4] == ["COMPLETED", "FAILED", "FAILED", "COMPLETED"]


@pytest.mark.parametrize("name", ["oracle.json", "trial_0/trial.json"])
def test_files_of_keras_tuner_are_written_aside(name, tmp_path):
    """KerasTuner writes them in place: whoever reads meanwhile, or after a kill, finds half of one."""
    made = oracle(tmp_path)
    trial = made.create_trial("w")
    path = tmp_path / "o" / name
    os.link(path, tmp_path / "as it was")
    before = path.read_text()
    made.update_trial(trial.trial_id, {"accuracy": 0.5})
    trial.status = "COMPLETED"
    made.end_trial(trial)
    assert path.read_text() != before == (tmp_path / "as it was").read_text()
    assert not list((tmp_path / "o").rglob(".*"))


def test_an_idle_worker_waits_before_it_asks_again(tmp_path, monkeypatch):
    """KerasTuner asks without pause, on all of a core."""
    slept = []
    monkeypatch.setattr("time.sleep", slept.append)
    tuner = FakeSearch(tmp_path)
    for _ in range(4):
        tuner.pre_create_trial()
    assert len(slept) == 3 and 0 < slept[0] < slept[1] < slept[2]
    tuner.on_trial_begin(None)
    tuner.pre_create_trial()
    assert len(slept) == 3


def test_seed_zero_is_a_seed(tmp_path):
    values = []
    for name in ("a", "b"):
        made = oracle(tmp_path / name, seed=0)
        assert made.seed == 0
        values.append(made.create_trial("w").hyperparameters.values)
    assert values[0] == values[1]


def test_an_exception_under_the_lock_does_not_hold_it(tmp_path):
    import threading

    made = oracle(tmp_path)
    made.propose = lambda number: 1 / 0
    assert made.create_trial("w0").status == "STOPPED"
    assert isinstance(made.error, ZeroDivisionError)
    with pytest.raises(KeyError):
        made.update_trial("no such trial", {"accuracy": 0.5})
    del made.propose
    seen = []
    other = threading.Thread(target=lambda: seen.append(made.create_trial("w1").status), daemon=True)
    other.start()
    other.join(30)
    assert seen == ["RUNNING"]


def test_many_failures_in_a_row_do_not_end_a_search(tmp_path):
    made = oracle(tmp_path, population_size=6)
    for i in range(6):
        trial = made.create_trial("w")
        trial.status, trial.message = "FAILED", "broken"
        if i == 5:
            trial.status = "COMPLETED"
            made.update_trial(trial.trial_id, {"accuracy": 0.5})
        made.end_trial(trial)
    assert made.create_trial("w").status == "RUNNING"


def test_the_trial_of_a_dead_worker_is_given_to_another_and_the_first_answer_counts(tmp_path):
    made = oracle(tmp_path, lease=1000.0)
    lost = made.create_trial("dead")
    others = [made.create_trial("w") for _ in range(1)]
    made._heard["dead"] -= 2000.0
    again = made.create_trial("alive")
    assert again.trial_id == lost.trial_id == "0" and "dead" not in made.ongoing_trials
    for trial, accuracy in ((lost, 0.5), (again, 0.7), *((t, 0.6) for t in others)):
        made.update_trial(trial.trial_id, {"accuracy": accuracy})
        trial.status = "COMPLETED"
        made.end_trial(trial)
    assert made.state.archive[0].score == 0.5 and made.end_order == ["0", "1"]
    assert made.ongoing_trials == {}
    made._heard["w"] -= 2000.0
    assert made.tuner_ids == {"alive"}  # the chief does not wait for those that are gone


def killed_at(moment):
    """Counts what could leave a file half done or unwritten, and dies, as by kill -9, at one of them."""
    left = [moment]

    def counting(call):
        def dying(*args, **kwargs):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **kwargs)

        return dying

    os.replace, os.fsync = counting(os.replace), counting(os.fsync)
    Path.write_text = counting(Path.write_text)


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.skipif(not hasattr(os, "fork"), reason="a process is killed in a copy of this one")
@pytest.mark.skipif(BACKEND == "jax", reason="a copy of a process lacks the threads jax waits for")
def test_killed_again_and_again_between_any_two_writes_it_ends_the_same(tmp_path):
    """Between the journal and KerasTuner's files, between trial.json and oracle.json, before and after a rename."""
    whole = FakeSearch(tmp_path / "b").run()
    deaths, trials = 0, [0]
    while deaths < 60:
        child = os.fork()
        if child == 0:
            killed_at(7 + 5 * (deaths % 5) + 2 * trials[-1])  # KerasTuner's files are rebuilt first, two moments each
            code = 1
            with contextlib.suppress(BaseException):
                FakeSearch(tmp_path / "a").run()
                code = 0
            os._exit(code)
        _, status = os.waitpid(child, 0)
        trials.append(len(FakeSearch(tmp_path / "a").state.archive))
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            break
        deaths += 1
    assert deaths >= 5 and trials == sorted(trials) and trials[-1] == 15
    resumed = FakeSearch(tmp_path / "a").run()
    assert essence(resumed) == essence(whole)
    assert [c.number for c in resumed.best_candidates()] == [c.number for c in whole.best_candidates()]
    assert [c.genome for c in resumed.pareto_front()] == [c.genome for c in whole.pareto_front()]
