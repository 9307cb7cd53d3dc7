"""Data sets by name: the layouts in which authors and libraries leave them, their splits, what is missing."""

import struct

import numpy as np
import pytest

from kspike import data
from kspike.data import partition, published
from kspike.data.class_names import CIFAR10
from kspike.data.events.sets import cifar10_dvs, dvs128_gesture

pytestmark = [pytest.mark.once, pytest.mark.filterwarnings("ignore:.*subset alone")]

N = 40


def drawn(seed, size, n=N):
    """n events: t, x, y, p."""
    rng = np.random.default_rng(seed)
    return (
        np.sort(rng.integers(0, 300_000, n)),
        rng.integers(0, size[1], n),
        rng.integers(0, size[0], n),
        rng.integers(0, 2, n),
    )


def write_bin(path, seed, size):
    t, x, y, p = drawn(seed, size)
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = np.stack([x, y, p << 7 | t >> 16, t >> 8 & 255, t & 255], axis=1)
    path.write_bytes(rows.astype(np.uint8).tobytes())


def write_aedat2(path, seed):
    t, x, y, p = drawn(seed, (128, 128))
    path.parent.mkdir(parents=True, exist_ok=True)
    pairs = np.stack([y << 8 | x << 1 | 1 - p, t], axis=1).astype(">u4")
    path.write_bytes(b"#!AER-DAT2.0\r\n# jAER\r\n" + pairs.tobytes())


def write_npz(path, seed, size):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **dict(zip("txyp", drawn(seed, size), strict=True)))


def parts(dataset):
    return {name: set(getattr(dataset, name).ids.tolist()) for name in ("train", "validation", "test")}


def assert_disjoint(dataset, n):
    found = parts(dataset)
    assert sum(map(len, found.values())) == n and len(set.union(*found.values())) == n


# N-MNIST.


