"""Every format: files of known events as others wrote them, cut files, damaged files, wrong names."""

import os
import struct
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from kspike import _zip
from kspike.data import events
from kspike.data.events import reading

pytestmark = pytest.mark.once

FILES = Path(__file__).parent / "files"
#: File -> how much later its times are than the truth's, in microseconds.
KNOWN = {
    "a.bin": 0,
    "a.dat": 0,
    "a20.aedat": 0,
    "a31.aedat": 0,
    "a2.raw": 0,
    "a3.raw": 0,
    "a4.aedat4": 1_000_000,
    "truth.npz": 0,
}
#: Those that do not say the sensor's size.
UNSAID = ("a.bin", "a.dat", "truth.npz")


@pytest.fixture(scope="module")
def truth():
    with np.load(FILES / "truth.npz") as file:
        return {name: file[name].astype(np.int64) for name in "txyp"}


def read(path, **options):
    return reading.read_quietly(path, **options)


def assert_equal(recording, truth, later=0):
    assert {name: getattr(recording, name).dtype.str for name in "txyp"} == {
        "t": "<i8",
        "x": "<u2",
        "y": "<u2",
        "p": "|u1",
    }
    np.testing.assert_array_equal(recording.t, truth["t"] + later)
    for name in "xyp":
        np.testing.assert_array_equal(getattr(recording, name), truth[name])


@pytest.mark.parametrize("name", KNOWN)
def test_every_event_of_a_known_file_is_read(name, truth):
    if name.endswith("aedat4"):
        pytest.importorskip("aedat")
    recording = read(FILES / name, sensor_size=(128, 128))
    assert_equal(recording, truth, KNOWN[name])
    assert recording.sensor_size == (128, 128) and recording.notes == ()
    assert recording.source.endswith(name)


@pytest.mark.parametrize("name", UNSAID[:1] + UNSAID[2:])
def test_a_size_that_nobody_says_is_taken_from_the_events_and_said(name, truth):
    with pytest.warns(UserWarning, match=f"{name}: the sensor's size is not known .*128, 128"):
        assert events.read(FILES / name).sensor_size == (128, 128)


def test_a_size_that_is_not_the_files_is_refused():
    with pytest.raises(ValueError, match=r"a31.aedat says .*\(128, 128\).*received sensor_size=\(34, 34\)"):
        events.read(FILES / "a31.aedat", sensor_size=(34, 34))
    with pytest.raises(ValueError, match="a.bin to be from 0 to 33.*Give the sensor's own size"):
        events.read(FILES / "a.bin", sensor_size=(34, 34))


def test_content_tells_the_format_before_the_name_does(tmp_path, truth):
    for name, other in (("a20.aedat", "x.dat"), ("a31.aedat", "x.bin"), ("truth.npz", "x.npy")):
        (tmp_path / other).write_bytes((FILES / name).read_bytes())
        assert_equal(read(tmp_path / other, sensor_size=(128, 128)), truth)


# Cut and damaged files. A cut one gives its first events and says so; no file ever gives others, or none without an
# error.


def readable(path):
    try:
        return read(path, sensor_size=(128, 128))
    except ValueError as error:
        assert str(path) in str(error)
        return None


@pytest.mark.parametrize("name", ["a.bin", "a.dat", "a20.aedat", "a31.aedat", "a2.raw", "a3.raw"])
def test_a_cut_file_is_read_to_its_last_whole_event(name, tmp_path, truth):
    content = (FILES / name).read_bytes()
    path, lengths = tmp_path / name, []
    for length in [*range(len(content) - 40, len(content)), *range(0, len(content), 97)]:
        path.write_bytes(content[:length])
        recording = readable(path)
        if recording is not None:
            n = len(recording)
            lengths.append((length, n))
            assert_equal(recording, {k: v[:n] for k, v in truth.items()})
    assert [n for _, n in sorted(lengths)] == sorted(n for _, n in lengths) and lengths[39][1] >= 998
    path.write_bytes(content[:-1])
    assert any("ends inside" in note for note in read(path, sensor_size=(128, 128)).notes)


