"""Recordings: what is mended and said, what is refused, and what they give."""

import warnings

import numpy as np
import pytest

from kspike.data import events
from kspike.data.events.recording import DTYPE

pytestmark = pytest.mark.once


def made(t=(0, 10, 20), x=(1, 2, 3), y=(3, 2, 1), p=(0, 1, 1), sensor_size=(8, 8), **options):
    return events.Recording(t, x, y, p, sensor_size, **options)


def test_a_sound_recording_is_taken_as_it_is_without_a_word():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recording = made(source="mine")
    assert (recording.t.tolist(), recording.p.tolist(), recording.notes) == ([0, 10, 20], [0, 1, 1], ())
    assert (len(recording), recording.duration, recording.sensor_size) == (3, 20, (8, 8))
    assert "mine: 3 events in 2e-05 s, 8x8 pixels" in repr(recording)
    table = np.asarray(recording)
    assert table.dtype == DTYPE and table["x"].tolist() == [1, 2, 3]
    assert recording.between(10, 20).t.tolist() == [10]


def test_unsorted_events_are_sorted_together():
    with pytest.warns(UserWarning, match="times fell at 1 of 3 events, which were sorted"):
        recording = made(t=[20, 0, 10])
    assert (recording.t.tolist(), recording.x.tolist(), recording.p.tolist()) == ([0, 10, 20], [2, 3, 1], [1, 1, 0])
    # Events of one time keep their order.
    with pytest.warns(UserWarning, match="sorted"):
        assert made(t=[5, 5, 0]).x.tolist() == [3, 1, 2]


@pytest.mark.parametrize(
    ("bits", "dtype"), [(23, np.int64), (24, np.uint32), (32, np.uint32), (31, np.int32), (34, np.int64)]
)
def test_a_counter_that_began_again_goes_on(bits, dtype):
    whole = 1 << bits
    times = np.array([whole - 20, whole - 5, 3, 30], np.int64)
    with pytest.warns(UserWarning, match=f"began again 1 time.*counter of {bits} bits"):
        assert np.diff(made(t=times.astype(dtype), x=[1] * 4, y=[1] * 4, p=[0] * 4).t).tolist() == [15, 8, 27]


def test_a_signed_counter_goes_on_too():
    times = np.array([2**31 - 10, 2**31 - 1, -(2**31), -(2**31) + 5], np.int64).astype(np.int32)
    with pytest.warns(UserWarning, match="counter of 32 bits"):
        assert np.diff(made(t=times, x=[1] * 4, y=[1] * 4, p=[0] * 4).t).tolist() == [9, 1, 5]


def test_units_are_recognised_where_one_alone_will_do():
    with pytest.warns(UserWarning, match="taken for seconds"):
        assert made(t=[0.0, 0.000123, 1.000001]).t.tolist() == [0, 123, 1_000_001]
    with pytest.warns(UserWarning, match="taken for nanoseconds"):
        start = 1_700_000_000_000_000_000
        assert np.diff(made(t=[start, start + 5_000, start + 7_000]).t).tolist() == [5, 2]
    for unit, times in (("s", [0.0, 0.5, 2.0]), ("ms", [0.0, 500.0, 2000.0]), ("ns", [0, 500_000_000, 2_000_000_000])):
        assert made(t=times, time_unit=unit).t.tolist() == [0, 500_000, 2_000_000]
    assert made(t=[0.0, 5.0, 9.0]).t.tolist() == [0, 5, 9]  # whole: microseconds


@pytest.mark.parametrize("times", [[0.0, 0.5, 1.25], [0.0, 0.123, 0.5], np.array([0.1, 0.2, 0.3], np.float32)])
def test_fractions_that_may_be_two_units_are_refused(times):
    with pytest.raises(ValueError, match="whole microseconds.*time_unit='s' or 'ms'"):
        made(t=times)


@pytest.mark.parametrize("dtype", [np.int8, np.float32])
def test_polarities_of_minus_one_are_off(dtype):
    with pytest.warns(UserWarning, match="polarities of -1 are read as OFF"):
        assert made(p=np.array([-1, 1, -1], dtype)).p.tolist() == [0, 1, 0]
    assert made(p=np.array([True, False, True])).p.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"p": [0, 1, 2]}, "from 0 to 2"),
        ({"p": [1, 2, 1]}, "from 1 to 2"),
        ({"p": [-1, 0, 1]}, "0 among them"),
        ({"p": [0.0, 0.5, 1.0]}, "polarities"),
        ({"x": [1, 2, 8]}, r"x of the recording to be from 0 to 7 .*received 8 at event 2"),
        ({"y": [1, -1, 2]}, "received -1 at event 1"),
        ({"x": [1.5, 2, 3]}, "whole pixels; received 1.5"),
        ({"x": [1, 2]}, "one length; received t 3, x 2"),
        ({"t": [0, np.nan, 1]}, "NaN or infinity at event 1"),
        ({"t": ["a", "b", "c"]}, "one line of numbers"),
        ({"t": [[0], [1], [2]]}, "one line of numbers"),
        ({"t": [True, False, True]}, "times; received True"),
        ({"t": np.array([0, 1, 2**63], np.uint64), "time_unit": "us"}, r"below 2\*\*63"),
        ({"time_unit": "h"}, "one of us, ms, s, ns"),
        ({"sensor_size": (8,)}, r"\(height, width\)"),
        ({"sensor_size": 8}, r"\(height, width\)"),
        ({"sensor_size": (8, 0)}, r"\(height, width\)"),
    ],
)
def test_what_cannot_be_is_refused(wrong, says):
    with pytest.raises(ValueError, match=says):
        made(**wrong)


def test_no_events_need_a_sensor():
    assert len(made([], [], [], [])) == 0
    with pytest.raises(ValueError, match="holds no event"):
        made([], [], [], [], sensor_size=None)
    with pytest.warns(UserWarning, match=r"largest coordinates, \(4, 4\)"):
        assert made(sensor_size=None).sensor_size == (4, 4)


def test_structured_arrays_of_others_are_taken_as_they_are():
    tonic = np.array([(1, 3, 5, True), (2, 4, 9, False)], dtype=[("x", "i2"), ("y", "i2"), ("t", "i8"), ("p", "?")])
    for value in (tonic, {name: tonic[name] for name in "txyp"}, np.asarray(events.as_recording(tonic, (8, 8)))):
        recording = events.as_recording(value, sensor_size=(8, 8))
        assert [getattr(recording, name).tolist() for name in "txyp"] == [[5, 9], [1, 2], [3, 4], [1, 0]]
    assert events.as_recording(recording) is recording
    with pytest.raises(ValueError, match=r"of \(4, 4\) pixels.*received \(8, 8\)"):
        events.as_recording(recording, sensor_size=(4, 4))
    with pytest.raises(ValueError, match="A file is read by kspike.events.read"):
        events.as_recording("a.bin")
