"""Tables that kspike writes: what a user named never becomes a formula of a spreadsheet, and numbers stay numbers."""

import csv
import dataclasses
import io
import types

import pytest

import kspike
from kspike import _csv
from kspike.cost.report.report import EnergyReport
from kspike.training import records
from kspike.tuners.engine.report import export

pytestmark = pytest.mark.once
FORMULAS = ("=cmd|'/c calc'!A1", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "-", "=")


def read(path):
    return list(csv.reader(io.StringIO(path.read_text("utf-8"), newline="")))


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_is_marked_as_text_and_comes_back(text):
    assert _csv.cell(text) == f"'{text}" and _csv.uncell(f"'{text}") == text


@pytest.mark.parametrize("value", ["-1.5", "+3", "-inf", "1e-3", -2, -0.25, None, "", "a=b", "'quoted'", "loss", True])
def test_everything_else_stays(value):
    assert _csv.cell(value) is value
    assert not isinstance(value, str) or _csv.uncell(value) == value


@pytest.mark.parametrize("formula", FORMULAS[:4])
def test_in_every_table(formula, tmp_path, monkeypatch):
    row = types.SimpleNamespace(rates=(0.5, -0.5))
    for field in dataclasses.fields(kspike.cost.EnergyRow):
        setattr(row, field.name, getattr(row, field.name, formula if field.name == "layer" else -1.0))
    report = types.SimpleNamespace(rows=[row], model=formula, convention=types.SimpleNamespace(free=False))
    EnergyReport.to_csv(report, tmp_path / "energy.csv", report)
    genes = (types.SimpleNamespace(name="neuron", scope="network", word=True),)
    said = lambda gene, *_: formula
    genome = types.SimpleNamespace(space=types.SimpleNamespace(genes=genes), text=said, joined=said)
    candidate = types.SimpleNamespace(
        number=0, generation=0, score=-1.0, feasible=True, violation=0.0, seconds=1.0, message=formula,
        metrics={formula: -3.0}, genome=genome, proposal=types.SimpleNamespace(parents=(), operator=formula),
    )  # fmt: skip
    export.to_csv([candidate], tmp_path / "candidates.csv")
    (tmp_path / "run").mkdir()
    rows = [{"loss": -1.5, formula: 2.0}]
    (tmp_path / "run" / records.HISTORY).write_bytes(records._csv(rows))
    assert records.read_history(tmp_path / "run") == rows
    for table in ("energy.csv", "candidates.csv", f"run/{records.HISTORY}"):
        cells = [cell for line in read(tmp_path / table) for cell in line]
        assert f"'{formula}" in cells and formula not in cells
        assert {"-1.0", "-1.5"} & set(cells)  # numbers, as they were
