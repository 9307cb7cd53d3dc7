"""A run's folder: what a run kept is counted as numbers, and what else lies there is left alone."""

import hashlib
import json
import os
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest

import kspike
from kspike import _lock, training
from kspike.data import cache
from kspike.data.sources import Images
from kspike.training import Recipe, checkpoints, read_history, records, train

pytestmark = pytest.mark.once


def model():
    keras.utils.set_random_seed(0)
    made = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    made.compile("sgd", "mse")
    made.optimizer.build(made.trainable_variables)
    return made


def rows(epochs):
    return [{"epoch": i + 1, "loss": 1.0} for i in range(epochs)]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


IMAGES = np.zeros((8, 4, 4, 1), "float32"), np.arange(8) % 2
RECIPE = Recipe(epochs=2, batch_size=4)


def small():
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(2)])


def test_a_copy_of_an_epoch_under_another_name_is_none(tmp_path):
    net = model()
    records.keep(tmp_path, net, rows(1))
    for name in ("epoch_best", "epoch_notes", "epoch_7", "epoch_0", "epoch_000009", "epoch_00009x", ".epoch_mine"):
        shutil.copytree(tmp_path / "epoch_00001", tmp_path / name)
    shutil.copytree(tmp_path / "epoch_00001", tmp_path / "epoch_00042")  # which is no epoch 42, and says so
    (tmp_path / "epoch_zz").write_text("a file")
    os.symlink(tmp_path / "epoch_00001", tmp_path / "epoch_00043")
    mine = set(names(tmp_path)) - {"epoch_00001", "history.csv"}
    net.layers[-1].kernel.assign([[5.0, 6.0], [7.0, 8.0]])
    records.keep(tmp_path, net, rows(2))
    assert set(names(tmp_path)) == mine | {"epoch_00002", "history.csv"}
    fresh = model()
    assert len(records.restore(tmp_path, fresh)) == 2
    np.testing.assert_array_equal(fresh.layers[-1].kernel, [[5.0, 6.0], [7.0, 8.0]])
    records.forget(tmp_path)
    assert set(names(tmp_path)) == mine


def test_epochs_are_compared_as_numbers(tmp_path, monkeypatch):
    for epochs in (99_999, 100_000):
        records.keep(tmp_path, model(), rows(epochs))
    assert names(tmp_path) == ["epoch_100000", "history.csv"]


def test_what_lies_where_an_epoch_would_be_kept_is_refused_before_training(tmp_path):
    (tmp_path / "epoch_00002").mkdir()
    (tmp_path / "epoch_00002" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="epoch_00002 is no epoch that a run in .* kept.*move it"):
        train(small(), IMAGES, RECIPE, directory=tmp_path, verbose=0)
    assert (tmp_path / "epoch_00002" / "notes.txt").read_text() == "mine"
    assert len(read_history(train_in(tmp_path, RECIPE.replace(epochs=1)))) == 1


def train_in(folder, recipe):
    train(small(), IMAGES, recipe, directory=folder, verbose=0)
    return folder


@pytest.mark.parametrize("content", [None, b"", b'{"epoch": 1, "hist', b"[]", b"null", b"[" * 100_000, b'{"epoch": 1}'])
def test_a_missing_or_truncated_record_of_an_epoch_is_named(content, tmp_path):
    records.keep(tmp_path, model(), rows(1))
    path = tmp_path / "epoch_00001" / "epoch.json"
    path.unlink() if content is None else path.write_bytes(content)
    for read in (records.restore, records.restore_weights):
        with pytest.raises(ValueError, match=f"{path} is missing or damaged .*restore it from a copy"):
            read(tmp_path, model())
    records.forget(tmp_path)
    assert names(tmp_path) == []


def test_the_settings_of_a_run_hold_its_network_as_they_did(tmp_path):
    """Written down before stems, mixers and MLPs were fields: a run begun then goes on."""
    config = kspike.SpikformerConfig(
        input_shape=(8, 8, 1), timesteps=2, embed_dim=16, depth=1, num_heads=2, residual="membrane", neuron="plif",
        tau=3.0, v_threshold={"qkv": 0.5}, v_reset=None,
    )  # fmt: skip
    images = np.random.default_rng(0).normal(size=(8, 8, 8, 1)).astype("float32")
    train(kspike.Spikformer(config), (images, np.zeros(8, "int32")), RECIPE, directory=tmp_path, verbose=0)
    settings = json.loads((tmp_path / "settings.json").read_text())
    assert set(settings) == {"recipe", "model", "parameters", "images"}
    digest = hashlib.sha256(json.dumps(settings["model"]).encode()).hexdigest()
    assert digest == "c9c4dcb47963c3971682a6c73a5a00258cbac109d704cb8fffaffccbe9ccf821"


@pytest.mark.parametrize("content", [b"", b'{"recipe": {', b"[]", b"[" * 100_000])
def test_damaged_or_missing_settings_are_named(content, tmp_path):
    train_in(tmp_path, RECIPE)
    (tmp_path / "settings.json").write_bytes(content)
    for read in (lambda: train_in(tmp_path, RECIPE), lambda: training.load(tmp_path)):
        with pytest.raises(ValueError, match=f"{tmp_path}.*no readable settings.json"):
            read()
    (tmp_path / "settings.json").unlink()
    with pytest.raises(ValueError, match="holds epoch_00002 of a run, but no settings.json"):
        train_in(tmp_path, RECIPE)


