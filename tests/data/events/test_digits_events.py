"""The simulated set that travels with the package: the digits of "digits", fixed, labelled as simulated."""

import hashlib

import numpy as np
import pytest

import kspike
from kspike import data
from kspike.data.events import Camera
from kspike.data.events.sets import digits_events
from kspike.data.events.simulation import INTENSITY

pytestmark = pytest.mark.once

#: SHA-256 over every hundredth recording.
EXPECTED = "66d629f799f768f549ce804ab5ce1a202d640f5ca84be29249933d80fce74bb0"


def test_the_same_digits_train_validate_and_test_as_in_digits():
    events, images = data.load("digits_events", timesteps=4), data.load("digits")
    assert events.input_shape == (4, 16, 16, 2) and events.num_classes == 10
    for part in ("train", "validation", "test"):
        one, other = getattr(events, part), getattr(images, part)
        np.testing.assert_array_equal(one.ids, other.ids)
        np.testing.assert_array_equal(one.labels, other.labels)


def test_it_says_that_it_is_simulated_wherever_it_is_described():
    dataset = data.load("digits_events", timesteps=4)
    facts = dataset.to_dict()
    assert facts["events"]["simulated"] is True and "simulated" in facts["version"] and "simulated" in facts["source"]
    assert "simulated" in digits_events.recordings()[0][0].source
    assert kspike.events.Recording is data.events.Recording and "digits_events" in data.names()


def test_the_recordings_are_the_same_on_every_machine():
    found, labels, _ = digits_events.recordings()
    assert len(found) == len(labels) == 1797
    content = hashlib.sha256()
    for recording in found[::100]:
        content.update(np.asarray(recording).tobytes())
    assert content.hexdigest() == EXPECTED
    assert all(len(recording) > 500 and recording.duration <= 300_000 for recording in found)


def test_on_and_off_events_balance_where_the_digit_comes_back_to_its_place():
    """The path is closed: every pixel ends as bright as it began, so that its ON and OFF thresholds cancel."""
    recording = Camera((16, 16), mismatch=0.0, noise_hz=0.0).watch(moved(), 10_000, np.array([0]))[0]
    counts = np.zeros((16, 16, 2), int)
    np.add.at(counts, (recording.y, recording.x, recording.p), 1)
    assert len(recording) > 50 and (np.abs(counts[..., 0] - counts[..., 1]) <= 1).all()


def moved():
    """A bright square that goes right and back, (time, 1, 16, 16)."""
    pictures = np.zeros((9, 1, 16, 16), np.int32)
    for k, left in enumerate((4, 5, 6, 7, 8, 7, 6, 5, 4)):
        pictures[k, 0, 5:10, left : left + 4] = INTENSITY
    return pictures


def test_the_camera_follows_its_rule_pixel_by_pixel():
    """Without noise, a pixel's events are the crossings of log intensity, at interpolated times."""
    camera = Camera((1, 1), threshold=0.5, mismatch=0.0, noise_hz=0.0, jitter_us=0)
    brightness = np.array([0, 1024, 4096, 4096, 0])
    made = camera.watch(brightness.reshape(-1, 1, 1, 1), 1_000, np.array([7]))[0]
    levels = np.log(brightness / INTENSITY + 0.1)
    expected, reference = [], levels[0]
    for k in range(1, len(levels)):
        sign = 1 if levels[k] > reference else -1
        while abs(levels[k] - reference) >= 0.5:
            reference += sign * 0.5
            share = (reference - levels[k - 1]) / (levels[k] - levels[k - 1])
            expected.append((1_000 * (k - 1 + share), sign > 0))
    assert made.p.tolist() == [p for _, p in expected]
    np.testing.assert_allclose(made.t, [t for t, _ in expected], atol=2)


def test_noise_is_seeded_and_as_frequent_as_said():
    still = np.full((31, 4, 16, 16), INTENSITY, np.int32)
    camera = Camera((16, 16), noise_hz=20.0)
    first, again = (camera.watch(still, 10_000, np.arange(4)) for _ in range(2))
    assert [len(a) for a in first] == [len(b) for b in again] and len({len(a) for a in first}) > 1
    total = sum(len(recording) for recording in first)
    expected = 20 * 256 * 0.3 * 4
    assert abs(total - expected) < 5 * np.sqrt(expected)
