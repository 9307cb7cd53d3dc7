"""Functions of a user's own with mistakes in them: named, their traceback kept, and the search goes on once mended."""

import dataclasses
import functools
import math
import traceback

import numpy as np
import pytest

from kspike import tuners
from kspike.tuners import FunctionObjective, scores
from kspike.tuners.engine import Constraints
from kspike.tuners.engine.of_network import as_number
from tests.tuners.fakes import SPACE, FakeSearch
from tests.tuners.fakes import zero_cost_search as search

pytestmark = pytest.mark.once


def shaky(says, good=3):
    """A function that is right for `good` networks and then says, or does, something else."""
    asked = []

    def width(config):
        asked.append(config)
        if len(asked) <= good:
            return config.embed_dim + len(asked) / 8
        return says() if callable(says) else says

    return width


def mistake():
    return {}["width"]


SAID = {
    "a mistake": (mistake, "width raised KeyError: 'width' \\(test_own_functions.py, line \\d+\\).*embed_dim"),
    "a division": (lambda: 1 / 0, "width raised ZeroDivisionError"),
    "nothing": (None, "width must return a number.*it returned None"),
    "a truth": (np.True_, "it returned .*True"),
    "several": (np.ones(2), "it returned array"),
    "text": ("3", "it returned '3'"),
}


@pytest.mark.parametrize(("says", "message"), SAID.values(), ids=SAID)
def test_a_mistake_in_a_score_stops_the_search_which_goes_on_once_it_is_mended(tmp_path, says, message):
    with pytest.raises(ValueError, match=message) as caught:
        search(tmp_path, score=shaky(says)).search()
    cause = caught.value.__cause__
    if callable(says):  # the user's own lines can be read
        assert "width" in [frame.name for frame in traceback.extract_tb(cause.__traceback__)]
    before = search(tmp_path, score=shaky(says))._records()
    assert [r["type"] for r in before if r["type"] != "used"] == ["project", "measured", "measured"]
    mended = {tuple(r["indices"]): r["row"]["width"] for r in before if r["type"] == "measured"}

    def width(config):
        known = {SPACE.decode(indices).to_config(): value for indices, value in mended.items()}
        return known.get(config, 1.0)

    tuner = search(tmp_path, score=width)
    tuner.search()
    assert len(tuner.best_candidates()) == 6 and tuner._records()[: len(before)] == before


@pytest.mark.parametrize(("says", "message"), SAID.values(), ids=SAID)
def test_a_mistake_in_a_constraint_stops_any_search(tmp_path, says, message):
    with pytest.raises(ValueError, match=message):
        search(tmp_path, constraints={shaky(says): (0, None)}).search()
    with pytest.raises(ValueError, match=message):
        FakeSearch(tmp_path, constraints={shaky(says): (0, None)}).run()


def test_one_number_is_one_number_of_any_kind():
    for number in (3, 3.0, np.float32(3), np.array(3.0), np.int8(3)):
        assert as_number(number, "a number") == 3.0
    assert as_number(10**400, "a number") == math.inf
    for other in (True, np.False_, np.ones(1), [3], {}, 3j, np.complex64(3), None):
        with pytest.raises(ValueError, match="a number; it returned"):
            as_number(other, "a number")


def width(config):
    return config.embed_dim


def test_a_project_is_not_gone_on_with_by_another_function_of_the_same_name(tmp_path):
    search(tmp_path, score=width, constraints={width: (0, None)}).search()
    FakeSearch(tmp_path, constraints={width: (0, None)}).run()

    def other(config):
        return config.embed_dim + 1

    other.__name__ = "width"
    with pytest.raises(ValueError, match="width gives .* where the project in .* has .*another project_name"):
        search(tmp_path, score=other, constraints={other: (0, None)})
    with pytest.raises(ValueError, match="width gives .* where the project in"):
        FakeSearch(tmp_path, constraints={other: (0, None)})
    search(tmp_path, score=width, project_name="score").search()
    with pytest.raises(ValueError, match="width gives .* where the project in"):
        search(tmp_path, score=other, project_name="score").search()


def place(config):
    return 1.0


def flops(config):
    return 1.0


@dataclasses.dataclass
class Unkept:
    scale: float = 1.0

    def __call__(self, config):
        return self.scale * config.embed_dim


def test_names_that_results_have_already_and_things_without_a_name_are_refused(tmp_path):
    other = functools.partial(width)
    other.__name__ = "width"  # type: ignore[attr-defined]
    for options, message in (
        ({"score": place}, "'place' stands in every result already"),
        ({"score": flops}, "'flops' stands in every result already"),
        ({"score": width, "tie_break": flops}, "'flops' stands"),
        ({"constraints": {place: (0, 1)}}, "'place' stands"),
        ({"score": width, "constraints": {other: (0, 1)}}, "score and a constraint are both called 'width'"),
        ({"score": width, "tie_break": scores.FunctionScore(width, "min")}, "Score and tie_break are both called"),
        ({"score": scores.Score}, "Score is a class: give Score"),
        ({"score": functools.partial(width)}, "write it with def"),
    ):
        with pytest.raises(ValueError, match=message):
            search(tmp_path, **options)
    for arguments, message in (((width, "max", ""), "must be a text"), ((Unkept(), "max", "own"), "has no hash")):
        with pytest.raises(ValueError, match=message):
            scores.FunctionScore(*arguments)
    with pytest.raises(ValueError, match="Objective and a constraint are both called 'aeb'"):
        named = functools.partial(width)
        named.__name__ = "aeb"  # type: ignore[attr-defined]
        tuners.EvolutionSearchOracle(SPACE, constraints={named: (0, 1)}, population_size=2)
    with pytest.raises(ValueError, match="name of an objective must be a text other than accuracy"):
        FunctionObjective(lambda metrics, largest: 1.0, "max", "accuracy")
    assert not list(tmp_path.iterdir())


def test_bounds_that_are_no_numbers_are_refused_and_an_endless_one_is_an_open_side():
    assert Constraints.of({"memory_mb": (-math.inf, math.inf)}) == Constraints.of({"memory_mb": (None, None)})
    for bounds, message in (
        ((math.inf, None), "excludes everything"),
        ((np.ones(2), 3), "must be numbers or None"),
        ((10**400, None), "excludes everything"),
        ((np.True_, None), "must be numbers or None"),
    ):
        with pytest.raises(ValueError, match=message):
            Constraints.of({"latency_ms": bounds})
    with pytest.raises(ValueError, match="must map a quantity to"):
        Constraints.of([("memory_mb", (0, 1))])