@pytest.mark.parametrize("kind", ["rows", "structured"])
def test_a_cut_npy_file_is_read_to_its_last_whole_event(kind, tmp_path, truth):
    rows = np.stack([truth[name] for name in "txyp"], axis=1)
    if kind == "structured":
        rows = np.rec.fromarrays(rows.T, names="t,x,y,p")
    np.save(tmp_path / "a.npy", rows)
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-40])
    recording = read(tmp_path / "a.npy", sensor_size=(128, 128))
    assert_equal(recording, {k: v[:998] for k, v in truth.items()})
    assert recording.notes == ("the file is cut: 998 of 1,000 events were read",)


def attacked(name, count, path):
    """Random bytes of a known file changed: an error that names the file, or events, never anything else."""
    rng = np.random.default_rng([24, *name.encode()])
    content = np.frombuffer((FILES / name).read_bytes(), np.uint8)
    for _ in range(count):
        changed = content.copy()
        where = rng.integers(0, min(len(changed), int(rng.choice([300, len(changed)]))), rng.integers(1, 9))
        changed[where] = rng.integers(0, 256, len(where))
        path.write_bytes(changed[: rng.integers(1, len(changed) + 1)].tobytes())
        recording = readable(path)
        assert recording is None or len(recording) > 0


COUNTS = [pytest.param(2000, marks=pytest.mark.proof), 200]


@pytest.mark.parametrize("count", COUNTS)
# Not a4.aedat4: the package aedat 2.3.0 ends the whole process at some damaged files (docs/events.md says so).
@pytest.mark.parametrize("name", [name for name in KNOWN if name != "a4.aedat4"])
def test_a_damaged_file_is_an_error_or_events(name, count, tmp_path):
    attacked(name, count, tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.bin", b"", "is empty"),
        ("a.bin", b"\1\2", "holds no event"),
        ("a.dat", (FILES / "a.dat").read_bytes()[:100], "holds no event"),
        ("a.aedat", b"#!AER-DAT1.0\r\n\0\0", "is AEDAT 1.0; known are 2.0, 3.1 and 4.0"),
        ("a.aedat", b"#!AER-DAT3.1\r\n#Format: RAW\r\n", "header has no end"),
        ("a.txt", b"0.1 2 3 1\n", "of no known format.*Known: .bin.*format="),
        ("a.raw", b"% evt 2.1\n% end\n\0\0\0\0", "says EVT2.1, and EVT2 and EVT3 are known"),
        ("a.raw", b"% date today\n\0\0\0\0", "does not say which words"),
        ("a.raw", b"\0\0\0\0", "of no known format"),
        ("a.dat", b"% version 1\n\0\x08\0\0", "version 1"),
        ("a.dat", b"% Version 2\n\x0e\x08\0\0", "received type 14"),
        ("a.npz", b"PK\3\4 no archive", "damaged or cut"),
        ("a.npy", b"\x93NUMPY\1\0", "cannot be read as a NumPy array"),
        ("a.h5", b"\x89HDF\r\n\x1a\n\0\0", "cannot be read as HDF5"),
    ],
)
def test_what_is_no_recording_is_refused_by_name(name, content, says, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=says) as caught:
        events.read(tmp_path / name)
    assert name in str(caught.value)


def test_wrong_arguments_are_refused(tmp_path):
    for arguments, says in (
        ({"format": "aedat5"}, "format: expected one of bin, aedat2"),
        ({"time_unit": "ms"}, "takes none of them; received time_unit="),
        ({"sensor_size": (0, 34)}, "two whole numbers"),
    ):
        with pytest.raises(ValueError, match=says):
            events.read(FILES / "a.bin", **arguments)
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        events.read(tmp_path / "none.bin")
    with pytest.raises(ValueError, match="user whom this machine does not"):
        events.read("~nobody-of-this-name/a.bin")


