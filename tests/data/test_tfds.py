"""Still-image sets of TensorFlow Datasets: read without TensorFlow, kept decoded, and refused with a reason."""

import importlib.util
import json
import shutil
import sys
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest

from kspike import data
from kspike.data import tfds_source

TINY = Path(__file__).parent / "tiny_tfds"
GIVEN = {"mean": [0.5] * 3, "std": [0.5] * 3}  # then the test part needs no other


@pytest.fixture(autouse=True)
def _installed():
    pytest.importorskip("tensorflow_datasets")


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    monkeypatch.delenv("KSPIKE_CACHE", raising=False)
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    shutil.copytree(TINY / "array_record", tmp_path / "sets")
    return tmp_path / "sets"


def decodings(monkeypatch):
    """Lists the parts that are decoded from now on."""
    parts, decode = [], tfds_source._decode
    monkeypatch.setattr(tfds_source, "_decode", lambda *a: (parts.append(a[-1]), decode(*a))[1])
    return parts


def test_images_come_in_the_order_of_their_ids_whatever_the_order_of_the_files(prepared):
    dataset = data.load("tiny_images", batch_size=4, data_dir=prepared)
    assert dataset.test.ids.tolist() == [f"test_{i:05d}" for i in range(10)]
    assert dataset.test.labels.tolist() == [0, 0, 0, 1, 0, 0, 0, 1, 0, 2]
    pixels = np.random.default_rng([10])
    np.testing.assert_array_equal(
        dataset.test.images, [pixels.integers(0, 256, (6, 6, 3), dtype=np.uint8) for _ in range(10)]
    )


def test_facts_come_from_the_set_itself(prepared):
    dataset = data.load("tiny_images", data_dir=prepared)
    assert (dataset.name, dataset.version, dataset.input_shape) == ("tiny_images", "1.0.0", (6, 6, 3))
    assert dataset.class_names == ("much", "some", "few") and dataset.num_classes == 3
    assert (dataset.input_range, dataset.citation, dataset.source) == ((0, 255), "nobody", "https://example.org/tiny")
    pixels = dataset.train.images / 255
    np.testing.assert_allclose(dataset.mean, pixels.mean(axis=(0, 1, 2)), atol=5e-5)
    np.testing.assert_allclose(dataset.std, pixels.std(axis=(0, 1, 2)), atol=5e-5)


def test_validation_is_a_tenth_of_training_and_the_test_part_is_the_official_one(prepared):
    dataset = data.load("tiny_images", data_dir=prepared)
    assert [dataset.train.num_examples, dataset.validation.num_examples, dataset.test.num_examples] == [36, 4, 10]
    assert not set(dataset.train.ids) & set(dataset.validation.ids)


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="TensorFlow is the backend")
def test_array_records_are_read_where_tensorflow_cannot_be_imported(prepared, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)  # from here on, importing it fails
    dataset = data.load("tiny_images", data_dir=prepared)
    assert dataset.train.images.shape == (36, 6, 6, 3) and dataset.test[0][0].shape == (10, 6, 6, 3)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TFRecord files need TensorFlow")
def test_tfrecord_files_hold_the_same_data_set(prepared):
    one = data.load("tiny_images", data_dir=prepared)
    other = data.load("tiny_images", data_dir=TINY / "tfrecord", cache=False)
    assert one.split_hash == other.split_hash
    for name in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(one, name).images, getattr(other, name).images)
        np.testing.assert_array_equal(getattr(one, name).labels, getattr(other, name).labels)


def test_tfrecord_files_without_tensorflow_say_what_to_do(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="only TensorFlow reads"):
        _ = data.load("tiny_images", data_dir=TINY / "tfrecord", cache=False).test


def test_a_part_is_decoded_when_it_is_used_and_once(prepared, monkeypatch):
    parts = decodings(monkeypatch)
    dataset = data.load("tiny_images", data_dir=prepared)
    assert parts == []
    dataset.train[0], dataset.validation[0]
    assert parts == ["train"]
    dataset.test[0], dataset.test[0]
    assert parts == ["train", "test"]


