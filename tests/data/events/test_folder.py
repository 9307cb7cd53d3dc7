"""One's own folder: classes, splits by recording, group and time, windows, sizes, and frames kept on the disk."""

import json

import numpy as np
import pytest

from kspike import data
from kspike.data.events import Framing, frame_cache, reading

pytestmark = pytest.mark.once


def write(path, seed=0, n=200, end=1_000_000, size=(16, 20), **extra):
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    t = np.sort(rng.integers(0, end, n))
    np.savez(path, t=t, x=rng.integers(0, size[1], n), y=rng.integers(0, size[0], n), p=rng.integers(0, 2, n), **extra)


@pytest.fixture
def folder(tmp_path):
    for label, name in enumerate(("cup", "pen")):
        for k in range(12):
            write(tmp_path / "mine" / name / f"user{k % 6}_take{k}.npz", seed=100 * label + k)
    return tmp_path / "mine"


def load(folder, **options):
    return data.from_events(folder, **{"timesteps": 4, "sensor_size": (16, 20), "cache": False, **options})


def ids(dataset):
    return {part: getattr(dataset, part).ids.tolist() for part in ("train", "validation", "test")}


def test_a_folder_of_classes_is_a_data_set(folder):
    dataset = load(folder)
    assert (dataset.name, dataset.class_names, dataset.input_shape) == ("mine", ("cup", "pen"), (4, 16, 20, 2))
    found = ids(dataset)
    assert sorted(sum(found.values(), [])) == sorted(
        f"{c}/user{k % 6}_take{k}" for c in ("cup", "pen") for k in range(12)
    )
    assert [len(part) for part in found.values()] == [15, 3, 6] or [len(part) for part in found.values()] == [16, 3, 5]
    for part in ("train", "validation", "test"):
        split = getattr(dataset, part)
        assert (split.images.sum(axis=(1, 2, 3, 4)) == 200).all()
        assert [i.split("/")[0] == "pen" for i in split.ids] == split.labels.tolist()
    images, labels = dataset.train[0]
    assert images.dtype == np.float32 and labels.dtype == np.int32
    assert ids(load(folder, seed=5)) == found  # a seed only shuffles


@pytest.mark.parametrize(
    "options", [{"group": r"user(\d)"}, {"cut_us": 200_000}, {"group": r"user(\d)", "cut_us": 150_000}]
)
def test_windows_and_groups_never_fall_into_two_parts(folder, options):
    dataset = load(folder, **options)
    key = lambda i: i.split("user")[1][0] if "group" in options else i.partition("@")[0]
    groups = [{key(i) for i in part} for part in ids(dataset).values()]
    assert all(groups) and sum(map(len, groups)) == len(set.union(*groups))
    if "cut_us" in options:
        windows = 5 if options["cut_us"] == 200_000 else 6
        assert sum(map(len, ids(dataset).values())) in range(24 * (windows - 1), 24 * windows + 1)


def test_by_time_the_first_of_each_recording_trains_and_the_last_tests(folder):
    dataset = load(folder, split="time", cut_us=50_000)
    with pytest.warns(UserWarning, match="mine: 3 windows of fewer than 4 events were left out"):
        dataset.train  # noqa: B018
    found = {part: [(i.partition("@")[0], int(i[-5:])) for i in part_ids] for part, part_ids in ids(dataset).items()}
    for recording in {name for name, _ in found["train"]}:
        numbers = {part: [k for name, k in pairs if name == recording] for part, pairs in found.items()}
        assert max(numbers["train"]) < min(numbers["validation"]) <= max(numbers["validation"]) < min(numbers["test"])
        assert 0.25 < len(numbers["test"]) / sum(map(len, numbers.values())) < 0.35
    assert dataset.events["split"] == "time" and dataset.events["cut_us"] == 50_000
    with pytest.raises(ValueError, match="split='time' cuts windows of recordings; pass cut_us="):
        load(folder, split="time").train  # noqa: B018


def test_a_class_that_would_not_be_trained_is_refused(tmp_path):
    for name in ("cup", "pen", "key"):
        write(tmp_path / name / "one.npz")
    with pytest.raises(ValueError, match=r"has 1 recording\(s\) or group\(s\), and none is left to train on"):
        load(tmp_path, cut_us=100_000).train  # noqa: B018
    assert load(tmp_path, cut_us=50_000, split="time").train.num_examples > 0