@pytest.mark.parametrize("length", [9000, 600, 50])
def test_a_cut_aedat4_file_is_an_error(length, tmp_path):
    pytest.importorskip("aedat")
    (tmp_path / "a.aedat4").write_bytes((FILES / "a4.aedat4").read_bytes()[:length])
    with pytest.raises(ValueError, match="a.aedat4 cannot be read as AEDAT 4.0: it is damaged or cut"):
        events.read(tmp_path / "a.aedat4")


def test_aedat4_without_its_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "aedat", None)
    with pytest.raises(ImportError, match=r"a4.aedat4 is AEDAT 4.0.*pip install 'kspike\[events\]'"):
        events.read(FILES / "a4.aedat4")


# What the formats can hold and the known files have not, by writers of this file.


def test_bin_the_row_240_moves_the_clock_on(tmp_path):
    rows = [(3, 4, 0x80, 0, 10), (0, 240, 0, 0, 0), (5, 6, 0, 0, 20), (0, 240, 0, 0, 0), (7, 8, 0x80, 1, 1)]
    (tmp_path / "a.bin").write_bytes(bytes(value for row in rows for value in row))
    recording = read(tmp_path / "a.bin", sensor_size=(34, 34))
    assert recording.t.tolist() == [10, 8192 + 20, 2 * 8192 + 257]
    assert (recording.x.tolist(), recording.y.tolist(), recording.p.tolist()) == ([3, 5, 7], [4, 6, 8], [1, 0, 1])


def test_aedat2_of_a_davis_and_what_is_no_event(tmp_path):
    def davis(x, y, p, special=0, aps=0):
        return aps << 31 | y << 22 | x << 12 | p << 11 | special << 10

    pairs = [
        (davis(239, 179, 1), 5),
        (davis(9, 9, 1, aps=1), 6),
        (davis(9, 9, 1, special=1), 7),
        (davis(35, 140, 0), 8),
    ]
    body = b"".join(struct.pack(">II", *pair) for pair in pairs)
    path = tmp_path / "a.aedat"
    path.write_bytes(b"#!AER-DAT2.0\r\n# chip DAVIS240C\r\n" + body)
    for options in ({}, {"camera": "davis240"}):
        recording = read(path, **options)
        assert (recording.t.tolist(), recording.x.tolist(), recording.y.tolist()) == ([5, 8], [239, 35], [179, 140])
        assert recording.p.tolist() == [1, 0] and recording.sensor_size == (180, 240)
    path.write_bytes(b"#!AER-DAT2.0\r\n" + body)
    with pytest.raises(ValueError, match="is no DVS128's.*camera='davis240'"):
        read(path)
    # An address that begins with "#" is no line of the header.
    path.write_bytes(b"#!AER-DAT2.0\r\n" + struct.pack(">II", davis(0, 0x8C, 1) | 0x23 << 24, 10) + body)
    assert len(read(path, camera="davis240")) == 3


def test_aedat2_times_wrap_and_special_events_are_left_out(tmp_path):
    pairs = [(3 << 8 | 2 << 1, 0xFFFFFFF0), (0x8000, 0xFFFFFFF8), (3 << 8 | 2 << 1 | 1, 4)]
    (tmp_path / "a.aedat").write_bytes(b"#!AER-DAT2.0\r\n" + b"".join(struct.pack(">II", *pair) for pair in pairs))
    recording = read(tmp_path / "a.aedat")
    assert recording.t.tolist() == [0xFFFFFFF0, (1 << 32) + 4] and recording.p.tolist() == [1, 0]
    assert (recording.x.tolist(), recording.y.tolist()) == ([2, 2], [3, 3])


def packet(events, kind=1, overflow=0, size=8):
    header = struct.pack("<hhiiiiii", kind, 1, size, 4, overflow, len(events), len(events), len(events))
    return header + b"".join(struct.pack("<II", x << 17 | y << 2 | p << 1 | valid, t) for t, x, y, p, valid in events)


