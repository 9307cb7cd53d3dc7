"""An entry appears whole or not at all, and none is ever changed."""

from __future__ import annotations

import errno
import json
import os

import keras
import numpy as np
import pytest

import kspike
from kspike.zoo import files
from kspike.zoo import weights as storage


@pytest.fixture
def publish(model, tmp_path):
    """Publishes the small model, without data, into a zoo of the test's own."""

    def call(name="net", zoo=None, **more):
        return kspike.zoo.publish(
            more.pop("model", model), name, directory=zoo or tmp_path / "zoo", **{"license": "cc0-1.0", **more}
        )

    return call


def _everything(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_an_entry_holds_four_files_and_their_hashes(released):
    assert sorted(path.name for path in released.iterdir()) == [
        "README.md",
        "config.json",
        "metadata.json",
        "model.weights.h5",
    ]
    metadata = json.loads((released / "metadata.json").read_text("utf-8"))
    assert sorted(metadata["files"]) == ["README.md", "config.json", "model.weights.h5"]
    for file, record in metadata["files"].items():
        content = (released / file).read_bytes()
        assert record == {"sha256": files.sha256(content), "bytes": len(content)}
    # The metadata's own, by the recipe that docs/zoo.md gives to any other program.
    stated = metadata.pop("metadata_sha256")
    text = json.dumps(metadata, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert stated == files.sha256(text.encode("utf-8"))


@pytest.mark.shared
def test_publishing_again_makes_the_next_version_and_leaves_the_first(publish):
    first = publish()
    before = _everything(first)
    second = publish()
    assert (first.name, second.name) == ("net.v1", "net.v2")
    assert _everything(first) == before
    assert kspike.zoo.card(second)["version"] == 2
    assert kspike.zoo.card(second.parent / "net")["version"] == 2


@pytest.mark.shared
def test_a_version_that_exists_is_refused(publish, tmp_path):
    before = _everything(publish("net.v3"))
    with pytest.raises(ValueError, match="publish 'net' to make version 4"):
        publish("net.v3")
    assert _everything(tmp_path / "zoo" / "net.v3") == before
    assert publish().name == "net.v4"


@pytest.mark.shared
def test_somebody_publishing_at_the_same_time_is_not_overwritten(publish, tmp_path, monkeypatch):
    rename = os.rename

    def race(source, target):
        if str(target).endswith("net.v1"):
            os.makedirs(target)
            (target / "metadata.json").write_text("theirs")
        rename(source, target)

    monkeypatch.setattr(os, "rename", race)
    assert publish().name == "net.v2"
    assert (tmp_path / "zoo" / "net.v1" / "metadata.json").read_text() == "theirs"
    assert kspike.zoo.card(tmp_path / "zoo" / "net.v2")["version"] == 2


@pytest.mark.shared
def test_the_model_is_not_changed_and_its_optimiser_not_published(config, publish):
    model = kspike.Spikformer(config)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.optimizer.build(model.trainable_variables)
    before = [np.array(value) for value in model.get_weights()]
    path = publish(model=model)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert b"adam" not in (path / "model.weights.h5").read_bytes().lower()
    for one, other in zip(before, kspike.zoo.load(path).get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_two_publications_of_one_model_have_the_same_weight_file(publish):
    one, other = (json.loads((publish() / "metadata.json").read_text("utf-8"))["files"] for _ in range(2))
    assert one["model.weights.h5"] == other["model.weights.h5"]


def test_a_model_of_half_precision_is_published_in_float32(config, publish):
    path = publish(model=kspike.Spikformer(config, dtype="mixed_bfloat16"))
    assert kspike.zoo.load(path).get_layer("head").kernel.dtype == "float32"


# What is wrong with the arguments is said before anything is written.


@pytest.mark.shared
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "Net"}, "name of an entry"),
        ({"name": "../net"}, "name of an entry"),
        ({"citation": 3}, "citation"),
        ({"notes": " "}, "notes"),
        ({"search": [1]}, "search_record"),
        ({"search": {"trials": [print]}}, "JSON-able"),
        ({"backends": "jax"}, "sequence of names"),
        ({"backends": ("mxnet",)}, "torch, jax, tensorflow"),
        ({"backends": ("torch",)}, "Expected data="),
        ({"convention": "watts"}, "spikformer"),
        ({"convention": "lemaire"}, "Expected data="),
        ({"runs": {"mean": 1.0}}, "n, mean and std"),
        ({"notes": "\x1b[2J"}, "control character"),
    ],
)
def test_wrong_arguments_leave_no_trace(publish, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        publish(**change)
    assert not (tmp_path / "zoo").exists()


@pytest.mark.shared
@pytest.mark.parametrize(
    "license", ["foo bar", "Apache 2.0", " mit", "mit ", "MIT or Apache-2.0", "MIT OR", "(MIT", "x/y"]
)
def test_a_licence_that_is_no_spdx_expression_is_refused(publish, tmp_path, license):
    with pytest.raises(ValueError, match="Expected license= of the weights, as an SPDX name.*received "):
        publish(license=license)
    assert not (tmp_path / "zoo").exists()


@pytest.mark.shared
@pytest.mark.parametrize(
    "license",
    [
        "apache-2.0",
        "CC-BY-4.0",
        "GPL-2.0+",
        "LicenseRef-mine",
        "MIT OR (Apache-2.0 AND GPL-2.0-only WITH GCC-exception-3.1)",
    ],
)
def test_a_licence_is_a_name_or_an_expression_of_names(license):
    assert kspike.zoo.facts._is_license(license)


@pytest.mark.shared
def test_a_licence_is_needed(model, tmp_path):
    with pytest.raises(ValueError, match="license"):
        kspike.zoo.publish(model, "net", directory=tmp_path, license=None)


@pytest.mark.shared
def test_only_whole_spikformers_are_published(config, publish):
    with pytest.raises(ValueError, match=r"received 'mine', a Sequential.*cannot be published yet.*model\.save"):
        publish(model=keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)], name="mine"))
    with pytest.raises(ValueError, match="Expected a kspike.Spikformer; received a str:"):
        publish(model="mine")
    with pytest.raises(ValueError, match="with its head"):
        publish(model=kspike.Spikformer(config, include_top=False))


