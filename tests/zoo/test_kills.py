"""Publishing that is killed at any moment leaves nothing half done, and what it left the next one clears away."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys

import pytest

import kspike
from kspike.zoo.entry import Entry

pytestmark = pytest.mark.once


@pytest.fixture
def publisher(tmp_path):
    """Makes one publication: `(signal, act)` -> "whole" and its acts, or "killed" and the signal."""
    pytest.importorskip("torch", reason="forks of a process that has imported jax or tensorflow may hang")
    zoo = tmp_path / "zoo"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.zoo.killed", str(zoo)],
        env={**os.environ, "KERAS_BACKEND": "torch"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def publish(by=0, at=0):
        process.stdin.write(f"{int(by)} {at}\n")
        process.stdin.flush()
        how, number = process.stdout.readline().split()
        return how, int(number)

    yield publish
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def entries(zoo):
    """The versions in a zoo, each of which is whole; and what is hidden there."""
    names = sorted(path.name for path in zoo.iterdir())
    hidden = [name for name in names if name.startswith(".")]
    found = [name for name in names if name not in hidden]
    for name in found:
        entry = Entry.open(zoo / name)
        entry.check_card()
        assert kspike.cost.parameters(entry.config()) == entry.metadata["parameters"] and entry.weights()
        assert len(list((zoo / name).iterdir())) == 4
    return sorted(int(name.removeprefix("net.v")) for name in found), hidden


@pytest.mark.parametrize("kills", [pytest.param(4, marks=pytest.mark.slow), pytest.param(40, marks=pytest.mark.proof)])
def test_a_killed_publication_leaves_nothing_half_done_and_the_next_clears_up(tmp_path, publisher, kills):
    zoo, rng, left = tmp_path / "zoo", random.Random(0), 0
    publisher()
    how, acts = publisher()
    assert how == "whole" and entries(zoo) == ([1, 2], [])
    for kill in range(kills):
        at = 1 + int((kill + rng.random()) * acts / kills)  # all along the way
        by = (signal.SIGKILL, signal.SIGTERM)[kill % 2]
        before, _ = entries(zoo)
        assert publisher(by, at) == ("killed", by)
        after, hidden = entries(zoo)
        assert after in (before, [*before, before[-1] + 1])
        left += len(hidden)
        assert publisher()[0] == "whole"
        assert entries(zoo) == ([*after, after[-1] + 1], [])
    assert left >= kills / 2  # the moments were such that there was something to clear