def test_aedat3_overflows_other_packets_and_invalid_events(tmp_path):
    body = packet([(5, 300, 200, 1, 1), (6, 1, 1, 1, 0)]) + packet([(1, 0, 0, 0, 0)], kind=0) + packet([], kind=1)
    body += packet([(7, 345, 259, 0, 1)], overflow=1)
    path = tmp_path / "a.aedat"
    path.write_bytes(b"#!AER-DAT3.1\r\n#Source 1: DAVIS346\r\n#!END-HEADER\r\n" + body)
    recording = read(path)
    assert recording.t.tolist() == [5, (1 << 31) + 7] and recording.x.tolist() == [300, 345]
    assert recording.y.tolist() == [200, 259] and recording.p.tolist() == [1, 0] and recording.sensor_size == (260, 346)
    assert recording.notes == ("1 event(s) that the file marks as invalid were left out",)
    path.write_bytes(b"#!AER-DAT3.1\r\n#!END-HEADER\r\n" + packet([(1, 0, 0, 0, 1)], size=0))
    with pytest.raises(ValueError, match="the packet at byte"):
        read(path)


def evt3(*words):
    return b"% evt 3.0\n% geometry 640x480\n% end\n" + b"".join(
        struct.pack("<H", kind << 12 | value) for kind, value in words
    )


def test_evt3_groups_of_pixels_and_clocks(tmp_path):
    path = tmp_path / "a.raw"
    path.write_bytes(
        evt3(
            # a group of x 100, 111, 112 and 119
            (8, 1), (6, 5), (0, 10), (3, 1 << 11 | 100), (4, 0b1000_0000_0001), (5, 0b1000_0001),
            (2, 7), (8, 1), (2, 1 << 11 | 8),  # a repeated upper half keeps the lower
            # a new one begins at zero; bit 11 of a row is no part of it
            (8, 2), (0, 11 | 1 << 11), (2, 9), (6, 4), (2, 9),
            (10, 3), (14, 3), (7, 1), (15, 1), (3, 4), (5, 0b10),  # triggers and others are no events
        )
    )  # fmt: skip
    recording = read(path)
    start = (1 << 12) + 5
    assert recording.t.tolist() == [start] * 6 + [2 << 12, (2 << 12) + 4, (2 << 12) + 4]
    assert recording.x.tolist() == [100, 111, 112, 119, 7, 8, 9, 9, 5]
    assert recording.y.tolist() == [10] * 6 + [11] * 3 and recording.p.tolist() == [1] * 4 + [0, 1, 0, 0, 0]
    assert recording.sensor_size == (480, 640)


def test_evt3_times_wrap_and_what_stands_before_them_is_said(tmp_path):
    path = tmp_path / "a.raw"
    path.write_bytes(evt3((0, 1), (2, 5), (8, 4095), (6, 1), (2, 6), (8, 0), (6, 2), (2, 7)))
    recording = read(path)
    assert recording.t.tolist() == [(4095 << 12) + 1, (1 << 24) + 2] and recording.x.tolist() == [6, 7]
    assert recording.notes == ("1 event(s) before the first time were left out",)
    path.write_bytes(evt3((8, 0), (6, 1), (2, 3), (0, 9), (2, 6)))
    recording = read(path)
    assert recording.x.tolist() == [6] and "before the first row" in recording.notes[0]
    path.write_bytes(evt3((0, 1), (2, 5)))
    with pytest.raises(ValueError, match="no word of it says a time"):
        read(path)
    path.write_bytes(evt3((8, 0), (0, 1), (4, 5)))
    with pytest.raises(ValueError, match="before its first x"):
        read(path)


def test_evt2_times_wrap_and_words_without_a_header_are_read_by_name(tmp_path):
    words = [
        (8 << 28) | 0xFFFFFFF,
        1 << 28 | 63 << 22 | 7 << 11 | 9,
        0xA << 28,
        8 << 28,
        0 << 28 | 1 << 22 | 8 << 11 | 10,
    ]
    path = tmp_path / "a.raw"
    path.write_bytes(struct.pack(f"<{len(words)}I", *words))
    recording = read(path, sensor_size=(480, 640), format="evt2")
    assert recording.t.tolist() == [(1 << 34) - 1, (1 << 34) + 1]
    assert (recording.x.tolist(), recording.y.tolist(), recording.p.tolist()) == ([7, 8], [9, 10], [1, 0])