def test_parts_in_folders_are_taken_as_they_are(tmp_path):
    for part, count in (("train", 4), ("Validation", 2), ("test", 3)):
        for name in ("cup", "pen"):
            for k in range(count):
                write(tmp_path / part / name / f"{k}.npz", seed=k)
    found = ids(load(tmp_path))
    assert [len(part) for part in found.values()] == [8, 4, 6]
    assert all(i.startswith("test/") for i in found["test"]) and all(
        i.startswith("validation/") for i in found["validation"]
    )


def test_frames_are_made_as_the_settings_say(folder):
    framing = Framing(timesteps=5, by="count", size=(8, 10), refractory_us=10)
    dataset = load(folder, timesteps=None, framing=framing)
    name = dataset.test.ids[0]
    recording = reading.read_quietly(folder / f"{name}.npz", (16, 20))
    np.testing.assert_array_equal(dataset.test.images[0], framing.frames(recording))
    assert Framing.from_dict(dataset.to_dict()["events"]["framing"]) == framing
    assert load(folder, timesteps=None, framing=framing.to_dict()).input_shape == (5, 8, 10, 2)


def test_bad_folders_are_refused_with_the_place(tmp_path):
    for make, says in (
        (lambda: None, "There is no folder"),
        (lambda: (tmp_path / "x").mkdir(), "expected one for each of at least two classes"),
        (
            lambda: [(tmp_path / "x" / c).mkdir() for c in "ab"],
            "holds no recording in its classes' folders; known are .bin",
        ),
        (
            lambda: [write(tmp_path / "x" / c / "a.npz") for c in "ab"],
            "a.npz does not say the size of its sensor: pass sensor_size",
        ),
    ):
        make()
        with pytest.raises(ValueError, match=says):
            data.from_events(tmp_path / "x", timesteps=4)
    with pytest.raises(ValueError, match=r"/b is none of the classes a, c"):
        load(tmp_path / "x", class_names=("a", "c"))
    with pytest.raises(ValueError, match="group: 'user' finds nothing in a/a.npz"):
        load(tmp_path / "x", group="user")
    with pytest.raises(ValueError, match="group: expected a regular expression"):
        load(tmp_path / "x", group="(")
    for c in "ab":
        for k in range(4):
            write(tmp_path / "x" / c / f"{k}.npz")
    (tmp_path / "x" / "b" / "3.npz").write_bytes(b"PK\3\4 cut")
    with pytest.raises(ValueError, match="b/3.npz cannot be read as NumPy arrays: the archive is damaged"):
        load(tmp_path / "x").train  # noqa: B018


def test_a_file_of_another_sensor_is_named(tmp_path):
    for c in "ab":
        for k in range(3):
            write(tmp_path / c / f"{k}.npz", sensor_size=(16, 20))
    write(tmp_path / "b" / "4.npz", sensor_size=(20, 20))
    with pytest.raises(ValueError, match=r"b/4.npz says that its sensor has \(20, 20\)"):
        data.from_events(tmp_path, timesteps=4, cache=False).train  # noqa: B018


def test_what_was_mended_is_said_once_for_all_recordings(folder):
    for k in range(3):
        path = folder / "cup" / f"user{k}_take{k}.npz"
        with np.load(path) as file:
            arrays = dict(file)
        np.savez(path, **{**arrays, "p": arrays["p"].astype(int) * 2 - 1})
    with pytest.warns(
        UserWarning, match=r"mine: polarities of -N are read as OFF.*\(3 recordings, the first .*take0.npz\)"
    ) as said:
        load(folder).train  # noqa: B018
    assert len(said) == 1 and said[0].filename == __file__  # at the user's line, not inside kspike


@pytest.mark.parametrize("options", [{}, {"cut_us": 200_000}])
@pytest.mark.parametrize("cache", [False, True])
def test_recordings_and_windows_are_read_again_where_events_are_changed_before_framing(folder, options, cache):
    plain = load(folder, batch_size=4, cache=cache, **options).train
    again = load(folder, batch_size=4, cache=cache, augment={"before_framing": True}, **options).train
    np.testing.assert_array_equal(again[0][0], plain[0][0])