@pytest.mark.shared
def test_data_of_another_shape_is_refused(config, digits, publish, tmp_path):
    with pytest.raises(ValueError, match="received 'digits'"):
        publish(model=kspike.Spikformer(config.replace(num_classes=7)), data=digits)
    assert not (tmp_path / "zoo").exists()


@pytest.mark.shared
def test_a_diverged_model_is_refused(config, publish, tmp_path):
    model = kspike.Spikformer(config)
    model.get_layer("head").bias.assign(np.full(10, np.nan))
    with pytest.raises(ValueError, match="head/bias holds NaN"):
        publish(model=model)
    assert not (tmp_path / "zoo").exists()


# Faults while it is written: nothing half-written, nothing old damaged.


def _full_disk(*args, **kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


def _interrupted(*args, **kwargs):
    raise KeyboardInterrupt


FAULTS = {
    "writing the weights": (keras.Model, "save_weights"),
    "syncing a file": (os, "fsync"),
    "reading them back": (storage, "fill"),
    "writing the card": (kspike.zoo.cards, "render"),
    "giving it its name": (os, "rename"),
}


@pytest.mark.shared
@pytest.mark.parametrize(("fault", "error"), [(_full_disk, OSError), (_interrupted, KeyboardInterrupt)])
@pytest.mark.parametrize("moment", FAULTS)
def test_a_fault_leaves_nothing_behind_and_the_old_entry_whole(publish, entry, monkeypatch, moment, fault, error):
    before = _everything(entry.parent)
    monkeypatch.setattr(*FAULTS[moment], fault)
    with pytest.raises(error):
        publish("tiny_digits", zoo=entry.parent)
    assert _everything(entry.parent) == before
    assert [path.name for path in entry.parent.iterdir()] == [entry.name]


@pytest.mark.shared
def test_a_disk_that_fills_up_in_the_middle_of_a_file(publish, entry, monkeypatch):
    before, write, left = _everything(entry.parent), files.write_synced, iter([0, 1])

    def fills_up(path, content):
        if next(left) == 1:
            path.write_bytes(content[: len(content) // 2])
            _full_disk()
        write(path, content)

    monkeypatch.setattr(files, "write_synced", fills_up)
    with pytest.raises(OSError, match="No space left"):
        publish(zoo=entry.parent)
    assert _everything(entry.parent) == before


@pytest.mark.shared
def test_a_disk_that_is_full_is_seen_before_work_starts(publish, entry, monkeypatch):
    before = _everything(entry.parent)
    monkeypatch.setattr(storage, "write", lambda *args: pytest.fail("work started"))
    monkeypatch.setattr(files, "reserve", _full_disk)
    with pytest.raises(OSError, match="No space left on device.*another directory=") as caught:
        publish(zoo=entry.parent)
    assert caught.value.errno == errno.ENOSPC
    assert _everything(entry.parent) == before and len(list(entry.parent.iterdir())) == 1


@pytest.mark.shared
def test_space_is_reserved_for_what_is_written(released, tmp_path):
    files.reserve(tmp_path / "space", 5_000_000)
    status = (tmp_path / "space").stat()
    assert status.st_size == 5_000_000
    assert getattr(status, "st_blocks", 1 << 20) * 512 >= 5_000_000  # no hole
    written = sum(path.stat().st_size for path in released.iterdir())
    assert written < 4 * kspike.zoo.card(released)["parameters"] + kspike.zoo.publishing._SPARE_BYTES


@pytest.mark.shared
def test_a_folder_that_cannot_be_written_is_seen_before_work_starts(publish, entry, monkeypatch):
    def read_only(path, mode=0o777):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    before = _everything(entry.parent)
    monkeypatch.setattr(storage, "write", lambda *args: pytest.fail("work started"))
    monkeypatch.setattr(os, "mkdir", read_only)  # root may write anywhere, so chmod alone proves nothing
    with pytest.raises(PermissionError, match="cannot be written into .*Permission denied"):
        publish(zoo=entry.parent)
    assert _everything(entry.parent) == before


@pytest.mark.shared
def test_a_file_in_place_of_the_folder_is_told(publish, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="cannot be written into"):
        publish(zoo=tmp_path / "file")


@pytest.mark.shared
def test_the_zoo_inside_an_installed_package_is_not_published_into(model, tmp_path, monkeypatch):
    inside = tmp_path / "kspike" / "_data" / "zoo"
    inside.mkdir(parents=True)
    monkeypatch.setattr(kspike.zoo.naming._resources, "published", lambda name: inside)
    with pytest.raises(ValueError, match="Give a folder of your own"):
        kspike.zoo.publish(model, "net", license="cc0-1.0")


@pytest.mark.slow
@pytest.mark.shared
def test_half_stores_kernels_in_half_the_bytes_and_measures_what_it_stores(publish, model, digits, released):
    entry = publish(half=True, data=digits)
    kernels = 4 * sum(w.size for w in model.get_weights() if w.ndim > 1)
    whole, halved = ((folder / "model.weights.h5").stat().st_size for folder in (released, entry))
    assert whole - halved >= kernels / 2 - 4096  # beside what HDF5 spends on its own
    card, loaded = kspike.zoo.card(entry), kspike.zoo.load(entry)
    for stored, given in zip(loaded.get_weights(), model.get_weights(), strict=True):
        assert stored.dtype == np.float32
        np.testing.assert_array_equal(stored, given.astype("float16").astype("float32") if given.ndim > 1 else given)
    right = int((loaded.predict(digits.test, verbose=0).argmax(1) == digits.test.labels).sum())
    assert card["evaluation"]["correct"] == right
    assert card["weights_dtype"] == "float16"
    assert "kernels stored in float16" in (entry / "README.md").read_text("utf-8")
    assert kspike.zoo.verify(entry, data=digits).ok


@pytest.mark.shared
def test_half_refuses_weights_that_it_cannot_hold(publish, model, config, tmp_path):
    large = kspike.Spikformer(config)
    large.set_weights(model.get_weights())
    large.get_layer("head").kernel.assign(np.full(large.get_layer("head").kernel.shape, 1e6, "float32"))
    with pytest.raises(ValueError, match="65,504"):
        publish(model=large, half=True)
    assert not (tmp_path / "zoo" / "net.v1").exists()


@pytest.mark.shared
@pytest.mark.parametrize(
    "stages",
    [
        {"stem": "peds", "mixer": ("token_qk", "ssa")},
        {"stem": "strided", "residual": "membrane", "mixer": ("sdsa3", "ssa"), "head": "neuron"},
    ],
)
def test_a_network_of_stages_publishes_and_loads(config, publish, stages):
    changes = {
        "embed_dim": (8, 16),
        "depth": (1, 2),
        "mlp_ratio": 1.0,
        "tau": 2.0,
        "stem_pool": (False, False, True, True),
    }
    staged = kspike.Spikformer(config.replace(**changes, **stages))
    folder = publish(model=staged)
    loaded = kspike.zoo.load(folder)
    assert loaded.config == staged.config
    for ours, theirs in zip(loaded.weights, staged.weights, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(ours), keras.ops.convert_to_numpy(theirs))
