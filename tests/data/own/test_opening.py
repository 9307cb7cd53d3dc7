"""What a user writes for a data set: a known name, a folder, a file of arrays."""

import os
import pathlib
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image

from kspike import _zip, data
from kspike.training import Recipe

pytestmark = pytest.mark.once


def pixels(n=30, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 6, 6, 3), dtype="uint8")


WORDS = np.array(["ant", "bee", "cow"] * 10)


def folder(path):
    for i, image in enumerate(pixels()):
        place = path / WORDS[i] / f"{i}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place)
    return path


def test_a_known_name_wins_over_a_folder_and_a_path_is_the_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder(tmp_path / "digits")
    folder(tmp_path / "photos")
    assert data.open_data("digits").num_classes == 10
    for path in ("./digits", f"{tmp_path}/digits", pathlib.Path("digits"), "photos", "photos/", "./photos"):
        assert data.open_data(path).class_names == ("ant", "bee", "cow")
    assert data.open_data("photos").name == "photos" and data.open_data("./photos/").name == "photos"
    assert Recipe(batch_size=5, augment="shift").load_data("photos", image_size=4).input_shape == (4, 4, 3)


def test_a_folder_is_a_folder_and_tensorflow_datasets_is_not_asked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder(tmp_path / "mnist")
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)  # an import would raise
    assert data.is_own("mnist") and data.open_data("mnist").class_names == ("ant", "bee", "cow")
    assert not data.is_own("cifar10") and not data.is_own("kmnist")


def test_options_go_where_they_are_read(tmp_path):
    folder(tmp_path / "photos")
    options = {"image_size": None, "data_dir": None, "download": False, "batch_size": 4, "class_names": None}
    assert data.open_data("digits", **options).train.batch_size == 4
    assert data.open_data(tmp_path / "photos", **options).train.batch_size == 4
    with pytest.raises(ValueError, match="download= are for sets known by name"):
        data.open_data(tmp_path / "photos", download=True)
    with pytest.raises(TypeError, match="unreadable"):
        data.open_data("digits", unreadable="skip")


@pytest.mark.parametrize("suffix, names", [("", ("images", "labels")), ("", ("x", "y")), ("_train", ("x", "y"))])
def test_arrays_in_a_file(tmp_path, suffix, names):
    arrays = {names[0] + suffix: pixels(), names[1] + suffix: WORDS}
    if suffix:
        arrays |= {"x_test": pixels(6, seed=1), "y_test": WORDS[:6]}
    np.savez(tmp_path / "mine.npz", **arrays, class_names=["cow", "bee", "ant"])
    found = data.open_data(tmp_path / "mine.npz", batch_size=3)
    assert found.name == "mine" and found.class_names == ("cow", "bee", "ant")
    assert found.test.num_examples == 6 and found.train.num_examples == (27 if suffix else 21)
    assert data.open_data(os.fspath(tmp_path / "mine.npz"), image_size=3).input_shape == (3, 3, 3)


def test_a_file_may_say_its_range_and_ids(tmp_path):
    np.savez(tmp_path / "f.npz", x=pixels() / 255, y=WORDS, input_range=(0, 1), ids=[f"n{i:02}" for i in range(30)])
    found = data.open_data(tmp_path / "f.npz")
    assert found.input_range == (0, 1) and found.train.ids[0].startswith("n")


def test_numbers_are_places_among_the_files_own_names(tmp_path):
    """As a published model asks for its classes in its own order."""
    numbers = np.arange(30) % 3
    np.savez(tmp_path / "f.npz", images=pixels(), labels=numbers, class_names=["ant", "bee", "cow"])
    found = data.open_data(tmp_path / "f.npz", class_names=("cow", "ant", "bee"))
    for label, i in zip(found.train.labels, found.train.ids, strict=True):
        assert found.class_names[label] == ("ant", "bee", "cow")[int(i) % 3]


BAD = {
    "no labels": ({"images": pixels()}, "holds the images without"),
    "neither": ({"a": pixels()}, "Expected .* to hold images and labels"),
    "both": ({"x": pixels(), "images": pixels(), "y": WORDS}, "holds images and x: keep one"),
    "whole and parts": ({"x": pixels(), "y": WORDS, "x_test": pixels(), "y_test": WORDS}, "Expected .* to hold images"),
    "more": ({"x": pixels(), "y": WORDS, "masks": pixels()}, "holds masks too, which nothing reads"),
    "objects": ({"x": pixels(), "y": np.array(["a", 1], object)}, "without objects"),
}


@pytest.mark.parametrize("arrays, said", BAD.values(), ids=BAD)
def test_bad_files_are_refused(tmp_path, arrays, said):
    np.savez(tmp_path / "mine.npz", **arrays)
    with pytest.raises(ValueError, match=said):
        data.open_data(tmp_path / "mine.npz")


def test_a_file_that_claims_more_than_it_holds_is_refused_before_memory_is_spent(tmp_path, monkeypatch):
    monkeypatch.setattr(_zip, "FREE_BYTES", 1000)  # else it takes 64 MB of them
    np.savez_compressed(tmp_path / "bomb.npz", x=np.zeros((500, 8, 8, 3)), y=np.zeros(500))
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000, 8, 8, 3), }"
    with zipfile.ZipFile(tmp_path / "claims.npz", "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(192))
    os.mkfifo(tmp_path / "pipe.npz")
    for name, said in (("bomb", "would unpack to"), ("claims", "claims shape"), ("pipe", "is a pipe or a device")):
        with pytest.raises(ValueError, match=f"{name}.npz.*{said}"):
            data.open_data(tmp_path / f"{name}.npz")


def test_what_is_no_data_is_refused(tmp_path):
    (tmp_path / "x.npz").write_bytes(b"PK\x03\x04nothing")
    (tmp_path / "x.csv").write_text("1,2")
    for path, said in (
        ("x.npz", "cannot be read as NumPy"),
        ("x.csv", "a file; expected a folder"),
        ("no", "not there"),
    ):
        with pytest.raises(ValueError, match=said):
            data.open_data(tmp_path / path)
    with pytest.raises(ValueError, match="Expected the name"):
        data.open_data(3)