def test_a_file_that_was_changed_is_read_anew(folder):
    before = load(folder).validation.images.copy()
    for path in folder.rglob("*.npz"):
        write(path, seed=7, n=201)
    assert (load(folder).validation.images.sum(axis=(1, 2, 3, 4)) == 201).all() and (
        before.sum(axis=(1, 2, 3, 4)) == 200
    ).all()


# Frames on the disk.


def packs(folder):
    return sorted(path.parent for path in (folder / "kspike_cache" / "events").glob("*/meta.json"))


def test_frames_are_kept_and_read_again_until_a_file_or_a_setting_changes(folder, monkeypatch):
    first = load(folder, cache=True)
    images = first.train.images
    (pack,) = packs(folder)
    with monkeypatch.context() as patch:
        patch.setattr(Framing, "frames", lambda *a: pytest.fail("framed again"))
        again = load(folder, cache=True)
        np.testing.assert_array_equal(again.train.images, images)
        np.testing.assert_array_equal(again.train[0][0], first.train[0][0])
        assert again.class_names == ("cup", "pen")
    load(folder, cache=True, timesteps=5).train  # noqa: B018
    assert len(packs(folder)) == 2 and pack in packs(folder)
    write(folder / "pen" / "user0_take0.npz", seed=999)
    load(folder, cache=True).train  # noqa: B018
    assert len(packs(folder)) == 3


@pytest.mark.parametrize("name", frame_cache.FILES)
@pytest.mark.parametrize("how", ["changed", "cut", "gone"])
def test_damaged_frames_are_made_again(folder, name, how):
    images = load(folder, cache=True).train.images
    (pack,) = packs(folder)
    content = bytearray((pack / name).read_bytes())
    content[-1] ^= 1
    if how == "gone":
        (pack / name).unlink()
    else:
        (pack / name).write_bytes(content[:-1] if how == "cut" else content)
    with pytest.warns(UserWarning, match="are unreadable.*making them again"):
        np.testing.assert_array_equal(load(folder, cache=True).train.images, images)
    np.testing.assert_array_equal(load(folder, cache=True).train.images, images)


def test_kept_frames_are_bounded_and_the_newest_stays(folder, monkeypatch):
    for steps in (2, 3, 4):
        load(folder, cache=True, timesteps=steps).train  # noqa: B018
    size = sum(file.stat().st_size for pack in packs(folder)[:1] for file in pack.iterdir())
    monkeypatch.setenv("KSPIKE_EVENTS_CACHE_GB", str(2.5 * size / 1e9))
    load(folder, cache=True, timesteps=5).train  # noqa: B018
    steps = [json.loads((pack / "meta.json").read_text())["format"] for pack in packs(folder)]
    assert len(steps) == 2
    monkeypatch.setenv("KSPIKE_EVENTS_CACHE_GB", "0")
    load(folder, cache=True, timesteps=6).train  # noqa: B018
    assert len(packs(folder)) == 1
    monkeypatch.setenv("KSPIKE_EVENTS_CACHE_GB", "many")
    monkeypatch.setattr(Framing, "frames", lambda *a: pytest.fail("work was started"))
    with pytest.raises(ValueError, match="KSPIKE_EVENTS_CACHE_GB: expected a number of gigabytes, received 'many'"):
        load(folder, cache=True, timesteps=7).train  # noqa: B018


def test_a_disk_that_cannot_be_written_costs_a_warning(folder, monkeypatch):
    monkeypatch.setenv("KSPIKE_CACHE", str(folder / "cup" / "user0_take0.npz"))  # a file, where a folder should be
    with pytest.warns(UserWarning, match="Frames could not be kept"):
        assert load(folder, cache=True).train.num_examples > 0


def test_one_recording_is_in_memory_at_a_time(folder, monkeypatch):
    """A folder of any size: each recording is framed and written before the next is read."""
    alive, most = [], []
    framed = Framing.frames

    def frames(self, recording):
        import weakref

        alive.append(weakref.ref(made := framed(self, recording)))
        most.append(sum(ref() is not None for ref in alive))
        return made

    monkeypatch.setattr(Framing, "frames", frames)
    load(folder, cache=True).train  # noqa: B018
    assert len(most) == 24 and max(most) <= 2
