"""An entry for event cameras: sensor, framing and split on its card; recordings go in; it verifies."""

import json

import numpy as np
import pytest

import kspike
from kspike.data.events.sets import digits_events
from kspike.zoo import event_input, schema
from tests.cli.test_cli import kspike_command

SETTINGS = kspike.events.Framing(timesteps=2, by="count", size=(8, 8))


@pytest.fixture(scope="module")
def events():
    return kspike.data.load("digits_events", framing=SETTINGS, batch_size=120)


@pytest.fixture(scope="module")
def published(events, tmp_path_factory):
    config = kspike.SpikformerConfig(
        input_shape=events.input_shape, num_classes=10, timesteps=2, embed_dim=8, depth=1, num_heads=2, mlp_ratio=1.0,
        stem_pool=(False, False, False, True), tau=1.5,
    )  # fmt: skip
    model = kspike.Spikformer(config)
    for weight in model.weights:
        if "moving_variance" in weight.path:
            weight.assign(weight * 0.1)
    folder = tmp_path_factory.mktemp("zoo")
    return kspike.zoo.publish(model, "tiny_events", data=events, license="apache-2.0", directory=folder, backends=())


def recordings(split, count):
    found, _, ids = digits_events.recordings()
    places = {name: k for k, name in enumerate(ids.tolist())}
    return [found[places[name]] for name in split.ids[:count].tolist()]


@pytest.mark.shared
def test_the_card_says_sensor_framing_split_and_counts(published, events):
    stated = kspike.zoo.card(published)["input"]
    assert stated["mean"] is None and stated["std"] is None and stated["range"] is None
    said = stated["events"]
    assert said["framing"] == SETTINGS.to_dict() and said["sensor_size"] == [16, 16] and said["split"] == "as_digits"
    assert said["largest"] == max(events.train.images.max(), events.validation.images.max(), events.test.images.max())
    page = (published / "README.md").read_text()
    assert "event camera of 16x16 pixels (SIMULATED)" in page and "counts of events, not normalised" in page
    assert "by=count" in page and "Split: as_digits" in page


def test_recordings_files_and_frames_come_out_as_the_data_set_gives_them(published, events, tmp_path):
    expected = np.asarray(events.test[0][0])[:3]
    some = recordings(events.test, 3)
    paths = []
    for k, one in enumerate(some):
        np.savez(tmp_path / f"{k}.npz", t=one.t, x=one.x, y=one.y, p=one.p)
        paths.append(tmp_path / f"{k}.npz")
    for given in (some, [np.asarray(one) for one in some], paths, expected, expected.astype(int)):
        made = kspike.zoo.preprocess(given, published)
        assert made.dtype == np.float32
        np.testing.assert_array_equal(made, expected)
    np.testing.assert_array_equal(kspike.zoo.preprocess(some[0], published), expected[:1])


def test_a_predictor_takes_recordings_and_their_files(published, events, tmp_path):
    predict = kspike.zoo.Predictor(published, batch_size=4)
    frames = events.test[0][0][:5]
    logits = kspike.zoo.load(published).predict(frames, verbose=0)
    want = kspike.zoo.decode_predictions(logits, published, top=2)
    found = predict(frames, top=2)
    assert [[name for _, name, _ in row] for row in found] == [[name for _, name, _ in row] for row in want]
    one = recordings(events.test, 1)[0]
    np.savez(tmp_path / "one.npz", t=one.t, x=one.x, y=one.y, p=one.p)
    ((_, row),) = predict.files([tmp_path / "one.npz"], top=2)
    assert row == predict([one], top=2)[0] == predict(frames[:1], top=2)[0]
    (tmp_path / "broken.npz").write_bytes(b"nothing")
    ((path, error),) = predict.files([tmp_path / "broken.npz"])
    assert path.name == "broken.npz" and isinstance(error, ValueError)


@pytest.mark.shared
def test_it_verifies_with_the_data_that_its_card_names(published):
    assert kspike.zoo.verify(published).ok
    other = kspike.data.load("digits_events", timesteps=2, image_size=8)
    with pytest.raises(ValueError, match="Expected events of the framing"):
        kspike.zoo.verify(published, data=other)


@pytest.mark.shared
def test_a_page_of_a_recording_shows_the_firing_of_an_entry(published, events, tmp_path):
    one, page = recordings(events.test, 1)[0], tmp_path / "page.html"
    np.savez(tmp_path / "one.npz", t=one.t, x=one.x, y=one.y, p=one.p)
    result = kspike_command("events", "show", tmp_path / "one.npz", "--model", published, "--html", page)
    assert result.exit_code == 0, result.output
    text = page.read_text()
    assert "Firing of the network" in text and "by=count" in text and text.count('<img alt="t=') == 2
    neurons = [row.name for row in kspike.cost.measure(kspike.zoo.load(published), events.test, progress=False).neurons]
    assert text.count('<th scope="row">') == len(neurons) and " mJ." in result.stdout


#: The checks below are of NumPy alone.
STATED = {
    "shape": [2, 8, 8, 2], "range": None, "mean": None, "std": None,
    "events": {
        "sensor_size": [16, 16], "framing": SETTINGS.to_dict(), "split": "as_digits", "polarities": ["OFF", "ON"],
        "normalised": False, "counts": True, "simulated": True, "absent": "", "cut_us": None, "largest": 9.0,
    },
}  # fmt: skip


@pytest.mark.once
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda a: a[0], r"images\[None\]"),
        (lambda a: a[:, :1], "Expected images of shape"),
        (lambda a: np.where(a == 0, np.nan, a), r"received NaN or infinity at \[0, 0, 0, 0, 0\]"),
        (lambda a: a - 1, r"whole numbers from 0 on; received -1 at \[0, 0, 0, 0, 0\]"),
        (lambda a: a + 0.5, "received 0.5"),
    ],
)
def test_frames_that_are_no_counts_are_refused_with_their_place(change, says):
    with pytest.raises(ValueError, match=says):
        event_input.frames_of(change(np.zeros((1, 2, 8, 8, 2), np.float32)), STATED, "tiny")


@pytest.mark.once
def test_recordings_of_another_sensor_or_too_few_events_are_refused():
    one = kspike.events.Recording([0, 1], [0, 1], [0, 1], [0, 1], (20, 20))
    with pytest.raises(ValueError, match=r"of \(16, 16\) pixels .*received \(20, 20\)"):
        event_input.frames_of(one, STATED, "tiny")
    short = kspike.events.Recording([0], [0], [0], [0], (16, 16))
    with pytest.raises(ValueError, match="fewer than the 2 frames"):
        event_input.frames_of([short], STATED, "tiny")


@pytest.mark.once
@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"split": 3}, "'split'"),
        ({"sensor_size": [16]}, "sensor_size"),
        ({"framing": {"timesteps": 2}}, r"to give the shape \[2, 8, 8, 2\]; it gives \[2, 16, 16, 2\]"),
        ({"framing": {"timesteps": "2"}}, "to be a kspike.events.Framing: timesteps"),
        ({"framing": {"steps": 2}}, "no 'steps'"),
        ({"largest": "many"}, "'largest'"),
        ({"counts": 1}, "'counts'"),
        ({"polarities": "OFF"}, "'polarities'"),
        ({"absent": None}, "'absent'"),
    ],
)
def test_a_card_whose_events_are_not_sound_is_refused(wrong, says):
    def check(events):
        schema._check_input(schema._Reader(json.loads(json.dumps({**STATED, "events": events})), "input in tiny"))

    check(STATED["events"])
    with pytest.raises(ValueError, match=says):
        check({**STATED["events"], **wrong})
