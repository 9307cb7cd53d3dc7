"""parallel_for: each chunk once, on the backend's own thread pool or on Python's."""

import os
import sys
import threading

import numpy as np
import pytest

pytest.importorskip("numba")
from kspike.ops.cpu import threads as cpu_threads
from tests.helpers import BACKEND

TORCH = BACKEND == "torch"
OWN = pytest.param("own", marks=pytest.mark.skipif(not TORCH, reason="only PyTorch lends its threads"))


@pytest.fixture(params=["python", OWN])
def pool(request, monkeypatch):
    if request.param == "python":
        monkeypatch.setattr(cpu_threads, "team", None)
    elif sys.platform == "linux":
        assert cpu_threads.team is not None
    return request.param


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("rows", [1, 2, 5, 100])
def test_every_row_is_worked_on_once(pool, rows, threads):
    done, lock = [], threading.Lock()

    def work(bounds, first, last):
        with lock:
            done.extend(range(bounds[first], bounds[last]))

    cpu_threads.parallel_for(work, rows, rows * cpu_threads.MIN_CHUNK, threads)
    assert sorted(done) == list(range(rows))


def test_threads_work_at_the_same_time(pool):
    meeting = threading.Barrier(2, timeout=60)  # a thread alone would wait there, and break it
    cpu_threads.parallel_for(lambda *_: meeting.wait(), 2, 2 * cpu_threads.MIN_CHUNK, 2)


@pytest.mark.parametrize("chunk", [0, 1])
def test_what_a_thread_raises_is_raised(pool, chunk):
    def work(bounds, first, last):
        if first <= chunk < last:
            raise KeyError(f"chunk {chunk}")

    with pytest.raises(KeyError, match=f"chunk {chunk}"):
        cpu_threads.parallel_for(work, 2, 2 * cpu_threads.MIN_CHUNK, 2)
    test_every_row_is_worked_on_once(pool, 5, 2)


def test_sums_do_not_depend_on_the_threads(pool):
    from kspike.ops.cpu import norm_lif

    x = np.random.default_rng(0).normal(size=(40_000, 24)).astype("float32")
    alone = norm_lif.kernels().moments(x, 1)
    for threads in (2, 3, 7):
        for a, b in zip(alone, norm_lif.kernels().moments(x, threads), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.skipif(not TORCH or sys.platform != "linux", reason="PyTorch's threads, where GOMP_parallel is")
def test_a_forked_process_works_on_threads_of_its_own(monkeypatch):
    from kspike.ops.torch import openmp

    team = openmp.ThreadTeam(openmp._gomp_parallel())
    team.process += 1  # as a child finds it
    called = []
    assert team(lambda: called.append(1), 2) is False and not called
    monkeypatch.setattr(cpu_threads, "team", team)
    test_every_row_is_worked_on_once("own", 5, 2)


def _tasks():
    """Threads of this process. Linux ends its list early at a thread that ends meanwhile, so two have to agree."""
    before, now = None, set(os.listdir("/proc/self/task"))
    while before != now:
        before, now = now, set(os.listdir("/proc/self/task"))
    return now


@pytest.mark.skipif(not TORCH or sys.platform != "linux", reason="PyTorch's threads, where GOMP_parallel is")
def test_loops_run_on_the_threads_of_pytorch():
    """A pool of Python's would be threads more, which wait for a core that PyTorch's spin on."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        torch.add(a := torch.ones(1 << 20), a)
        cpu_threads._pool.cache_clear()
        running, meeting, worked = _tasks(), threading.Barrier(2, timeout=60), []

        def work(*_):
            worked.append(str(threading.get_native_id()))
            meeting.wait()

        cpu_threads.parallel_for(work, 2, 2 * cpu_threads.MIN_CHUNK, 2)
        assert len(set(worked)) == 2 and set(worked) | _tasks() <= running
    finally:
        torch.set_num_threads(before)
