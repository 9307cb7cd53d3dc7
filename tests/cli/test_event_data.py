"""Recordings of an event camera through every command: trained, measured, predicted and searched over T."""

import json

import keras
import numpy as np
import pytest

import kspike
from kspike.data.events.sets import digits_events
from tests.cli.test_cli import fails
from tests.cli.test_own_data import done

CONFIG = kspike.SpikformerConfig(
    input_shape=(2, 16, 16, 2), num_classes=10, embed_dim=16, depth=1, num_heads=2, mlp_ratio=1.0,
    stem_pool=(False, True, True, True), tau=1.25, v_threshold=0.5,
)  # fmt: skip
DATA = ("--data", "digits_events")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """An architecture, a space of two T, and a run of as many frames as the architecture has time steps."""
    place = tmp_path_factory.mktemp("events")
    (place / "net.json").write_text(json.dumps(CONFIG.to_dict()))
    space = {"name": "tiny", "base": CONFIG.to_dict(), "genes": {"timesteps": [1, 2]}, "frames_from": "recordings"}
    (place / "space.json").write_text(json.dumps(space))
    shown = done("train", place / "net.json", *DATA, "--frames", "count", "--epochs", 1, "--batch-size", 288,
                 "--directory", place / "run")  # fmt: skip
    assert "2 time steps" in shown and "epoch 1/1" in shown
    return place


@pytest.mark.slow
@pytest.mark.shared
def test_a_run_knows_how_its_recordings_were_framed_and_every_command_frames_them_so(place, tmp_path):
    stated = kspike.training.read_data(place / "run")["input"]["events"]
    assert (stated["framing"]["timesteps"], stated["framing"]["by"], stated["simulated"]) == (2, "count", True)
    row = json.loads(done("evaluate", place / "run", *DATA, "--split", "validation", "--json"))
    data = kspike.data.load("digits_events", timesteps=2, frames="count").validation
    model = kspike.training.load(place / "run")
    logits = model.predict(data, verbose=0)
    assert row["accuracy"] == pytest.approx(np.mean(logits.argmax(-1) == data.labels)) and row["timesteps"] == 2
    report = json.loads(done("energy", place / "run", *DATA, "--limit", 64, "--json"))
    assert report["images"] == 64 and report["rows"][0]["macs"] == 0 and report["rows"][0]["acs"] > 0
    recording = digits_events.recordings()[0][0]
    np.savez(tmp_path / "digit.npz", t=recording.t, x=recording.x, y=recording.y, p=recording.p, sensor_size=(16, 16))
    (found,) = [
        json.loads(line)
        for line in done("predict", place / "run", tmp_path / "digit.npz", "--json").split("\n")
        if line
    ]
    frames = kspike.events.to_frames(recording, timesteps=2, by="count")[None].astype("float32")
    alone = keras.ops.convert_to_numpy(model(frames))[0]
    assert found["classes"][0]["name"] == str(alone.argmax())
    free = done("evaluate", place / "run", *DATA, "--convention", "neurobench", "--split", "validation")
    assert "no energy" in free and "mJ" not in free


@pytest.mark.once
def test_images_and_recordings_are_told_apart(place, tmp_path, monkeypatch):
    assert "takes recordings of an event camera, 'digits' holds images" in fails("evaluate", place / "run")
    said = fails("evaluate", "auto_spikformer_digits", *DATA)
    assert "takes images, 'digits_events' holds recordings" in said
    assert "--timesteps: the model says how" in fails("energy", place / "run", *DATA, "--timesteps", 4)
    assert "--window-us: for recordings" in fails("train", place / "net.json", "--window-us", 1000)
    assert "data_dir: expected the folder" in fails("train", place / "net.json", "--data", "nmnist")
    (tmp_path / "nmnist").mkdir()
    monkeypatch.chdir(tmp_path)
    assert not kspike.data.is_own("nmnist") and kspike.data.is_own("./nmnist")


@pytest.mark.shared
def test_a_zero_cost_search_over_t_measures_each_network_on_its_own_frames(place, tmp_path):
    shown = done(
        "search", place / "space.json", *DATA, "--method", "zero-cost", "--energy", "--shortlist", 2, "--trials", 2,
        "--directory", tmp_path, "--project", "free",
    )  # fmt: skip
    assert "train it by" in shown
    best = json.loads((tmp_path / "free" / "best.json").read_text())
    assert best["input_shape"] == [best["timesteps"], 16, 16, 2]
    rows = (tmp_path / "free" / "candidates.csv").read_text().splitlines()
    assert len(rows) == 3 and "energy_mj" in rows[0]


@pytest.mark.slow if keras.backend.backend() == "torch" else pytest.mark.proof  # a search compiled under masks
def test_an_evolution_over_t_leaves_what_the_next_command_takes(place, tmp_path):
    done(
        "search", place / "space.json", *DATA, "--epochs", 1, "--generations", 1, "--population", 2, "--parents", 2,
        "--batch-size", 288, "--directory", tmp_path, "--project", "found",
    )  # fmt: skip
    best = tmp_path / "found" / "best.json"
    done("train", best, *DATA, "--epochs", 1, "--batch-size", 576, "--directory", tmp_path / "run")
    assert kspike.training.load(tmp_path / "run").config == kspike.SpikformerConfig.from_dict(
        json.loads(best.read_text())
    )


@pytest.mark.once
def test_a_space_of_still_images_is_made_for_recordings():
    from kspike.cli.search import _timesteps
    from kspike.space import SearchSpace

    space = SearchSpace(CONFIG.replace(input_shape=(8, 8, 1), timesteps=4), timesteps=(1, 4))
    assert _timesteps(space) == (1, 4)
    data = kspike.data.load("digits_events", timesteps=_timesteps(space))
    made = space.for_data(data)
    assert made.frames is not None and made.given.input_shape == data.input_shape == (5, 16, 16, 2)
    one = space.for_data(kspike.data.load("digits_events", timesteps=3), 3)
    assert one.frames is None and one.given.input_shape == (3, 16, 16, 2)
