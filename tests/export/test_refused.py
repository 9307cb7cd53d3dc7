"""What `save` refuses, before any work, and what it leaves where the disk is full."""

import errno
import os
import shutil

import keras
import numpy as np
import pytest

import kspike
from kspike.export import placing, table
from tests.export.networks import ONNX, images, network
from tests.helpers import BACKEND

CARD = {"range": [0, 255], "mean": [0.5], "std": [0.25]}


@pytest.fixture(scope="module")
def model():
    return network("sps membrane")


@pytest.fixture(autouse=True)
def no_work(monkeypatch):
    """Nothing may be started, where something is refused."""

    def started(*args):
        raise AssertionError("work was started")

    monkeypatch.setattr("kspike.export.writing.write", started)
    monkeypatch.setattr("kspike.export.writing.elsewhere", started)


@pytest.mark.shared
@pytest.mark.parametrize(
    "path, options, said",
    [
        ("net.onx", {}, r"ends in one of .onnx.*received 'net.onx' \(did you mean '.onnx'\?\)"),
        ("net.onnx", {"batch": 0}, "batch to be a whole number above 0"),
        ("net.onnx", {"time": "looped"}, "time to be 'unrolled', 'scan' or 'step'"),
        ("net.pt2", {"time": "scan"}, "time='unrolled' for PyTorch program"),
        ("net.onnx", {"opset": 7}, "opset from 13 to 20; received 7"),
        ("net.onnx", {"allow": "spikes"}, "allow out of"),
        ("net.onnx", {"pixels": {"range": [0, 255]}}, "mean, std missing"),
        ("net.onnx", {"pixels": {**CARD, "mean": [0.1, 0.2]}}, "one a channel"),
        ("net.onnx", {"pixels": {**CARD, "range": [0, 1000]}}, "uint8 holds"),
        ("net.onnx", {"opset": 17.0}, "opset from 13 to 20; received 17.0"),
        ("net.onnx", {"allow": None}, "allow out of"),
        ("net.onnx", {"allow": [["spikes"]]}, "allow out of"),
        ("net.onnx", {"pixels": {**CARD, "mean": [float("nan")]}}, "finite and each std above 0"),
        ("net.onnx", {"pixels": {**CARD, "std": [None]}}, "finite and each std above 0"),
        ("net.onnx", {"pixels": {**CARD, "std": 0.5}}, "finite and each std above 0"),
        ("net.nir", {"pixels": CARD}, "pixels=None for NIR"),
        ("net.nir", {"batch": 2}, "batch=None for NIR"),
        ("net.onnx", {"card": "\ud800"}, "UTF-8 can say"),
        ("net.onnx", {"card": "a\0"}, "without NUL"),
        ("net.onnx", {"class_names": 4}, "4 class names"),
        ("net.onnx", {"class_names": "abcd"}, "4 class names"),
        ("n" * 300 + ".onnx", {}, "name that a file here can have"),
        ("n" * 240 + ".onnx", {}, "name that a file here can have"),
        ("a\0.onnx", {}, "name that a file here can have"),
        ("..", {}, "the name of a file"),
        ("net.onnx", {"class_names": ["a"]}, "4 class names"),
        ("net.onnx", {"card": 3}, "card as text"),
        ("net.onnx", {"images": np.zeros((2, 9, 8, 1), "float32")}, "images of shape"),
        ("net.onnx", {"images": np.zeros((2, 8, 8, 1), "uint8")}, "raw pixels as a rule"),
        ("net.onnx", {"images": np.full((2, 8, 8, 1), np.nan, "float32")}, "finite images"),
        ("net.onnx", {"images": np.zeros((0, 8, 8, 1), "float32")}, "received none"),
        ("net.onnx", {"images": np.zeros((2, 8, 8, 1), "float32"), "pixels": CARD}, "raw uint8 images"),
    ],
)
def test_bad_arguments(path, options, said, model, tmp_path, monkeypatch):
    monkeypatch.setattr(table, "installed", lambda package: True)
    with pytest.raises(ValueError, match=said):
        kspike.export.save(model, tmp_path / path, **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.shared
def test_other_models(tmp_path):
    with pytest.raises(ValueError, match="Expected a kspike.Spikformer to export; received a Sequential"):
        kspike.export.save(keras.Sequential([keras.layers.Dense(2)]), tmp_path / "net.onnx")
    half = kspike.Spikformer(kspike.SpikformerConfig(**SMALLEST), dtype="mixed_bfloat16")
    with pytest.raises(ValueError, match="dtype float32"):
        kspike.export.save(half, tmp_path / "net.onnx")
    broken = kspike.Spikformer(kspike.SpikformerConfig(**SMALLEST))
    broken.get_layer("head").kernel.assign(np.full(broken.get_layer("head").kernel.shape, np.nan, "float32"))
    with pytest.raises(ValueError, match="finite weights"):
        kspike.export.save(broken, tmp_path / "net.onnx")


SMALLEST = {"input_shape": (8, 8, 1), "embed_dim": 16, "depth": 1, "num_heads": 2, "timesteps": 1}


@pytest.mark.once
@pytest.mark.parametrize("time", ["scan", "step"])
def test_what_has_no_single_step_is_refused(time, tmp_path, monkeypatch):
    monkeypatch.setattr(table, "installed", lambda package: True)
    headless = kspike.Spikformer(kspike.SpikformerConfig(**SMALLEST), include_top=False)
    with pytest.raises(ValueError, match=f"time='{time}' expects a Spikformer with its head"):
        kspike.export.save(headless, tmp_path / "net.onnx", time=time)
    levels = {"residual": "membrane", "mixer": "identity", "stem": "spikingformer", "neuron": "integer"}
    unrolled = kspike.models.unroll(kspike.Spikformer(kspike.SpikformerConfig(**SMALLEST, **levels)))
    with pytest.raises(ValueError, match=rf"time='{time}' expects .* integer\(unrolled=True\), take 4 together"):
        kspike.export.save(unrolled, tmp_path / "net.onnx", time=time)
    with pytest.raises(ValueError, match="early_exit expects .* take 4 together"):
        kspike.models.early_exit(unrolled, np.zeros((1, 8, 8, 1)))
    with pytest.raises(ValueError, match="stream expects .* take 4 together"):
        kspike.models.stream(unrolled)
    with pytest.raises(ValueError, match="class_names=None of a network without a head"):
        kspike.export.save(headless, tmp_path / "net.onnx", class_names=["a", "b"])


@pytest.mark.shared
def test_places(model, tmp_path, monkeypatch):
    (tmp_path / "there.onnx").write_text("mine")
    with pytest.raises(ValueError, match="overwrite=False"):
        kspike.export.save(model, tmp_path / "there.onnx", overwrite=False)
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(ValueError, match="is a folder, which is not replaced"):
        kspike.export.save(model, tmp_path / "folder.onnx")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds something else"):
        kspike.export.save(model, tmp_path / "mine")
    for name in ("there.bin", "folder.bin"):  # OpenVINO's weights lie in a second file
        (tmp_path / name).mkdir() if name == "folder.bin" else (tmp_path / name).write_text("mine")
        said = "folder.bin is a folder" if name == "folder.bin" else "there.bin exists, and overwrite=False"
        with pytest.raises(ValueError, match=said):
            kspike.export.save(model, tmp_path / name.replace(".bin", ".xml"), overwrite=name == "folder.bin")
    monkeypatch.chdir(tmp_path / "folder.bin")
    with pytest.raises(ValueError, match="the name of a file"):
        kspike.export.save(model, "")
    monkeypatch.setattr("os.access", lambda *args: False)
    with pytest.raises(PermissionError, match="Nothing may be written"):
        kspike.export.save(model, tmp_path / "net.onnx")
    with pytest.raises(FileNotFoundError, match="no folder"):
        kspike.export.save(model, tmp_path / "nowhere" / "net.onnx")
    assert (tmp_path / "there.onnx").read_text() == (tmp_path / "mine" / "thesis.txt").read_text() == "mine"


@pytest.mark.shared
def test_what_is_not_installed_is_named_with_its_extra(model, tmp_path, monkeypatch):
    monkeypatch.setattr(table, "installed", lambda package: package not in ("onnx", "openvino", "tensorflow"))
    with pytest.raises(ImportError, match=r"takes onnx, not installed here: pip install 'kspike\[onnx\]'"):
        kspike.export.save(model, tmp_path / "net.onnx")
    with pytest.raises(ImportError, match=r"takes onnx and openvino, .*'kspike\[openvino\]'"):
        kspike.export.save(model, tmp_path / "net.xml")
    with pytest.raises(ImportError, match=r"takes tensorflow, .*'kspike\[tensorflow\]'"):
        kspike.export.save(model, tmp_path / "net")


@pytest.mark.once
def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    source = tmp_path / "work"
    source.mkdir()
    for suffix in (".onnx", ".xml", ".bin"):
        (source / f"file{suffix}").write_text("new")
    (source / "file").mkdir()
    (source / "file" / "saved_model.pb").write_text("new")
    kinds = {each.suffix: each for each in table.FORMATS}
    place = tmp_path / "place"
    place.mkdir()
    for name in ("a.onnx", "a.xml", "a.bin"):
        (place / name).write_text("old")
    (place / "a").mkdir()
    (place / "a" / "saved_model.pb").write_text("old")

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    def full_at(number, run):
        """`run`, until its call of that number."""
        calls = iter(range(9))
        return lambda *args, **kwargs: (full if next(calls) == number else run)(*args, **kwargs)

    for at, name, number in (
        (shutil, "copyfile", 0), (shutil, "copyfile", 1), (os, "fsync", 0), (os, "fsync", 1), (os, "replace", 0),
        (shutil, "copytree", 0), (os, "rename", 0), (os, "rename", 1),
    ):  # fmt: skip
        for suffix in (".onnx", ".xml", ""):
            if (suffix == "") != (name in ("copytree", "rename")) or (number and suffix == ".onnx"):
                continue
            with monkeypatch.context() as patch:
                patch.setattr(at, name, full_at(number, getattr(at, name)))
                with pytest.raises(OSError, match="No space"):
                    placing.place(source, kinds[suffix], place / f"a{suffix}")
            found = {str(each.relative_to(place)): each.read_text() for each in place.rglob("*") if each.is_file()}
            assert found == {"a.onnx": "old", "a.xml": "old", "a.bin": "old", "a/saved_model.pb": "old"}, (name, number)
            assert len(list(place.rglob("*"))) == 5
    for suffix in (".onnx", ".xml", ""):
        placing.place(source, kinds[suffix], place / f"a{suffix}")
    assert {each.read_text() for each in place.rglob("*") if each.is_file()} == {"new"}
    assert len(list(place.rglob("*"))) == 5
    (place / "link").symlink_to(place / "a", target_is_directory=True)
    placing.place(source, kinds[""], place / "link")
    names = ["a", "a.bin", "a.onnx", "a.xml", "link"]
    assert sorted(each.name for each in place.iterdir()) == names and not (place / "link").is_symlink()


@pytest.mark.once
@pytest.mark.parametrize("at", ["kspike.export.saving.np.save", "kspike.export.writing.write"])
def test_a_disk_that_is_full_while_it_works_leaves_nothing(at, model, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(at, full)
    monkeypatch.setattr(table, "installed", lambda package: True)
    work, place = tmp_path / "work", tmp_path / "place"
    work.mkdir()
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(work))
    (place / "net.nir").write_text("old")
    with pytest.raises(OSError, match="No space"):
        kspike.export.save(model, place / "net.nir", images=images(model, 2))
    assert (place / "net.nir").read_text() == "old"
    assert not list(work.iterdir()) and len(list(place.iterdir())) == 1


@pytest.mark.slow
@ONNX
@pytest.mark.skipif(BACKEND != "torch", reason="shows nothing of the backend")
def test_without_its_runtime_a_file_is_written_and_the_report_says_what_was_skipped(model, tmp_path, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr("kspike.export.saving.installed", lambda package: False)
    report = kspike.export.save(model, tmp_path / "net.onnx", images=images(model, 2))
    assert report.classes_changed is None and report.spikes_differing is None and (tmp_path / "net.onnx").is_file()
    assert "skipped: the comparison: onnxruntime is not installed (pip install 'kspike[onnx]')" in str(report)
