"""A name says what a thing is called and never where files go, whoever gives it and whatever file it comes out of."""

import dataclasses
import json
import os

import keras
import numpy as np
import pytest

import kspike
from kspike import _names, tuners
from kspike.cost.report import text
from kspike.space import SearchSpace
from kspike.zoo import naming

pytestmark = pytest.mark.once

GOOD = [
    "a",
    "digits",
    "Auto-Spikformer_2.1",
    "0",
    "_own",
    "x" * 80,
    "w0.5",
    "console",
    "nul_1",
    "com",
    "com10",
    "x.con",
]
BAD = [
    "../../escaped", "/abs", "..", ".", "", ".hidden", "-option", "a/b", "a\\b", "a b", "a\n", "a.", "\x1b[2J", "naïve",
    "x" * 81, "x" * 300, "[bold]x[/bold]", "C:", "~root", "a\x00", 5, True, ["a"], b"a",
    "con", "NUL", "Com1", "lpt9", "aux.1", "prn.json",
]  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_a_name_is_taken_as_it_is(name):
    assert _names.check(name, "project_name") == name
    assert SearchSpace(name=name).name == name


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_name_is_refused_in_a_short_message_without_its_escape_sequences(name):
    with pytest.raises(ValueError, match="Expected the name of a search space to be 1 to 80 letters") as caught:
        SearchSpace(name=name)
    assert len(str(caught.value)) < 500 and "\x1b" not in str(caught.value)


@pytest.mark.parametrize("name", [None, *(name for name in BAD if not isinstance(name, bytes))])
def test_a_space_out_of_a_file_does_not_say_where_files_go(tmp_path, name):
    (tmp_path / "s.json").write_text(json.dumps({"name": name, "genes": {"depth": [1, 2]}}))
    with pytest.raises(ValueError, match=r"s\.json is not a search space: Expected the name"):
        SearchSpace.load(tmp_path / "s.json")


@pytest.mark.parametrize("search", [tuners.EvolutionSearch, tuners.ZeroCostSearch])
@pytest.mark.parametrize("name", ["../../escaped", "/abs", "", "a/b", "x" * 300, 5])
def test_a_project_stays_in_its_directory(tmp_path, search, name):
    kept = tmp_path / "escaped"
    kept.mkdir()
    (kept / "mine").touch()
    with pytest.raises(ValueError, match="Expected project_name to be 1 to 80 letters"):
        search("digits", directory=tmp_path / "a" / "b", project_name=name, overwrite=True, verbose=0)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["escaped", "mine"]


@pytest.mark.parametrize("name", [*BAD, "Upper", "a-b", "a.b"])
def test_an_entrys_name_is_narrower_by_the_dot_of_its_version_and_capitals(name):
    with pytest.raises(ValueError, match="Expected the name of an entry") as caught:
        naming.split_name(name)
    assert len(str(caught.value)) < 500


def test_every_entrys_name_is_a_name_and_every_published_one_holds():
    for name in [*map(naming.split_name, kspike.zoo.list_models(all_versions=True))]:
        assert _names.check(name[0], "name") == name[0]
    for name in SearchSpace.names():  # each loads under its own: tests/space
        assert _names.check(name, "name") == name


def test_a_space_without_a_name_is_called_after_its_file_whatever_that_is_called(tmp_path):
    for stem, name in (
        ("mine", "mine"),
        ("my space (2)", "my_space_2"),
        ("[b]x", "_b_x"),
        ("...", "unnamed"),
        ("nul", "_nul"),
        ("Aux.v1", "_Aux.v1"),
    ):
        path = tmp_path / f"{stem}.json"
        path.write_text('{"genes": {"depth": [1, 2]}}')
        assert SearchSpace.load(path).name == name == _names.check(_names.made_from(stem), "it")
    assert _names.check(_names.made_from("x" * 300), "it") == "x" * 80


def test_the_schema_of_a_space_holds_names_to_the_same_rule():
    jsonschema = pytest.importorskip("jsonschema")
    is_valid = jsonschema.Draft202012Validator(SearchSpace.schema()).is_valid
    assert all(is_valid({"name": name}) for name in GOOD)
    assert not any(
        is_valid({"name": name}) for name in [None, *BAD] if name != "a\n"
    )  # Python's $ takes a last newline


def test_brackets_in_the_name_of_a_folder_style_nothing_and_break_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    folder = tmp_path / "[red]a[/b]"
    tuner = tuners.ZeroCostSearch("digits", directory=folder, project_name="p", max_trials=1, verbose=0)
    tuner.search()
    tuner.results_summary()
    assert f"Zero-cost search in {os.path.join(folder, 'p')}" in capsys.readouterr().out.replace("\n", "")
    evolution = tuners.EvolutionSearch("digits", directory=folder, project_name="e", verbose=0)
    evolution.results_summary()
    assert f"Search in {os.path.join(folder, 'e')}" in capsys.readouterr().out.replace("\n", "")


def test_brackets_in_the_name_of_a_model_or_a_layer_are_shown():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    report = kspike.cost.measure(model, np.ones((2, 4), "float32"))
    rows = tuple(dataclasses.replace(row, name="dense[0][red]") for row in report.rows)
    report = dataclasses.replace(report, model="net[/b]", rows=rows)
    assert "Energy of net[/b], one image" in str(report) and "dense[0][red]" in str(report)
    assert "net[/b]" in text.as_comparison(report, report)
