"""What a killed process left is removed by the next, and a living one's work never, wherever it lives."""

import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

import kspike
from kspike import _files, _process, convert, training
from kspike.space import SearchSpace
from kspike.training import Recipe

pytestmark = pytest.mark.once

HOLD = """
import pathlib, sys, types
sys.modules["kspike"] = types.ModuleType("kspike")  # without Keras, which would take seconds
sys.modules["kspike"].__path__ = [sys.argv[3]]
from kspike._files import folder_aside, written_aside
with folder_aside(pathlib.Path(sys.argv[1]), "net.publishing") as folder, written_aside(sys.argv[2]) as file:
    (folder / "half").touch()
    file.touch()
    print("here", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """A process that is at work on a folder and a file aside."""
    place = tmp_path / "report.html"
    command = [sys.executable, "-c", HOLD, str(tmp_path), str(place), *kspike.__path__]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "here\n"
    yield process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def hidden(folder):
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def age(path, seconds):
    for each in (*path.rglob("*"), path):
        os.utime(each, (time.time() - seconds,) * 2)


def test_a_living_processs_work_stays_and_a_dead_ones_goes(tmp_path, holder):
    before = hidden(tmp_path)
    assert len(before) == 2
    for name in before:
        age(tmp_path / name, 10 * _files.ABANDONED)  # however long it takes
    _files.remove_leftovers(tmp_path, r"net\.publishing")
    _files.write_text(tmp_path / "report.html", "mine")
    assert hidden(tmp_path) == before
    holder.kill()
    holder.wait()
    _files.remove_leftovers(tmp_path, r"other\.publishing")
    _files.write_text(tmp_path / "another.html", "mine")
    assert hidden(tmp_path) == before  # not of what is written
    _files.remove_leftovers(tmp_path, r"net\.publishing")
    _files.write_text(tmp_path / "report.html", "mine")
    assert hidden(tmp_path) == [] and (tmp_path / "report.html").read_text() == "mine"


def test_a_process_that_ended_and_was_not_fetched_yet_is_dead(tmp_path, holder):
    mark = hidden(tmp_path)[1].rpartition("-")[0].removeprefix(".net.publishing.")
    assert _process.lives(mark) is True
    holder.kill()
    os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)  # ended, and still in the table
    assert _process.lives(mark) is False


def test_a_number_given_again_is_another_process():
    number, start, machine = _process.mark().split("-")
    assert _process.lives(f"{number}-{start}-{machine}") is True
    assert _process.lives(f"{number}-{int(start) + 1}-{machine}") is False
    assert _process.lives(f"{number}-{start}-00000000") is None
    assert _process.lives(f"9999999999-{start}-{machine}") is False
    assert _process.lives("1") is None and _process.lives("../1") is None


@pytest.mark.parametrize("made_by", ["{number}-{start}-0123abcd-0123abcd", "{number}-0123abcd"])
def test_what_another_machine_or_an_earlier_kspike_left_goes_after_a_week_without_a_change(tmp_path, made_by):
    number, start, _ = _process.mark().split("-")
    left = tmp_path / (".net.publishing." + made_by.format(number=number, start=start))
    (left / "deep").mkdir(parents=True)
    (left / "deep" / "file").touch()
    age(left, _files.ABANDONED + 60)
    os.utime(left / "deep" / "file")  # something in it has changed
    _files.remove_leftovers(tmp_path, r"net\.publishing")
    assert left.is_dir()
    age(left, _files.ABANDONED + 60)
    _files.remove_leftovers(tmp_path, r"net\.publishing")
    assert not left.exists()


def test_only_what_has_the_very_form_is_removed_and_no_link_is_followed(tmp_path):
    dead = f"9999999999-1-{_process.mark().split('-')[2]}-0123abcd"
    right = f".net.publishing.{dead}"
    for name in (f"{right}x", right[1:], f"{right}.bak", ".net.publishing"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine").touch()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine").touch()
    (tmp_path / right).symlink_to(elsewhere)
    before = sorted(tmp_path.rglob("*"))
    _files.remove_leftovers(tmp_path, r"net\.publishing")
    assert sorted(tmp_path.rglob("*")) == before
    _files.remove_leftovers(tmp_path / "nowhere", "net")


def test_private_folders_of_dead_processes_are_removed_by_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(_files.tempfile, "gettempdir", lambda: str(tmp_path))
    dead = tmp_path / f".kspike.9999999999-1-{_process.mark().split('-')[2]}-0123abcd"
    dead.mkdir()
    with _files.private_folder() as folder, _files.private_folder() as second:
        assert folder != second and folder.parent == tmp_path and folder.stat().st_mode & 0o777 == 0o700
        assert not dead.exists()
    assert list(tmp_path.iterdir()) == []


def test_two_threads_may_write_one_file(tmp_path):
    with _files.written_aside(tmp_path / "a.json") as one, _files.written_aside(tmp_path / "a.json") as other:
        assert one != other and one.suffix == ".json"
        one.write_text("one")
        other.write_text("other")
    assert (tmp_path / "a.json").read_text() == "one" and hidden(tmp_path) == []


def test_a_folder_of_nobody_is_refused_wherever_a_folder_is_given(tmp_path, monkeypatch):
    nobody = "~nobody_of_that_name/x"
    model = kspike.Spikformer(kspike.SpikformerConfig(input_shape=(8, 8, 1), embed_dim=8, depth=1, num_heads=1))
    images = np.zeros((2, 8, 8, 1), "float32"), np.zeros(2, "int32")
    calls = {
        "load": lambda: kspike.zoo.load(nobody),
        "directory": lambda: kspike.zoo.load("net", directory=nobody),
        "list": lambda: kspike.zoo.list_models(directory=nobody),
        "publish": lambda: kspike.zoo.publish(model, "net", license="mit", directory=nobody),
        "train": lambda: kspike.training.train(model, images, Recipe(epochs=1), directory=nobody, verbose=0),
        "run": lambda: kspike.training.load(nobody),
        "data": lambda: kspike.data.tfds_source.source("cifar10", data_dir=nobody),
        "cache": lambda: kspike.data.cache.folder(tmp_path),
    }
    monkeypatch.setenv("KSPIKE_CACHE", nobody)
    monkeypatch.chdir(tmp_path)
    for name, call in calls.items():
        with pytest.raises(ValueError, match=r"'~nobody_of_that_name/x', the home folder of a user whom"):
            call()
            pytest.fail(name)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="Expected the path of a file or a folder; received an array of shape"):
        kspike.zoo.list_models(directory=np.zeros((1000, 1000)))


def test_a_decoded_part_is_kept_beside_its_other_sizes_and_what_dead_runs_left_goes(tmp_path):
    from kspike.data import cache
    from kspike.data.sources import Images

    images = Images(np.zeros((1, 2, 2, 1), "uint8"), np.zeros(1, "int32"), np.array(["a"]))
    dead = tmp_path / f".writing.9999999999-1-{_process.mark().split('-')[2]}-0123abcd"
    dead.mkdir()
    for part in ("train-32x32", "train", "train"):
        cache.decoded(tmp_path, part, "0" * 64, lambda: images)
    cache.decoded(tmp_path, "train", "1" * 64, lambda: images)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"train-{'1' * 16}", f"train-32x32-{'0' * 16}"]
    (tmp_path / names[0] / "meta.json").write_text("[" * 100_000)
    with pytest.warns(UserWarning, match="unreadable"):
        cache.decoded(tmp_path, "train", "1" * 64, lambda: images)
    shutil.rmtree(tmp_path / names[0])


@pytest.mark.parametrize("name", ["~nobody_of_this_name/x.json", "no/such/folder/x.json"])
def test_whatever_takes_a_path_says_what_is_wrong_with_it(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = "~nobody_of_this_name|no/such/folder"
    for write in (training.Recipe().save, SearchSpace.load("digits").save):
        with pytest.raises((ValueError, FileNotFoundError), match=said):
            write(name)
    for read in (training.Recipe.load, SearchSpace.load, training.read_history, convert.from_spikformer):
        with pytest.raises((ValueError, FileNotFoundError), match=said):
            read(name.replace(".json", ".npz"))
    assert not list(tmp_path.iterdir())


def test_the_home_folder_is_known_wherever_a_path_is_taken(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert training.Recipe(epochs=3).save("~/r.json") == tmp_path / "r.json"
    assert training.Recipe.load("~/r.json").epochs == 3
    assert SearchSpace.load(SearchSpace.load("digits").save("~/s.json")) == SearchSpace.load("~/s.json")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match="the file of a checkpoint; received the folder"):
        convert.from_spikformer("~/folder")
