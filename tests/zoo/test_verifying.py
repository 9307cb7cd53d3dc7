import base64

import keras
import numpy as np
import pytest

import kspike


@pytest.fixture
def half_precision():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy(before)


def test_an_entry_agrees_with_its_card_whatever_the_session_computes_in(released, half_precision):
    report = kspike.zoo.verify(released)  # the data set is found by the card's name
    card = kspike.zoo.card(released)
    assert report.ok and report
    assert report.accuracy == card["accuracy"] and report.disagreements == 0
    assert np.isclose(report.energy_mj, card["energy_mj"], rtol=1e-4)
    text = str(report)
    assert "agrees with its card" in text and "SHA-256" in text and f"{100 * report.accuracy:.2f} %" in text
    assert keras.config.dtype_policy().name == "mixed_bfloat16"


@pytest.mark.shared
def test_a_card_that_promises_too_much_is_found(entry, rewrite, digits):
    card = kspike.zoo.card(entry)
    stored = np.frombuffer(base64.b64decode(card["predictions"]["base64"]), "<u1").copy()
    stored[:3] = (stored[:3] + 1) % 10
    better = {"evaluation/correct": 358, "evaluation/accuracy": 358 / 360, "accuracy": 358 / 360}
    better |= dict.fromkeys(("energy_mj", "energy/energy_mj"), 0.9 * card["energy_mj"])
    rewrite(entry, {**better, "predictions/base64": base64.b64encode(stored.tobytes()).decode()})
    report = kspike.zoo.verify(entry, digits)
    assert not report.ok and "DOES NOT AGREE" in str(report) and "DIFFERS" in str(report)
    assert [check.what.partition(",")[0] for check in report.checks if check.ok is False] == ["accuracy", "energy (mJ)"]
    assert report.disagreements == 3  # counted image by image


class Changed:
    """The digits, but for what is given."""

    def __init__(self, digits, **changes):
        self.digits, self.changes = digits, changes

    def __getattr__(self, name):
        return self.changes[name] if name in self.changes else getattr(self.digits, name)


@pytest.mark.shared
def test_other_test_images_are_not_compared_image_by_image(entry, digits):
    report = kspike.zoo.verify(entry, Changed(digits, test=[digits.test[0]]))
    assert not report.ok and report.disagreements is None and report.accuracy is not None
    assert [check.what for check in report.checks if check.ok is False] == ["test images"]


@pytest.mark.shared
def test_images_normalised_otherwise_are_refused(entry, digits):
    with pytest.raises(ValueError, match="Load it with mean="):
        kspike.zoo.verify(entry, Changed(digits, mean=(0.5,)))


@pytest.mark.shared
def test_an_entry_without_data_is_checked_by_its_hashes_alone(model, tmp_path):
    path = kspike.zoo.publish(model, "bare", directory=tmp_path, license="cc0-1.0")
    report = kspike.zoo.verify(path)
    assert report.ok and report.accuracy is None
    assert [check.what for check in report.checks] == [
        f"SHA-256 of {file}" for file in ("config.json", "model.weights.h5", "README.md", "metadata.json")
    ]


@pytest.mark.shared
def test_an_altered_entry_is_not_measured(entry):
    (entry / "model.weights.h5").write_bytes(b"")
    with pytest.raises(ValueError, match="truncated"):
        kspike.zoo.verify(entry)


@pytest.mark.shared
@pytest.mark.parametrize(
    "record",
    [
        {"n": 360, "dtype": "O", "base64": ""},
        {"n": 3, "dtype": "<u1", "base64": "AA=="},
        {"n": 1, "dtype": "<u1", "base64": "?"},
    ],
)
def test_predictions_that_are_none_are_refused(entry, rewrite, digits, monkeypatch, record):
    monkeypatch.setattr(kspike.zoo.evaluating, "measure", lambda *args: pytest.fail("measured all the same"))
    labels = kspike.zoo.card(entry)["predictions"]["labels_sha256"]
    rewrite(entry, {"predictions": {**record, "labels_sha256": labels}})
    with pytest.raises(ValueError, match="predictions of an entry"):
        kspike.zoo.verify(entry, digits)
