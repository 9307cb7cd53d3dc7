"""What is exported holds what was found."""

import csv

import pytest

from kspike.space import SearchSpace
from kspike.tuners.engine import Evolution, Proposal, SearchState
from kspike.tuners.engine.fingerprint import differences, fingerprint, refuse
from kspike.tuners.engine.report import export

pytestmark = pytest.mark.once


@pytest.fixture
def state():
    state = SearchState(Evolution(SearchSpace.load("digits"), generations=1, population_size=4), "accuracy", "max")
    while isinstance(p := state.ask(), Proposal):
        failed = p.number == 3
        metrics = {"accuracy": 0.5 + p.number / 100, "energy_mj": 1.0 + p.number}
        state.tell(p.number, None if failed else metrics, "broken, with a comma" if failed else None)
    return state


def test_csv_has_a_row_a_candidate_with_metrics_and_genes(state, tmp_path):
    path = export.to_csv(list(state.archive), tmp_path / "all.csv", state.archive.front())
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8 and [int(r["number"]) for r in rows] == list(range(8))
    assert float(rows[1]["accuracy"]) == pytest.approx(0.51)
    assert int(rows[2]["parameters"]) == state.archive[2].parameters
    assert len(rows[1]["gene:mlp_ratio"].split()) == state.archive[1].genome.depth
    assert rows[3]["message"] == "broken, with a comma" and rows[3]["accuracy"] == ""
    assert {int(r["number"]) for r in rows if r["front"] == "True"} == {c.number for c in state.archive.front()}
    assert list(tmp_path.iterdir()) == [path]


def test_plot_is_a_picture(state, tmp_path):
    pytest.importorskip("matplotlib")
    path = export.plot(list(state.archive), state.archive.front(), state.history(10.0, 1e6), tmp_path / "front.png")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_fingerprints_name_what_differs():
    space = SearchSpace.load("digits")
    a = fingerprint(Evolution(space), {"name": "aeb", "beta": 0.02})
    same = fingerprint(
        Evolution(SearchSpace.from_dict(space.to_dict() | {"name": "other"}), generations=3), {**a["objective"]}
    )
    assert differences(a, same) == []
    b = fingerprint(Evolution(space, seed=1), {"name": "aeb", "beta": 0.05})
    assert differences(a, b) == [
        "objective.beta: 0.02 in the project, 0.05 now",
        "seed: 0 in the project, 1 now",
    ]
    with pytest.raises(ValueError, match="objective.beta: 0.02.*seed: 0.*overwrite=True"):
        refuse(a, b, "runs/x")
