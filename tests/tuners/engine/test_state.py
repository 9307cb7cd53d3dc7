"""A search by ask and tell: parallel, resumed from any point of its journal, and always to the same end."""

import itertools
import math

import numpy as np
import pytest

from kspike.space import SearchSpace
from kspike.tuners.engine import Constraints, Evolution, Journal, Proposal, SearchState
from kspike.tuners.engine.state import AllFailed, NoProposal

pytestmark = pytest.mark.once

SPACE = SearchSpace.load("digits")


def measure(genome):
    """A deterministic stand-in for training: rugged, so that the order of candidates matters."""
    config = genome.to_config()
    noise = np.random.default_rng(list(np.array(genome.expressed) + 1)).random()
    accuracy = 0.4 + 0.4 * config.embed_dim / 96 + 0.1 * noise
    return {"accuracy": accuracy, "energy_mj": config.embed_dim * config.timesteps * config.depth / 1e4}


def make(journal=None, **options):
    settings = {"generations": 2, "population_size": 6, "parents": 3} | options
    return SearchState(Evolution(SPACE, **settings), "accuracy", "max", journal)


def finish(state):
    while isinstance(proposal := state.ask(), Proposal):
        state.tell(proposal.number, measure(proposal.genome))
    assert proposal is NoProposal.DONE
    return state


def essence(state):
    return [(c.number, c.genome.indices, c.score, dict(c.metrics)) for c in state.archive]


def test_a_whole_search():
    state = finish(make())
    assert len(state.archive) == 18 and state.done() and state.left() == 0
    assert state.best().score == max(c.score for c in state.archive)
    rows = state.history(energy_mj=1.0, parameters=500_000)
    assert [r["generation"] for r in rows] == [0, 1, 2] and [r["left"] for r in rows] == [12, 6, 0]
    assert rows[0]["best"] <= rows[1]["best"] <= rows[2]["best"]
    assert 0 < rows[0]["hypervolume"] <= rows[2]["hypervolume"] < 1


def test_killed_after_any_record_or_in_the_middle_of_one_it_ends_the_same(tmp_path):
    whole = finish(make(Journal(tmp_path / "whole")))
    lines = (tmp_path / "whole").read_bytes().splitlines(keepends=True)
    assert len(lines) == 3 + 18
    for cut in range(len(lines)):
        path = tmp_path / f"cut{cut}"
        path.write_bytes(b"".join(lines[:cut]) + lines[cut][: len(lines[cut]) // 2])
        resumed = make(Journal(path))
        told = len(resumed.archive)
        assert told == sum(b'"result"' in line for line in lines[:cut])
        finish(resumed)
        assert essence(resumed) == essence(whole)
        assert [c.number for c in resumed.archive.front()] == [c.number for c in whole.archive.front()]


def test_workers_that_answer_in_any_order_find_what_one_finds():
    alone = finish(make())
    together = make()
    rng = np.random.default_rng(3)
    out = []
    while True:
        asked = together.ask()
        if isinstance(asked, Proposal):
            out.append(asked)
        elif asked is NoProposal.DONE:
            break
        if asked is NoProposal.WAIT or len(out) == 4:
            assert out, "nothing is out, yet the state waits"
            proposal = out.pop(rng.integers(len(out)))
            together.tell(proposal.number, measure(proposal.genome))
    assert essence(together) == essence(alone)


def test_a_crash_with_several_workers_leaves_only_theirs_pending(tmp_path):
    state = make(Journal(tmp_path / "j"))
    asked = [state.ask() for _ in range(4)]
    for i in (1, 3):
        state.tell(asked[i].number, measure(asked[i].genome))
    resumed = make(Journal(tmp_path / "j"))
    assert resumed.pending() == [0, 2]
    again = [resumed.ask() for _ in range(3)]
    assert [p.number for p in again] == [0, 2, 4]
    resumed.give_up(2)
    assert resumed.ask().number == 2
    held = make(Journal(tmp_path / "j"))
    held.hold(held.pending())
    assert held.ask().number == 4


def test_failed_candidates_are_recorded_and_do_not_stop_the_search(tmp_path):
    state = make(Journal(tmp_path / "j"))
    for i in itertools.count():
        proposal = state.ask()
        if not isinstance(proposal, Proposal):
            break
        if i % 3 == 0:
            state.tell(proposal.number, message="out of memory")
        elif i % 3 == 1:
            state.tell(proposal.number, {"accuracy": math.nan, "energy_mj": 1.0})
        else:
            state.tell(proposal.number, measure(proposal.genome))
    again = make(Journal(tmp_path / "j"))
    for s in (state, again):
        assert len(s.archive) == 18 and sum(c.completed for c in s.archive) == 6
        assert s.archive[0].message == "out of memory" and "nan" in s.archive[1].message
        assert [c.completed for c in s.ranked()] == [True] * 6
        assert s.history()[0]["failed"] == 4


def test_a_search_whose_first_generation_fails_altogether_says_why():
    state = make()
    for _ in range(6):
        state.tell(state.ask().number, message="no such device")
    with pytest.raises(AllFailed, match="All 6 candidates.*no such device"):
        state.ask()


def test_measured_constraints_rank_behind_and_exact_ones_never_come_up():
    constraints = Constraints.of({"energy_mj": (None, 0.01), "timesteps": (None, 2)})
    state = finish(make(constraints=constraints))
    outside = [c for c in state.archive if c.violation > 0]
    assert outside and all(c.energy_mj > 0.01 for c in outside)
    assert all(c.config.timesteps <= 2 for c in state.archive)
    assert all(c.feasible for c in state.archive.front())
    ranked = [c.feasible for c in state.ranked()]
    assert ranked == sorted(ranked, reverse=True)


def test_measured_numbers_are_float32_and_counted_ones_exact():
    state = make()
    proposal = state.ask()
    found = state.tell(proposal.number, {"accuracy": 0.1, "energy_mj": 1 / 3, "parameters": 1.0})
    assert found.metrics["accuracy"] == float(np.float32(0.1)) and found.score == float(np.float32(0.1))
    assert found.parameters > 1000 and isinstance(found.metrics["parameters"], int)


def test_smaller_is_better_where_the_objective_says_so():
    state = SearchState(Evolution(SPACE, generations=1, population_size=5), "energy_mj", "min")
    finish(state)
    assert state.best().score == min(c.score for c in state.archive)
    assert state.history()[-1]["best"] == state.best().score


def test_more_generations_go_on_where_fewer_ended(tmp_path):
    finish(make(Journal(tmp_path / "j"), generations=1))
    longer = finish(make(Journal(tmp_path / "j"), generations=2))
    assert essence(longer) == essence(finish(make(generations=2)))


def test_telling_twice_keeps_the_first_and_telling_of_the_unknown_is_refused():
    state = make()
    number = state.ask().number
    state.tell(number, {"accuracy": 0.5, "energy_mj": 1.0})
    assert state.tell(number, {"accuracy": 0.9, "energy_mj": 1.0}).accuracy == 0.5
    with pytest.raises(ValueError, match="never proposed"):
        state.tell(99, {"accuracy": 0.5})
