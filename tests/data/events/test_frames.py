"""Frames: SpikingJelly's own, no event lost, the same words everywhere; settings as JSON; filters and sizes."""

import json

import numpy as np
import pytest

from kspike.data import events
from kspike.data.events import Framing, Recording, frames
from kspike.data.events.framing import by_area

pytestmark = pytest.mark.once

# 23 events on 3x4 pixels, and SpikingJelly 2.0.0's integrate_events_by_fixed_frames_number of them, 4 frames, channels
# last. Neither 23 events nor 71 microseconds can be divided by 4.
T = [1007, 1011, 1025, 1029, 1030, 1034, 1036, 1036, 1041, 1045, 1050, 1051]
T += [1051, 1051, 1052, 1059, 1061, 1064, 1066, 1067, 1070, 1073, 1078]
X = [1, 3, 3, 1, 0, 2, 3, 0, 2, 2, 0, 2, 1, 0, 1, 2, 0, 1, 2, 0, 1, 3, 2]
Y = [2, 1, 2, 0, 1, 2, 2, 2, 2, 0, 1, 1, 2, 1, 1, 2, 1, 1, 1, 0, 0, 2, 1]
P = [0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 0, 1, 0, 0, 0, 1, 1, 1, 1, 1, 0]
#: OFF rows, then ON rows, of each frame.
BY_TIME = [
    ["0000 0001 0100", "0000 0000 0000"],
    ["0000 1000 1011", "0100 0000 0001"],
    ["0010 0100 0110", "0000 2010 0000"],
    ["0000 1010 0010", "1100 0110 0001"],
]
BY_NUMBER = [
    ["0000 1001 0100", "0100 0000 0001"],
    ["0010 0000 1021", "0000 0000 0000"],
    ["0000 0100 0100", "0000 2010 0000"],
    ["0000 1010 0010", "1100 0110 0001"],
]


def recording(n=5000, sensor_size=(20, 30), seed=0, end=100_000):
    rng = np.random.default_rng(seed)
    height, width = sensor_size
    places = rng.integers(0, width, n), rng.integers(0, height, n), rng.integers(0, 2, n)
    return Recording(np.sort(rng.integers(0, end, n)), *places, sensor_size)


@pytest.mark.parametrize(("by", "expected"), [("time", BY_TIME), ("count", BY_NUMBER)])
def test_frames_are_those_of_spikingjelly(by, expected):
    made = events.to_frames(Recording(T, X, Y, P, (3, 4)), timesteps=4, by=by)
    channels = [[[[int(c) for c in row] for row in channel.split()] for channel in frame] for frame in expected]
    np.testing.assert_array_equal(made, np.array(channels).transpose(0, 2, 3, 1))
    assert made.dtype == np.int32


