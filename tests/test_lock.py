"""A folder is held by one process at a time, which is named; a dead one keeps nothing."""

import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from kspike import _lock, _process

pytestmark = pytest.mark.once
ROOT = Path(__file__).resolve().parents[1]

CHILD = """
import sys
from pathlib import Path
from kspike import _lock, _process
with _lock.held(Path(sys.argv[1]), "search"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def elsewhere(tmp_path):
    """Another process that holds a folder until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(params=["flock", "file"])
def kind(request, monkeypatch):
    """With the system's locks, and on a file system that has none."""
    if request.param == "file":
        refuse(monkeypatch)
    return request.param


def refuse(monkeypatch):
    def unknown(*args):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unknown)


@pytest.mark.slow
def test_another_process_is_named_and_when_it_ends_or_dies_the_folder_is_free(elsewhere, tmp_path):
    named = rf"held by process {elsewhere.pid} on {socket.gethostname()} \(search, since 20.*wait until it has ended"
    with pytest.raises(ValueError, match=named), _lock.held(tmp_path, "search"):
        pytest.fail("two hold it")
    assert _lock.holder(tmp_path)["pid"] == elsewhere.pid
    elsewhere.send_signal(signal.SIGKILL)
    elsewhere.wait()
    assert _lock.holder(tmp_path)["pid"] == elsewhere.pid  # what it wrote stands, and keeps nobody away
    with _lock.held(tmp_path, "search"):
        assert _lock.holder(tmp_path)["pid"] == os.getpid()
    assert _lock.holder(tmp_path) is None


def test_one_process_holds_it_once_at_a_time_and_again_after_an_error(kind, tmp_path):
    with pytest.raises(KeyError), _lock.held(tmp_path / "new", "search") as first:
        with pytest.raises(ValueError, match=f"this very process {os.getpid()}"), _lock.held(tmp_path / "new", "x"):
            pytest.fail("two hold it")
        raise KeyError
    with _lock.held(tmp_path / "new", "search") as second:
        assert first != second == _lock.holder(tmp_path / "new")["token"]
    assert not list(tmp_path.rglob(".*"))


def test_where_there_are_no_locks_a_dead_process_of_this_machine_is_found_out(tmp_path, monkeypatch):
    refuse(monkeypatch)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    _, started, machine = _process.mark().split("-")
    record = {"pid": dead.pid, "host": socket.gethostname(), "since": "then", "work": "search"}
    record["mark"] = f"{dead.pid}-{started}-{machine}"
    path = tmp_path / _lock.HELD
    path.write_text(json.dumps(record | {"token": "a"}))
    with _lock.held(tmp_path, "search"):
        assert _lock.holder(tmp_path)["pid"] == os.getpid()
    assert not path.exists()
    anew = f"{os.getpid()}-1-{machine}"  # this process has a number that another had before
    path.write_text(json.dumps(record | {"token": "a", "mark": anew}))
    with _lock.held(tmp_path, "search"):
        pass
    path.write_text(json.dumps(record | {"token": "a", "host": "elsewhere", "mark": f"{dead.pid}-{started}-0123abcd"}))
    with pytest.raises(ValueError, match=f"on elsewhere.*surely dead, remove {path}"), _lock.held(tmp_path, "search"):
        pytest.fail("nobody knows whether that process lives")
    path.write_text("")  # killed between making the file and writing it
    with pytest.raises(ValueError, match=f"another process.*remove {path}"), _lock.held(tmp_path, "search"):
        pytest.fail("nobody knows whose it is")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="about fork")
def test_a_child_made_by_fork_neither_keeps_nor_frees_it(tmp_path):
    """Workers that load data outlive a killed parent, and leave their parent's blocks as it does."""
    ready, end = os.pipe(), os.pipe()
    parent = os.fork()
    if parent == 0:
        with _lock.held(tmp_path, "search"):
            if os.fork() == 0:
                os.close(end[1])
                os.read(end[0], 1)  # lives until the test ends
                os._exit(0)
            child = os.fork()
            if child == 0:
                os._exit(int(leaves(tmp_path)))
            _, status = os.waitpid(child, 0)
            os.write(ready[1], b"ok" if status == 0 and _lock.holder(tmp_path) else b"no")
            os.kill(os.getpid(), signal.SIGKILL)
    try:
        os.waitpid(parent, 0)
        assert os.read(ready[0], 2) == b"ok"
        with _lock.held(tmp_path, "search"):
            pass
    finally:
        for descriptor in (*ready, *end):
            os.close(descriptor)


def leaves(folder):
    """In a child: whether the folder is free to it, which its parent holds."""
    try:
        with _lock.held(folder, "search"):
            return True
    except ValueError:
        return False
