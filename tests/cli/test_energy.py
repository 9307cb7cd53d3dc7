"""kspike energy as a user meets it."""

import csv
import json

import pytest

import kspike
from tests.cli.test_cli import fails, kspike_command

pytestmark = pytest.mark.shared

NAME = "auto_spikformer_digits"


def test_a_report_of_an_entry_in_every_form(tmp_path):
    page, lines = tmp_path / "energy.html", tmp_path / "energy.csv"
    result = kspike_command("energy", NAME, "--limit", 100, "--batch-size", 64, "--html", page, "--csv", lines)
    assert result.exit_code == 0, result.output
    data = kspike.data.load("digits")
    report = kspike.cost.measure(kspike.zoo.load(NAME), data.test, images=100, progress=False)
    assert report.images == 100
    assert f"{report.energy_mj:.6g} mJ" in result.stdout and f"{100 * report.accuracy:.2f} %" in result.stdout
    with open(lines, newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == [row.name for row in report.rows]
    assert NAME in page.read_text()


@pytest.mark.slow
def test_two_models_side_by_side(tmp_path):
    page, lines = tmp_path / "energy.html", tmp_path / "energy.csv"
    both = ("energy", NAME, NAME, "--limit", 20, "--batch-size", 20)
    result = kspike_command(*both, "--html", page, "--csv", lines)
    assert result.exit_code == 0, result.output
    assert "times" in result.stdout
    values = json.loads(kspike_command(*both, "--json").stdout)
    assert len(values) == 2 and values[0] == values[1] and values[0]["images"] == 20
    with open(lines, newline="") as file:
        assert [row["model"] for row in csv.DictReader(file)] == [NAME] * 2 * len(values[0]["rows"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("auto_spikformer_digit",), NAME),
        ((NAME, "auto_spikformer_digit"), NAME),
        ((NAME, "--convention", "spikformr"), "did you mean 'spikformer'"),
        ((NAME, "--data", "digit"), "digits"),
        ((NAME, "--limit", 0), "at least 1 image"),
        ((NAME, "--html", "nowhere/energy.html"), "there is no folder"),
    ],
)
def test_mistakes_are_named_before_anything_runs(arguments, message):
    assert message in fails("energy", *arguments)