@pytest.mark.parametrize("timesteps", [1, 4, 7, 16])
@pytest.mark.parametrize("by", frames.WAYS)
def test_no_event_is_lost_whatever_cannot_be_divided(by, timesteps):
    window = {"window_us": 3_000} if by == "window" else {}
    made = events.to_frames(recording(), timesteps=timesteps, by=by, **window)
    assert made.shape == (timesteps, 20, 30, 2) and made.sum() == 5000
    counts = made.sum(axis=(1, 2, 3))
    if by == "count":
        assert (counts[:-1] == 5000 // timesteps).all()


def test_windows_are_of_one_length_and_as_many_as_there_are():
    made = Recording([50, 59, 60, 75], [0, 1, 2, 3], [0] * 4, [1] * 4, (1, 4))
    assert events.to_frames(made, window_us=10).sum(axis=(1, 2, 3)).tolist() == [2, 1, 1]
    assert events.to_frames(made, window_us=10, timesteps=5).sum(axis=(1, 2, 3)).tolist() == [2, 1, 1, 0, 0]
    assert events.to_frames(made, window_us=10, timesteps=2).sum(axis=(1, 2, 3)).tolist() == [2, 2]


def test_channels_are_off_and_on_and_other_numbers_are_asked_for_by_name():
    made = Recording([0, 1, 2, 3], [1, 1, 1, 0], [0, 0, 0, 1], [1, 1, 0, 1], (2, 2))
    counts = events.to_frames(made, timesteps=1, by="count")
    assert counts[0, 0, 1].tolist() == [1, 2] and counts[0, 1, 0].tolist() == [0, 1]
    assert events.to_frames(made, 1, "count", binary=True).max() == 1
    np.testing.assert_allclose(events.to_frames(made, 1, "count", log=True), np.log1p(counts), rtol=1e-6)


def test_voxels_share_events_between_two_moments():
    made = Recording([0, 25, 100], [0, 1, 2], [0, 0, 0], [1, 0, 1], (1, 3))
    grid = events.voxel_grid(made, 3)
    assert grid.shape == (3, 1, 3, 1) and grid.dtype == np.float32
    np.testing.assert_allclose(grid[:, 0, :, 0], [[1, -0.5, 0], [0, -0.5, 0], [0, 0, 1]])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "timesteps: expected the number of frames"),
        ({"timesteps": 0}, "timesteps: expected a whole number of at least 1"),
        ({"timesteps": 2.5}, "timesteps"),
        ({"timesteps": 4, "by": "number"}, "by: expected one of time, count, window; received 'number'"),
        ({"timesteps": 4, "by": "time", "window_us": 10}, "with by='window' alone"),
        ({"timesteps": 4, "by": "window"}, "window_us"),
        ({"window_us": 0}, "window_us"),
        ({"timesteps": 5001, "by": "count"}, "5,000 events, fewer than the 5001 frames"),
        ({"timesteps": 4, "binary": True, "log": True}, "received both"),
    ],
)
def test_wrong_arguments_are_refused(arguments, says):
    with pytest.raises(ValueError, match=says):
        events.to_frames(recording(), **arguments)


def test_frames_that_would_fill_the_memory_are_refused_before_they_are_made():
    long = Recording([0, 10**15], [0, 0], [0, 0], [0, 1], (720, 1280))
    with pytest.raises(
        ValueError, match=r"1,000,000,000,000,001 of \(720, 1280\) pixels do not. Take a longer window_us"
    ):
        events.to_frames(long, window_us=1)


def test_a_recording_that_cannot_be_cut_is_refused_by_name():
    short = Recording([0, 1, 2, 3], [0] * 4, [0] * 4, [0] * 4, (1, 1), source="short.bin")
    with pytest.raises(ValueError, match="short.bin lasts 3 microseconds, fewer than the 4 frames"):
        events.to_frames(short, timesteps=4, by="time")
    with pytest.raises(ValueError, match="short.bin holds no event"):
        events.to_frames(short.chosen(slice(0, 0)), timesteps=4)


# Filters and sizes.


def test_resizing_sums_and_cropping_keeps_what_is_inside():
    whole = recording(sensor_size=(20, 30))
    counts = events.to_frames(whole, timesteps=4)
    half = events.to_frames(events.resize(whole, (10, 15)), timesteps=4)
    np.testing.assert_array_equal(half, counts.reshape(4, 10, 2, 15, 2, 2).sum(axis=(2, 4)))
    odd = events.to_frames(events.resize(whole, (7, 11)), timesteps=4)
    assert odd.shape == (4, 7, 11, 2) and odd.sum() == 5000
    cropped = events.crop(whole, (8, 10), corner=(3, 5))
    inside = counts[:, 3:11, 5:15].sum(axis=0)
    np.testing.assert_array_equal(events.to_frames(cropped, 1, "count")[0], inside)
    assert events.crop(whole, (8, 10)).sensor_size == (8, 10)
    for call, says in (
        (lambda: events.crop(whole, (21, 5)), "inside the sensor"),
        (lambda: events.resize(whole, (40, 5)), "up to"),
    ):
        with pytest.raises(ValueError, match=says):
            call()


def test_area_shares_counts_and_equals_sums_where_sizes_divide():
    counts = events.to_frames(recording(sensor_size=(20, 30)), timesteps=3)
    np.testing.assert_array_equal(by_area(counts, (10, 15)), counts.reshape(3, 10, 2, 15, 2, 2).sum(axis=(2, 4)))
    shared = by_area(counts, (7, 11))
    assert shared.dtype == np.float32
    np.testing.assert_allclose(shared.sum(axis=(1, 2)), counts.sum(axis=(1, 2)), rtol=1e-5)