@pytest.mark.parametrize("order", ["txyp", "xytp", "xypt", "ptxy"])
@pytest.mark.parametrize("turned", [False, True])
def test_plain_arrays_in_the_usual_orders(order, turned, tmp_path, truth):
    rows = np.stack([truth[name] for name in order], axis=1)
    np.save(tmp_path / "a.npy", rows.T if turned else rows)
    for options in ({}, {"order": order}):
        assert_equal(read(tmp_path / "a.npy", sensor_size=(128, 128), **options), truth)


def test_columns_that_do_not_tell_are_asked_for(tmp_path, truth):
    rows = np.stack([truth["t"], truth["x"] % 2, truth["y"], truth["p"]], axis=1)
    np.save(tmp_path / "a.npy", rows)
    with pytest.raises(ValueError, match="do not tell which is which.*order='txyp'"):
        read(tmp_path / "a.npy")
    assert_equal(read(tmp_path / "a.npy", order="txyp", sensor_size=(128, 128)), {**truth, "x": truth["x"] % 2})
    with pytest.raises(ValueError, match="order: expected the letters"):
        read(tmp_path / "a.npy", order="txy")


@pytest.mark.parametrize("names", ["t,x,y,p", "ts,xs,ys,pol", "timestamp,x,y,polarity", "x,y,t,p"])
def test_names_of_others_in_npz_structured_arrays_and_hdf5(names, tmp_path, truth):
    letter = {"ts": "t", "timestamp": "t", "xs": "x", "ys": "y", "pol": "p", "polarity": "p"}
    arrays = {name: truth[letter.get(name, name)] for name in names.split(",")}
    np.savez(tmp_path / "a.npz", **arrays, label=np.array(3))
    np.save(tmp_path / "a.npy", np.rec.fromarrays(list(arrays.values()), names=names))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, array in arrays.items():
            file[f"events/{name}"] = array
        file.attrs["sensor_size"] = (128, 128)
    with h5py.File(tmp_path / "b.hdf5", "w") as file:
        file["CD/events"] = np.rec.fromarrays(list(arrays.values()), names=names)
        file.attrs["geometry"] = "128x128"
    for name in ("a.npz", "a.npy", "a.h5", "b.hdf5"):
        assert_equal(read(tmp_path / name, sensor_size=(128, 128)), truth)


def test_hdf5_adds_the_offset_of_dsec_and_refuses_two_streams(tmp_path, truth):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name in "txyp":
            file[f"events/{name}"] = truth[name]
        file["t_offset"] = 1 << 40
    assert_equal(read(tmp_path / "a.h5", sensor_size=(128, 128)), truth, 1 << 40)
    with h5py.File(tmp_path / "a.h5", "a") as file:
        for name in "txyp":
            file[f"right/{name}"] = truth[name]
    with pytest.raises(ValueError, match="/events, /right"):
        read(tmp_path / "a.h5")


def test_files_that_claim_more_than_they_hold_take_no_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(_zip, "FREE_BYTES", 1000)  # else it takes 64 MB of them
    np.savez_compressed(tmp_path / "a.npz", **{name: np.zeros(10**5) for name in "txyp"})
    with pytest.raises(ValueError, match="would unpack to"):
        read(tmp_path / "a.npz")
    np.save(tmp_path / "a.npy", np.array([[10, 9, 3, 1], [20, 5, 7, 0], [30, 8, 2, 1]]))
    content = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(content.replace(b"(3, 4), }".ljust(24), b"(2000000000000000, 4), }"))
    recording = read(tmp_path / "a.npy")
    assert len(recording.t) == 3 and "3 of 2,000,000,000,000,000 events were read" in recording.notes[0]
    os.mkfifo(tmp_path / "b.npy")
    with pytest.raises(ValueError, match="is a pipe or a device"):
        read(tmp_path / "b.npy")


def test_objects_in_npy_files_are_never_loaded(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"t": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="Python objects, which are never loaded"):
        read(tmp_path / "a.npy")
