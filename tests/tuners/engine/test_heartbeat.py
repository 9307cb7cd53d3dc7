"""Signs of life: whoever waits for the chief waits as long as it lives, and no longer."""

import os
import time

import pytest
from keras_tuner.errors import FatalError

from kspike.tuners.engine.heartbeat import SilenceTimeout, beating
from kspike.tuners.project import project

pytestmark = pytest.mark.once


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def touch(path, stamp):
    path.touch()
    os.utime(path, ns=(stamp, stamp))


def test_patience_lasts_from_the_last_sign(tmp_path):
    clock, path = Clock(), tmp_path / "chief.alive"
    patience = SilenceTimeout(path, 10.0, clock)
    clock.now = 9.0
    assert not patience.ended()
    touch(path, 5)  # its clock may be years off
    assert not patience.ended()
    clock.now = 19.0
    assert not patience.ended()
    touch(path, 6)
    clock.now = 30.0
    assert not patience.ended()  # seen only now
    clock.now = 40.0
    assert not patience.ended()
    clock.now = 40.1
    assert patience.ended()


def test_the_file_is_touched_as_long_as_the_work_lasts(tmp_path):
    path = tmp_path / "project" / "chief.alive"
    with beating(path, every=0.01):
        touch(path, 5)
        deadline = time.monotonic() + 60
        while path.stat().st_mtime_ns == 5 and time.monotonic() < deadline:
            pass
        assert path.stat().st_mtime_ns != 5
    touch(path, 5)
    with pytest.raises(KeyError), beating(path, every=3600.0):
        assert path.stat().st_mtime_ns != 5
        touch(path, 6)
        raise KeyError
    assert path.stat().st_mtime_ns == 6


class Waiting(project.Project):
    """A worker's tuner that has its oracle and folder, and nobody to wait for."""

    report_level = 0

    class _oracle:
        lease = 60.0

    def __init__(self, folder):
        self.project_dir = folder


def test_a_worker_whose_chief_is_dead_says_so(tmp_path, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(project.time, "sleep", lambda seconds: setattr(clock, "now", clock.now + seconds))
    monkeypatch.setattr(project, "SilenceTimeout", lambda path, seconds: SilenceTimeout(path, seconds, clock))
    with pytest.raises(FatalError, match=r"no sign of life in .* for 60 seconds, and its supernet is not there"):
        Waiting(tmp_path)._wait_for("supernet")
    assert 60 < clock.now < 63


def test_it_waits_as_long_as_the_chief_lives_and_takes_what_it_wrote(tmp_path, monkeypatch):
    clock = Clock()

    def sleep(seconds):
        clock.now += seconds
        if clock.now % 50 == 0:
            touch(tmp_path / "chief.alive", int(clock.now))
        if clock.now == 300:
            (tmp_path / "journal.jsonl").write_text('{"type": "supernet", "sha256": "ab"}\n')

    monkeypatch.setattr(project.time, "sleep", sleep)
    monkeypatch.setattr(project, "SilenceTimeout", lambda path, seconds: SilenceTimeout(path, seconds, clock))
    assert Waiting(tmp_path)._wait_for("supernet")["sha256"] == "ab"


def test_only_a_chief_with_workers_gives_signs(tmp_path, monkeypatch):
    monkeypatch.delenv("KERASTUNER_ORACLE_IP", raising=False)
    with Waiting(tmp_path)._at_work():
        assert not (tmp_path / "chief.alive").exists()
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    with Waiting(tmp_path)._at_work():
        assert (tmp_path / "chief.alive").exists()