def test_hot_pixels_are_removed_and_busy_ones_stay():
    quiet = recording(n=6000, sensor_size=(20, 30))
    n = 2000
    t = np.concatenate([quiet.t, np.linspace(0, 99_999, n).astype(int)])
    order = np.argsort(t, kind="stable")
    x, y = np.append(quiet.x, np.full(n, 7)), np.append(quiet.y, np.full(n, 5))
    hot = Recording(t[order], x[order], y[order], np.append(quiet.p, np.ones(n, int))[order], (20, 30))
    left = events.remove_hot_pixels(hot)
    at = (hot.x == 7) & (hot.y == 5)
    np.testing.assert_array_equal(left.t, hot.t[~at])
    assert len(events.remove_hot_pixels(quiet)) == 6000


def test_a_pixel_is_silent_for_its_refractory_time_after_an_event_that_was_kept():
    t = [0, 4, 9, 10, 12, 19, 21, 22]
    x = [0, 0, 0, 0, 1, 0, 0, 1]
    made = Recording(t, x, [0] * 8, [1] * 8, (1, 2))
    assert events.refractory(made, 10).t.tolist() == [0, 10, 12, 21, 22]
    rng = np.random.default_rng(1)
    many = Recording(
        np.sort(rng.integers(0, 3000, 900)), rng.integers(0, 5, 900), rng.integers(0, 4, 900), [1] * 900, (4, 5)
    )
    last, kept = {}, []
    for k in range(900):  # the rule, event by event
        key = many.x[k], many.y[k]
        if key not in last or many.t[k] - last[key] >= 40:
            last[key] = many.t[k]
            kept.append(k)
    left = events.refractory(many, 40)
    np.testing.assert_array_equal(np.asarray(left), np.asarray(many)[kept])


# Settings.


def test_settings_round_trip_as_json_and_say_the_shape():
    settings = Framing(8, "window", 5_000, hot_pixels=10, refractory_us=100, crop=(16, 16), size=(8, 8), binary=True)
    assert Framing.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
    assert settings.shape((20, 30)) == (8, 8, 8, 2) and settings.frames(recording()).shape == (8, 8, 8, 2)
    assert Framing(8, voxels=True).shape((20, 30)) == (8, 20, 30, 1)
    assert Framing(4).counts((20, 30)) and not Framing(4, log=True).counts((20, 30))
    assert Framing(4, size=(10, 15), resize="area").counts((20, 30))
    assert not Framing(4, size=(7, 15), resize="area").counts((20, 30))


@pytest.mark.parametrize(
    "extra", [{}, {"log": True}, {"voxels": True}, {"size": (7, 11), "resize": "area"}, {"binary": True}]
)
def test_settings_frame_as_the_functions_do(extra):
    made = Framing(4, **extra).frames(recording())
    plain = events.to_frames(recording(), timesteps=4)
    expected = {
        "log": lambda: np.log1p(plain, dtype=np.float32),
        "voxels": lambda: events.voxel_grid(recording(), 4),
        "size": lambda: by_area(plain, (7, 11)),
        "binary": lambda: np.minimum(plain, 1),
    }
    np.testing.assert_array_equal(made, expected[next(iter(extra))]() if extra else plain)
    assert made.dtype == (np.int32 if not extra or "binary" in extra else np.float32)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"size": (8, 0)}, "size: expected"),
        ({"resize": "mean"}, "resize expected 'sum' or 'area'"),
        ({"log": True, "binary": True}, "one of binary, log and voxels"),
        ({"voxels": True, "by": "count"}, "voxels share events by time"),
        ({"hot_pixels": 0.5}, "hot_pixels"),
        ({"refractory_us": 0}, "refractory_us"),
        ({"by": "window"}, "window_us"),
    ],
)
def test_wrong_settings_are_refused(wrong, says):
    with pytest.raises(ValueError, match=says):
        Framing(timesteps=4, **wrong)


def test_settings_of_another_sensor_and_unknown_ones_are_refused():
    with pytest.raises(ValueError, match=r"size expected at most \(20, 30\) pixels"):
        Framing(4, size=(32, 32)).shape((20, 30))
    with pytest.raises(ValueError, match="timesteps expected"):
        Framing(by="window", window_us=5).shape((20, 30))
    with pytest.raises(ValueError, match="no 'timestep'. Did you mean 'timesteps'"):
        Framing.from_dict({"timestep": 3})