@pytest.mark.slow
def test_only_what_a_killed_process_left_is_cleared(tmp_path):
    mine = [".epoch_backup", ".epoch_00002.123", ".mine.history.csv"]
    for name in mine:
        (tmp_path / name).mkdir() if "epoch" in name else (tmp_path / name).write_text("")
    killed = """
import os, signal, sys
from pathlib import Path
from kspike import _files
place = Path(sys.argv[1])
with _files.folder_aside(place, "epoch_00002") as aside, _files.written_aside(place / "history.csv") as file:
    (aside / "state.npz").write_text("half")
    file.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", killed, str(tmp_path)], check=False)
    assert len(names(tmp_path)) == len(mine) + 2
    records.keep(tmp_path, model(), rows(1))
    assert names(tmp_path) == sorted([*mine, "epoch_00001", "history.csv"])


@pytest.mark.parametrize("foreign", ["epoch_00002", "epoch_00001x"])
def test_a_run_is_removed_only_when_the_new_one_can_be_kept(foreign, tmp_path):
    train_in(tmp_path, RECIPE.replace(epochs=1))
    (tmp_path / foreign).mkdir()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != _lock.LOCK}
    if foreign == "epoch_00002":
        with pytest.raises(ValueError, match="epoch_00002 is no epoch"):
            train(small(), IMAGES, RECIPE, directory=tmp_path, resume=False, verbose=0)
        assert before == {path: path.read_bytes() for path in before}
    else:
        train(small(), IMAGES, RECIPE, directory=tmp_path, resume=False, verbose=0)
        assert len(read_history(tmp_path)) == 2 and (tmp_path / foreign).is_dir()


@pytest.mark.parametrize("text", ["", "a,b\n1", "a,b\n1,2,3", "a,b\nx,1", "a,b\n1,2\n\x00"])
def test_a_damaged_history_is_refused_by_file_and_line(text, tmp_path):
    (tmp_path / "history.csv").write_text(text)
    with pytest.raises(ValueError, match=r"history\.csv.*(line [123]|no names)"):
        read_history(tmp_path)


def test_an_epoch_killed_while_it_was_removed_stops_nothing(tmp_path):
    """As older versions left it: half an epoch below the newest."""
    train_in(tmp_path, RECIPE)
    (tmp_path / "epoch_00001").mkdir()
    (tmp_path / "epoch_00001" / "state.npz").write_text("")
    assert len(read_history(train_in(tmp_path, RECIPE))) == 2


def test_a_second_process_is_refused_and_reading_goes_on(tmp_path):
    train_in(tmp_path, RECIPE)
    net = small()
    with _lock.held(tmp_path, "training"):
        with pytest.raises(ValueError, match="held by this very process .*training, since"):
            train(net, IMAGES, RECIPE, directory=tmp_path, resume=False, verbose=0)
        assert not net.compiled  # before any work
        assert len(read_history(tmp_path)) == 2
        records.restore_weights(tmp_path, small())
    train(net, IMAGES, RECIPE, directory=tmp_path, verbose=0)


def test_reading_while_a_newer_epoch_takes_the_place_of_the_newest(tmp_path, monkeypatch):
    net = model()
    records.keep(tmp_path, net, rows(1))
    hashed = records.sha256

    def meanwhile(path):
        monkeypatch.setattr(records, "sha256", hashed)
        records.keep(tmp_path, net, rows(2))
        return hashed(path) if path.exists() else ""

    monkeypatch.setattr(records, "sha256", meanwhile)
    place, history = records.restore_weights(tmp_path, model())
    assert place.name == "epoch_00002" and len(history) == 2


def test_a_discarded_run_leaves_its_folder_where_something_else_lies_in_it(tmp_path):
    for name in ("a", "b"):
        records.keep(tmp_path / name, model(), rows(1))
    (tmp_path / "b" / "mine").write_text("")
    records.discard(tmp_path / "a")
    records.discard(tmp_path / "b")
    assert names(tmp_path) == ["b"] and names(tmp_path / "b") == ["kspike.lock", "mine"]
    assert checkpoints.epochs(tmp_path / "b") == []


def test_one_size_of_decoded_images_does_not_remove_another(tmp_path):
    def images():
        return Images(np.zeros((1, 2, 2, 1), "uint8"), np.zeros(1, "int64"), np.array(["a"]))

    old, new = "a" * 64, "b" * 64
    for part in ("train", "train-32x32"):
        cache.decoded(tmp_path, part, old, images)
    (tmp_path / "train-mine").mkdir()
    cache.decoded(tmp_path, "train", new, images)
    assert set(names(tmp_path)) == {f"train-{new[:16]}", f"train-32x32-{old[:16]}", "train-mine"}
    assert json.loads((tmp_path / f"train-{new[:16]}" / "meta.json").read_text())["fingerprint"] == new