def test_decoded_images_are_kept_and_mapped(prepared, monkeypatch):
    first = data.load("tiny_images", data_dir=prepared).train
    parts = decodings(monkeypatch)
    second = data.load("tiny_images", data_dir=prepared).train
    assert parts == [] and isinstance(second._pool.images, np.memmap)
    np.testing.assert_array_equal(first.images, second.images)
    assert first.ids.tolist() == second.ids.tolist() and second.labels.dtype == np.int32
    names = sorted(p.name for p in (prepared / "kspike_cache" / "tiny_images" / "1.0.0").iterdir())
    assert len(names) == 1 and names[0].startswith("train-")


def test_the_cache_folder_can_be_chosen_or_left_out(prepared, tmp_path, monkeypatch):
    monkeypatch.setenv("KSPIKE_CACHE", str(tmp_path / "elsewhere"))
    _ = data.load("tiny_images", data_dir=prepared).test
    assert (tmp_path / "elsewhere" / "tiny_images").is_dir()
    shutil.rmtree(tmp_path / "elsewhere")
    _ = data.load("tiny_images", data_dir=prepared, cache=False).test
    assert not (tmp_path / "elsewhere").exists() and not (prepared / "kspike_cache").exists()


@pytest.mark.parametrize("file", ["images.npy", "labels.npy", "meta.json"])
def test_damaged_or_cut_off_files_are_decoded_again(prepared, monkeypatch, file):
    before = data.load("tiny_images", data_dir=prepared, **GIVEN).test.images.copy()
    target = next((prepared / "kspike_cache").rglob(file))
    content = target.read_bytes()
    target.write_bytes(content[: len(content) // 2])
    parts = decodings(monkeypatch)
    with pytest.warns(UserWarning, match="unreadable"):
        after = data.load("tiny_images", data_dir=prepared, **GIVEN).test
    assert parts == ["test"]
    np.testing.assert_array_equal(before, after.images)
    assert target.read_bytes() == content


def test_a_set_prepared_anew_is_decoded_anew(prepared, monkeypatch):
    _ = data.load("tiny_images", data_dir=prepared, **GIVEN).test
    record = next((prepared / "tiny_images").rglob("*test.array_record*"))
    shutil.copyfile(record, record.with_suffix(".new"))
    record.with_suffix(".new").replace(record)  # the same bytes at another time
    parts = decodings(monkeypatch)
    _ = data.load("tiny_images", data_dir=prepared, **GIVEN).test
    assert parts == ["test"]
    assert len(list((prepared / "kspike_cache" / "tiny_images" / "1.0.0").iterdir())) == 1


def test_a_folder_that_cannot_be_written_costs_a_warning_not_the_run(prepared, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("KSPIKE_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="could not be kept"):
        assert data.load("tiny_images", data_dir=prepared).test.num_examples == 10


def test_a_run_killed_while_writing_leaves_nothing(prepared, monkeypatch):
    def killed(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        _ = data.load("tiny_images", data_dir=prepared).test
    assert list((prepared / "kspike_cache" / "tiny_images" / "1.0.0").iterdir()) == []


def test_the_folder_is_found_by_the_environment(prepared, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared))
    assert data.load("tiny_images").test.num_examples == 10


def test_smaller_images(prepared):
    whole = data.load("tiny_images", data_dir=prepared).test.images
    third = data.load("tiny_images", data_dir=prepared, image_size=(2, 3)).test
    np.testing.assert_array_equal(
        third.images, np.floor(whole.reshape(-1, 2, 3, 3, 2, 3).mean(axis=(2, 4)) + 0.5).astype(np.uint8)
    )
    odd = data.load("tiny_images", data_dir=prepared, image_size=4).test
    assert odd.input_shape == (4, 4, 3)
    first = whole[0].astype(float)  # pixel (0, 0) covers the first and half of the second row and column
    weights = np.array([1.0, 0.5])
    corner = np.einsum("i,j,ijc->c", weights, weights, first[:2, :2]) / 2.25
    np.testing.assert_array_equal(odd.images[0, 0, 0], np.floor(corner + 0.5))


def test_images_of_differing_size_without_ids_or_test_part(prepared):
    with pytest.raises(ValueError, match="differ in size: pass image_size="):
        data.load("tiny_photos", data_dir=prepared)
    dataset = data.load("tiny_photos", data_dir=prepared, image_size=(4, 5), batch_size=8)
    sizes = [dataset.train.num_examples, dataset.validation.num_examples, dataset.test.num_examples]
    assert dataset.input_shape == (4, 5, 3) and sizes == [14, 2, 4]
    parts = (dataset.train, dataset.validation, dataset.test)
    grey = np.concatenate([part.images for part in parts])
    assert (grey == grey[:, :1, :1, :1]).all()  # one colour each, and every image once
    assert sorted(grey[:, 0, 0, 0].tolist()) == [10 * i for i in range(20)]


def test_it_trains(prepared):
    dataset = data.load("tiny_images", data_dir=prepared, batch_size=12, augment="standard")
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = model.fit(dataset.train, validation_data=dataset.validation, epochs=1, verbose=0)
    assert np.isfinite(history.history["val_loss"][0])


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("digit", "Did you mean 'digits'"),
        ("cifar1O", "Did you mean .*'cifar10'"),
        ("no such thing", "cannot open 'no such thing'"),
        ("cifar10:9.9.9", "cannot open 'cifar10:9.9.9'"),
        ("imdb_reviews", "not a set of 8-bit still images"),
        (3, "expected the name of a data set"),
    ],
)
def test_names_that_are_no_data_set_here(prepared, name, says):
    expected = FileNotFoundError if name == "imdb_reviews" else ValueError
    says = "is not prepared in" if name == "imdb_reviews" else says
    with pytest.raises(expected, match=says):
        data.load(name, data_dir=prepared)


def test_a_set_of_other_things_than_images_is_refused(prepared):
    info = next((prepared / "tiny_images").rglob("dataset_info.json"))
    content = json.loads(info.read_text())
    del content["supervisedKeys"]
    info.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"not a set of 8-bit still images.*id \(Text\), image \(Image\), label"):
        data.load("tiny_images", data_dir=prepared)


def test_a_known_set_that_is_not_there_says_where_it_looked_and_how_to_get_it(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        data.load("cifar10", data_dir=tmp_path)
    for part in (str(tmp_path), "TFDS_DATA_DIR", "download=True", "download_and_prepare"):
        assert part in str(error.value)


def test_without_tensorflow_datasets_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ImportError, match=r"kspike\[data\]"):
        data.load("cifar10")
    with pytest.raises(ImportError, match="Did you mean 'digits'"):
        data.load("digit")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert data.load("digits").test.num_examples == 360


def test_the_part_that_tests_can_be_chosen(prepared):
    from kspike.data import sources

    def read(part):
        ids = np.array([f"{part}{i}" for i in range(10)])
        return sources.Images(np.zeros((10, 2, 2, 1), np.uint8), np.zeros(10, np.int32), ids)

    facts = {"image_shape": (2, 2, 1), "class_names": ("a",), "input_range": (0, 255), "read": read}
    source = sources.Source(name="x", version="1", splits=("train", "validation", "test"), **facts)
    plain = {"batch_size": 1, "seed": 0, "augmentation": data.Augmentation()}
    assert data.Dataset(source, **plain).test.ids[0] == "test0"
    assert data.Dataset(source, **plain, test_split="validation").test.ids[0] == "validation0"
    with pytest.raises(ValueError, match="has the splits train, validation, test"):
        data.Dataset(source, **plain, test_split="holdout")


def test_a_part_without_labels_is_refused(prepared, monkeypatch):
    collect = tfds_source.collect
    monkeypatch.setattr(tfds_source, "collect", lambda *a: collect(*a)._replace(labels=np.full(10, -1, np.int32)))
    with pytest.raises(ValueError, match="has no labels .*test_split="):
        _ = data.load("tiny_images", data_dir=prepared, **GIVEN).test