@pytest.fixture(scope="module")
def nmnist(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets")
    for part, each in (("Train", 10), ("Test", 2)):
        for digit in range(10):
            for k in range(each):
                write_bin(
                    root / "N-MNIST" / part / str(digit) / f"{10 * k + digit + 1:05d}.bin", 100 * digit + k, (34, 34)
                )
    return root


def test_nmnist_as_its_authors_leave_it(nmnist):
    dataset = data.load("nmnist", data_dir=nmnist, timesteps=4, batch_size=8)
    assert dataset.input_shape == (4, 34, 34, 2) and dataset.num_classes == 10
    assert_disjoint(dataset, 120)
    assert len(dataset.validation.ids) == 10 and all(i.startswith("test/") for i in dataset.test.ids)
    # Whole counts, all of them, and the very events of the files.
    images = dataset.test.images
    assert images.dtype == np.float32 and (images.sum(axis=(1, 2, 3, 4)) == N).all()
    t, x, y, p = drawn(700, (34, 34))
    expected = np.zeros((34, 34, 2))
    np.add.at(expected, (y, x, p), 1)
    at = dataset.test.ids.tolist().index("test/7/00008")
    np.testing.assert_array_equal(images[at].sum(axis=0), expected)
    assert dataset.test.labels[at] == 7


def test_what_is_not_there_is_counted_and_said(nmnist):
    with pytest.warns(UserWarning, match="nmnist: 100 of 60,000 train recordings are here, 20 of 10,000 test"):
        facts = data.load("nmnist", data_dir=nmnist, timesteps=4).to_dict()
    assert facts["events"]["absent"].startswith("100 of 60,000") and facts["events"]["split"] == "official"
    assert facts["mean"] is None and facts["events"]["polarities"] == ["OFF", "ON"]


def test_the_same_recordings_in_the_layout_of_spikingjelly_are_the_same_set(nmnist, tmp_path):
    for part, each in (("train", 10), ("test", 2)):
        for digit in range(10):
            for k in range(each):
                write_npz(
                    tmp_path / f"events_np/{part}/{digit}/{10 * k + digit + 1:05d}.npz", 100 * digit + k, (34, 34)
                )
    here, there = (data.load("nmnist", data_dir=folder, timesteps=4) for folder in (nmnist, tmp_path))
    assert here.split_hash == there.split_hash
    np.testing.assert_array_equal(here.validation.images, there.validation.images)


def test_nmnist_needs_both_parts_and_a_folder(nmnist, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"'nmnist' was not found in .*expected Train/0/00002.bin.*data_dir="):
        data.load("nmnist", data_dir=tmp_path, timesteps=4)
    with pytest.raises(ValueError, match="data_dir: expected the folder that holds 'nmnist'"):
        data.load("nmnist", timesteps=4)
    monkeypatch.setenv("KSPIKE_EVENTS_DIR", str(nmnist))
    assert data.load("nmnist", timesteps=4).name == "nmnist"
    for wrong, says in (
        ({}, "timesteps: expected the number of frames"),
        ({"timesteps": 4, "frames": "number"}, "by: expected one of time, count, window"),
        ({"timesteps": 4, "split": "random"}, "split: expected 'official' for 'nmnist'"),
        ({"timesteps": 4, "mean": [0.5, 0.5]}, "'nmnist' takes no mean=: it is of images"),
        ({"timesteps": 4, "framing": {"timesteps": 4}}, "framing says all; received timesteps="),
        ({"timesteps": 4, "image_size": 64}, r"size expected at most \(34, 34\)"),
    ):
        with pytest.raises(ValueError, match=says):
            data.load("nmnist", **wrong)
    with pytest.raises(ValueError, match="'digits' takes no timesteps=, frames=: they are of events"):
        data.load("digits", timesteps=4, frames="time")


@pytest.mark.parametrize(
    ("name", "meant"),
    [("N-MNIST", "nmnist"), ("n_mnist", "nmnist"), ("DVSGesture", "dvs128_gesture"), ("CIFAR10DVS", "cifar10_dvs")],
)
def test_other_spellings_are_told_the_one_that_is_known(name, meant):
    with pytest.raises(ValueError, match=f"Unknown data set '{name}'. Did you mean '{meant}'"):
        data.load(name, timesteps=4)


def test_a_recording_of_too_few_events_is_named_before_training(nmnist):
    with pytest.raises(ValueError, match=rf"00001.bin holds {N} events, fewer than the 50 frames"):
        data.load("nmnist", data_dir=nmnist, timesteps=50, frames="count").train  # noqa: B018


# CIFAR10-DVS.

NUMBERS = (0, 1, 2, 10, 99, 100, 101, 500, 901, 999)


@pytest.fixture(scope="module")
def cifar(tmp_path_factory):
    root = tmp_path_factory.mktemp("dvs")
    for label, name in enumerate(CIFAR10):
        for k in NUMBERS:
            write_aedat2(root / name / f"cifar10_{name}_{k}.aedat", 1000 * label + k)
    return root


def numbers(split):
    return sorted({int(i.rpartition("_")[2]) for i in split.ids.tolist()})


def test_three_splits_of_cifar10_dvs_each_by_its_name(cifar):
    first, random, tebn = (data.load("cifar10_dvs", data_dir=cifar, timesteps=4, split=s) for s in cifar10_dvs.SPLITS)
    for dataset in (first, random, tebn):
        assert_disjoint(dataset, 100)
        assert dataset.events["split"] in cifar10_dvs.SPLITS
    assert data.load("cifar10_dvs", data_dir=cifar, timesteps=4).split_hash == first.split_hash
    assert numbers(first.test) == [999]  # by number, not by letters, in which 99 would follow 901
    assert numbers(tebn.test) == [0, 1, 2, 10, 99] and set(numbers(tebn.train)) <= {100, 101, 500, 901, 999}
    assert set(random.test.ids) == set(cifar10_dvs.random_ids()) & set.union(*parts(random).values())
    with pytest.raises(ValueError, match="'first_90_percent' or 'random_90_percent' or 'tebn'.*received 'random'"):
        data.load("cifar10_dvs", data_dir=cifar, timesteps=4, split="random")


def test_the_random_split_is_the_published_one():
    known = published.published("cifar10_dvs_random_90_percent")
    ids = cifar10_dvs.random_ids()
    assert known["sha256"] == partition.digest({"test": ids})
    assert known["test"] == [CIFAR10.index(n) * 1000 + int(k) for _, n, k in (i.split("_") for i in ids.tolist())]
    assert np.bincount(np.array(known["test"]) // 1000).tolist() == [100] * 10


def test_cifar10_dvs_stands_upright_as_the_screen_was(cifar):
    dataset = data.load("cifar10_dvs", data_dir=cifar, timesteps=1, frames="count")
    _, x, y, p = drawn(3999, (128, 128))  # a cat
    expected = np.zeros((128, 128, 2))
    np.add.at(expected, (127 - x, 127 - y, p), 1)
    at = dataset.test.ids.tolist().index("cifar10_cat_999")
    np.testing.assert_array_equal(dataset.test.images[at, 0], expected)


# N-Caltech101.


def test_n_caltech101_takes_the_classes_that_are_there(tmp_path):
    for name in ("accordion", "airplanes", "BACKGROUND_Google"):
        for k in range(10):
            write_bin(tmp_path / "Caltech101" / name / f"image_{k:04d}.bin", k, (170, 230))
    with pytest.warns(UserWarning, match="30 of 8,709 recordings are here, 3 of 101 classes are here"):
        dataset = data.load("n_caltech101", data_dir=tmp_path, timesteps=4, image_size=(45, 60))
    assert dataset.input_shape == (4, 45, 60, 2) and dataset.class_names == (
        "BACKGROUND_Google",
        "accordion",
        "airplanes",
    )
    assert_disjoint(dataset, 30)
    assert np.bincount(dataset.test.labels).tolist() == [2, 2, 2]
    assert (dataset.test.images.sum(axis=(1, 2, 3, 4)) == N).all()


# DVS128 Gesture.


def write_aedat3(path, seed, end, n=400):
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, end, n))
    x, y, p = rng.integers(0, 128, n), rng.integers(0, 128, n), rng.integers(0, 2, n)
    words = np.stack([x << 17 | y << 2 | p << 1 | 1, t], axis=1).astype("<u4")
    header = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"
    path.write_bytes(header + struct.pack("<hhiiiiii", 1, 1, 8, 4, 0, n, n, n) + words.tobytes())
    return t


