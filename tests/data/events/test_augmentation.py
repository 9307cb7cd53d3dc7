"""Augmentation of events and of frames: the same changes on both, seeded; no mirrored digits."""

import json

import numpy as np
import pytest

from kspike import data
from kspike.data import events
from kspike.data.events import EventAugmentation, Recording
from kspike.data.events.named_augmentations import as_event_augmentation

pytestmark = pytest.mark.once


def recording(n=4000, sensor_size=(20, 30)):
    rng = np.random.default_rng(5)
    height, width = sensor_size
    places = rng.integers(0, width, n), rng.integers(0, height, n), rng.integers(0, 2, n)
    return Recording(np.sort(rng.integers(0, 100_000, n)), *places, sensor_size)


def whole(made):
    return events.to_frames(made, timesteps=1, by="count")


@pytest.mark.parametrize("settings", [{"flip": 1.0}, {"shift": 0.3}, {"cutout": 1.0}, {"drop_area": 0.6}])
def test_a_change_of_events_is_that_of_their_frames(settings):
    """Where things are changes alike, whether events are moved or their counts."""
    augmentation, given = EventAugmentation(**settings), recording()
    before, frames = np.asarray(given).copy(), whole(given)
    for seed in range(8):
        of_events = augmentation.of_events(given, np.random.default_rng(seed))
        of_frames = augmentation.of_frames(frames, np.random.default_rng(seed))
        np.testing.assert_array_equal(whole(of_events), of_frames)
    np.testing.assert_array_equal(np.asarray(given), before)
    np.testing.assert_array_equal(frames, whole(given))
    changed = [not np.array_equal(augmentation.of_frames(frames, np.random.default_rng(s)), frames) for s in range(8)]
    assert sum(changed) >= 7


def test_dropped_time_is_one_stretch_and_at_most_as_long_as_said():
    augmentation, given = EventAugmentation(drop_time=0.5), recording()
    for seed in range(8):
        left = augmentation.of_events(given, np.random.default_rng(seed))
        gone = np.setdiff1d(given.t, left.t)
        assert 0 <= gone[-1] - gone[0] <= 0.5 * given.duration
        assert not ((left.t > gone[0]) & (left.t < gone[-1])).any()
        frames = augmentation.of_frames(events.to_frames(given, timesteps=10), np.random.default_rng(seed))
        empty = np.flatnonzero(frames.sum(axis=(1, 2, 3)) == 0)
        assert len(empty) <= 5 and (np.diff(empty) == 1).all()


def test_events_dropped_at_random_are_some_of_them():
    augmentation, given = EventAugmentation(drop_events=0.6), recording()
    frames = events.to_frames(given, timesteps=4)
    for seed in range(4):
        left = augmentation.of_events(given, np.random.default_rng(seed))
        kept = augmentation.of_frames(frames, np.random.default_rng(seed))
        assert (kept <= frames).all() and kept.min() >= 0
        # The same rate for both: 4,000 events, four standard deviations.
        assert abs(len(left) - int(kept.sum())) < 4 * np.sqrt(2 * 4000 * 0.25)
        assert 0.4 * 4000 * 0.9 < len(left) <= 4000
    logs = np.log1p(frames, dtype=np.float32)
    kept = augmentation.of_frames(logs, np.random.default_rng(0))
    assert ((kept == 0) | (kept == logs)).all() and 0 < (kept == 0).sum() - (logs == 0).sum()


def test_one_setting_does_not_move_another():
    alone = EventAugmentation(shift=0.2).draw(np.random.default_rng(3))
    more = EventAugmentation(shift=0.2, cutout=1.0, drop_time=0.5).draw(np.random.default_rng(3))
    assert (alone.down, alone.right) == (more.down, more.right) and alone.cut is None and more.cut is not None


def test_settings_round_trip_and_wrong_ones_are_refused():
    settings = EventAugmentation(flip=0.5, cutout=0.3, cutout_area=(0.1, 0.2), drop_events=0.1, before_framing=True)
    assert EventAugmentation.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
    for wrong in (
        {"flip": 2},
        {"shift": 0.5},
        {"drop_time": 1.0},
        {"cutout_area": (0.3, 0.1)},
        {"before_framing": "yes"},
    ):
        with pytest.raises(ValueError, match=f"EventAugmentation: {next(iter(wrong))} expected"):
            EventAugmentation(**wrong)
    with pytest.raises(ValueError, match="Did you mean 'drop_time'"):
        EventAugmentation.from_dict({"drop_times": 0.1})


def test_mirrored_digits_are_refused_by_every_way_to_ask():
    for ask in ("flip_shift", EventAugmentation(flip=0.5), {"flip": 0.5}):
        with pytest.raises(ValueError, match="flip=0 for 'nmnist'"):
            as_event_augmentation(ask, "nmnist", mirrored=False)
        assert as_event_augmentation(ask, "cifar10_dvs", mirrored=True).flip == 0.5
    assert as_event_augmentation("standard", "nmnist", mirrored=False).flip == 0
    with pytest.raises(ValueError, match="Unknown augmentation of events 'standart'. Did you mean 'standard'"):
        as_event_augmentation("standart", "nmnist", mirrored=False)
    with pytest.raises(ValueError, match="EventAugmentation, or its dict"):
        as_event_augmentation(data.Augmentation(), "nmnist", mirrored=False)
    with pytest.raises(ValueError, match="'digits' holds images"):
        data.load("digits", augment=EventAugmentation(shift=0.1))
    with pytest.raises(ValueError, match="flip=0 for 'digits_events'"):
        data.load("digits_events", timesteps=4, augment="flip_shift")


#: The first training batch, epochs 0 and 1, by this setting: sums of its counts. The same on every backend and machine.
AUGMENT = {"shift": 0.125, "cutout": 0.5, "drop_area": 0.3, "drop_time": 0.3, "drop_events": 0.3}


@pytest.mark.parametrize("before_framing", [False, True])
def test_batches_are_fixed_by_seed_and_epoch_and_stay_whole_numbers(before_framing):
    def load(seed):
        settings = EventAugmentation(**AUGMENT, before_framing=before_framing)
        return data.load("digits_events", timesteps=4, batch_size=16, seed=seed, augment=settings)

    first = load(0).train
    images, labels = first[0]
    assert images.dtype == np.float32 and images.shape == (16, 4, 16, 16, 2) and (images == np.floor(images)).all()
    np.testing.assert_array_equal(load(0).train[0][0], images)
    assert not np.array_equal(load(1).train[0][0], images)
    first.set_epoch(1)
    assert not np.array_equal(first[0][0], images)
    plain = load(0).train.without_augmentation()
    assert plain[0][0].sum() > images.sum() > 0.2 * plain[0][0].sum()
    np.testing.assert_array_equal(plain[0][0], load(3).train.without_augmentation()[0][0])
