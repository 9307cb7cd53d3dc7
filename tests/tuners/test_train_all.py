"""The plan of the zoo's trainings: whole, and its list says what is done and left."""

import pytest

from tests.scripts import tuner

pytestmark = pytest.mark.once


def test_what_is_planned_is_there_and_can_be_trained():
    plan = tuner("train_all").planned(runs=tuner("train_all").HERE)
    assert len({each.entry for each in plan}) == len(plan) > 2
    for each in plan:
        assert each.flops > 1e6 and each.history == []
        assert (each.recipe.teacher_share > 0) == (each.teacher is not None and each.teacher.is_file())


def test_the_list_counts_hours_done_and_left(tmp_path, monkeypatch, capsys):
    train_all = tuner("train_all")
    monkeypatch.setattr(train_all.Planned, "published", None)
    first, second = train_all.planned(tmp_path)[:2]
    for each, epochs in ((first, 3), (second, second.recipe.epochs)):
        each.run.mkdir()
        rows = [f"{epoch + 1},0.5,1.0,360.0" for epoch in range(epochs)]
        (each.run / "history.csv").write_text("\n".join(["epoch,accuracy,loss,seconds", *rows]) + "\n")
    train_all.main(["--runs", str(tmp_path), "--only", first.entry, second.entry])
    said = capsys.readouterr().out
    lines = {line.split()[0]: line.split(maxsplit=6)[2:] for line in said.splitlines()}
    assert lines[first.entry] == ["12", "3", "0.3", "0.9", "begun"]
    assert lines[second.entry] == ["12", "12", "1.2", "0.0", "to be published"]
    assert said.splitlines()[3].split() == ["all", "1.5", "0.9"]
    assert f"kspike zoo publish {second.run} {second.entry}" in said and f"publish {first.run}" not in said


def test_an_entry_that_is_not_planned_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="the plan has no nothing; it has"):
        tuner("train_all").planned(tmp_path, ["nothing"])
