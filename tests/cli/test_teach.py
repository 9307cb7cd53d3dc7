"""kspike teach and kspike train --teacher: a classifier of any kind, asked once."""

import json

import keras
import pytest

from kspike.data import TeacherLogits
from tests.cli.test_cli import CONFIG, fails, kspike_command

pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    keras.utils.set_random_seed(4)
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])
    path = tmp_path_factory.mktemp("teacher") / "linear.keras"
    model.save(path)
    return path


def test_a_student_is_trained_with_what_a_teacher_said(teacher, tmp_path):
    file = tmp_path / "teacher.npz"
    told = ("teach", teacher, file, "--augment", "shift", "--views", 2)
    result = kspike_command(*told)
    assert result.exit_code == 0, result.output
    assert "2 views of" in result.stdout and "% named right" in result.stdout
    logits = TeacherLogits.load(file)
    assert logits.views == 2 and logits.facts()["teacher"] == {"name": "linear.keras", "parameters": 650}
    assert "exists already" in fails(*told)

    (tmp_path / "net.json").write_text(json.dumps(CONFIG.to_dict()))
    train = (
        "train", tmp_path / "net.json", "--epochs", 1, "--batch-size", 120, "--augment", "shift",
        "--directory", tmp_path / "run", "--teacher", file,
    )  # fmt: skip
    assert "teacher_share" in fails(*train) or "--teacher-share" in fails(*train)
    assert not (tmp_path / "run").exists()
    result = kspike_command(*train, "--teacher-share", 0.9)
    assert result.exit_code == 0, result.output
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert settings["teacher"] == logits.facts() and settings["recipe"]["teacher_share"] == 0.9


@pytest.mark.once
def test_what_cannot_be_asked_is_refused_before_work(teacher, tmp_path):
    assert "NAME.npz" in fails("teach", teacher, tmp_path / "teacher.txt")
    assert "no such file" in fails("teach", tmp_path / "none.keras", tmp_path / "teacher.npz")
    assert "views" in fails("teach", teacher, tmp_path / "teacher.npz", "--views", 0)
    assert not list(tmp_path.iterdir())