def write_gestures(root, users):
    root.mkdir(parents=True)
    times = {}
    for user in users:
        name = f"user{user:02d}_led"
        times[name] = write_aedat3(root / f"{name}.aedat", user, 1_100_000)
        rows = [f"{k + 1},{k * 100_000},{(k + 1) * 100_000}" for k in range(11)]
        (root / f"{name}_labels.csv").write_text("class,startTime_usec,endTime_usec\n" + "\n".join(rows) + "\n")
    return times


def test_gestures_are_cut_by_the_authors_tables_and_split_by_user(tmp_path):
    root = tmp_path / "DvsGesture"
    times = write_gestures(root, (1, 2, 20, 23, 24, 29))
    for part, users in (("train", (1, 2, 20, 23)), ("test", (24, 29))):
        names = [f"user{user:02d}_led.aedat" for user in users]
        (root / f"trials_to_{part}.txt").write_text("\n".join(names) + "\n")
    dataset = data.load("dvs128_gesture", data_dir=tmp_path, timesteps=4, image_size=32)
    assert dataset.input_shape == (4, 32, 32, 2) and dataset.num_classes == 11
    users = {part: {i.split("/")[1][:6] for i in ids} for part, ids in parts(dataset).items()}
    assert users == {"train": {"user01", "user02"}, "validation": {"user20", "user23"}, "test": {"user24", "user29"}}
    assert np.bincount(dataset.validation.labels).tolist() == [2] * 11
    at = dataset.test.ids.tolist().index("test/user24_led/03")
    inside = (times["user24_led"] >= 300_000) & (times["user24_led"] < 400_000)
    assert dataset.test.images[at].sum() == inside.sum() and dataset.test.labels[at] == 3
    with pytest.raises(ValueError, match="flip=0 for 'dvs128_gesture'"):
        data.load("dvs128_gesture", data_dir=tmp_path, timesteps=4, augment={"flip": 0.5})


def test_a_broken_table_of_gestures_is_named_with_its_line(tmp_path):
    write_gestures(tmp_path / "a", (1, 24))
    (tmp_path / "a" / "user01_led_labels.csv").write_text("class,startTime_usec,endTime_usec\n1,0,100\n12,100,200\n")
    with pytest.raises(ValueError, match="user01_led_labels.csv, line 3: expected a class from 1 to 11"):
        data.load("dvs128_gesture", data_dir=tmp_path / "a", timesteps=4)


def test_without_the_validating_users_others_do_and_it_is_said(tmp_path):
    write_gestures(tmp_path / "a", (1, 2, 3, 24))
    dataset = data.load("dvs128_gesture", data_dir=tmp_path / "a", timesteps=4)
    with pytest.warns(UserWarning, match="none of the users 20 to 23"):
        users = {part: {i.split("/")[1] for i in ids} for part, ids in parts(dataset).items()}
    assert len(users["validation"]) == 1 and not users["validation"] & users["train"]


@pytest.mark.parametrize("library", ["spikingjelly", "tonic"])
def test_gestures_as_libraries_leave_them(library, tmp_path):
    for part, name, users in (("train", "ibmGestureTrain", (1, 21)), ("test", "ibmGestureTest", (25,))):
        for user in users:
            for label in range(11):
                if library == "spikingjelly":
                    path = tmp_path / f"events_np/{part}/{label}/user{user:02d}_lab_0.npz"
                    write_npz(path, 100 * user + label, (128, 128))
                    continue
                t, x, y, p = drawn(100 * user + label, (128, 128))
                path = tmp_path / name / f"user{user:02d}_lab" / f"{label}.npy"
                path.parent.mkdir(parents=True, exist_ok=True)
                np.save(path, np.stack([x, y, p, t // 1000], axis=1).astype(float))  # milliseconds
    dataset = data.load("dvs128_gesture", data_dir=tmp_path, timesteps=4)
    found = parts(dataset)
    assert {part: len(ids) for part, ids in found.items()} == {"train": 11, "validation": 11, "test": 11}
    assert all("user21" in i for i in found["validation"])
    assert (dataset.test.images.sum(axis=(1, 2, 3, 4)) == N).all()
    assert dvs128_gesture.CLASSES[int(dataset.test.labels.max())] == "other_gestures"
