"""The digits of the package: what they are, where each image belongs, and that nobody changed them."""

import hashlib
from importlib import resources

import numpy as np
import pytest

from kspike import data
from kspike.data import digits, partition, published

pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def dataset():
    return data.load("digits", batch_size=64, seed=0)


def test_facts_state_shape_range_licence_and_source(dataset):
    assert (dataset.input_shape, dataset.num_classes, dataset.input_range) == ((8, 8, 1), 10, (0, 16))
    assert dataset.class_names == tuple("0123456789")
    assert dataset.license == "CC BY 4.0" and "10.24432/C50P49" in dataset.citation
    text = (resources.files("kspike.data") / "files" / "DIGITS_LICENSE.txt").read_text(encoding="utf-8")
    assert "CC BY 4.0" in text and "Alpaydin" in text and "What was changed" in text


def test_pixels_are_those_of_the_uci_file(dataset):
    whole = [dataset.train, dataset.validation, dataset.test]
    order = np.argsort(np.concatenate([part.ids for part in whole]))
    images = np.concatenate([part.images for part in whole])[order]
    labels = np.concatenate([part.labels for part in whole])[order]
    assert images.shape == (1797, 8, 8, 1) and images.dtype == np.uint8 and labels.dtype == np.int32
    assert (images.min(), images.max()) == (0, 16)
    # The published counts of classes in optdigits.tes, its first line, and a sum over all of it.
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert labels[:10].tolist() == list(range(10))
    assert images[0, :2, :, 0].tolist() == [[0, 0, 5, 13, 9, 1, 0, 0], [0, 0, 13, 15, 10, 15, 5, 0]]
    assert int(images.sum()) == 561718


def test_parts_are_disjoint_complete_balanced_and_of_fixed_size(dataset):
    ids = [set(part.ids.tolist()) for part in (dataset.train, dataset.validation, dataset.test)]
    assert [len(i) for i in ids] == [1152, 285, 360]
    assert len(set.union(*ids)) == 1797
    for part in (dataset.train, dataset.validation, dataset.test):
        counts = np.bincount(part.labels, minlength=10)
        assert counts.max() - counts.min() <= 0.06 * part.num_examples / 10 + 1


def test_the_published_cut_is_the_one_in_use(dataset):
    known = published.published("digits")
    for part in (dataset.validation, dataset.test):
        assert part.ids.tolist() == [known["id_format"].format(i) for i in known[part.name]]
    ids = {name: np.array([known["id_format"].format(i) for i in known[name]]) for name in ("test", "validation")}
    assert known["sha256"] == partition.digest(ids) == dataset.split_hash


def test_a_seed_moves_no_image_between_parts(dataset):
    other = data.load("digits", batch_size=32, seed=7)
    assert other.split_hash == dataset.split_hash
    for name in ("train", "validation", "test"):
        assert getattr(other, name).hash == getattr(dataset, name).hash


def test_batches_are_normalised_and_know_their_type(dataset):
    images, labels = next(iter(dataset.test))
    assert images.shape == (64, 8, 8, 1) and images.dtype == np.float32
    assert labels.shape == (64,) and labels.dtype == np.int32
    expected = (dataset.test.images[:64] / 16 - dataset.mean[0]) / dataset.std[0]
    np.testing.assert_allclose(images, expected, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(dataset.normalize(dataset.test.images[:64]), images)


def test_mean_and_std_are_those_of_the_training_images(dataset):
    pixels = dataset.train.images / 16
    assert dataset.mean == pytest.approx([pixels.mean()], abs=5e-5)
    assert dataset.std == pytest.approx([pixels.std()], abs=5e-5)


def test_given_mean_and_std_replace_the_measured_ones():
    dataset = data.load("digits", mean=[0.5], std=[0.25])
    images, _ = dataset.test[0]
    np.testing.assert_allclose(images, (dataset.test.images[:64] / 16 - 0.5) / 0.25, atol=1e-6)


def test_smaller_images_are_means_of_blocks():
    small, large = data.load("digits", image_size=(4, 4)), data.load("digits")
    assert small.input_shape == (4, 4, 1) and small.split_hash == large.split_hash
    blocks = large.test.images.reshape(-1, 4, 2, 4, 2, 1).mean(axis=(2, 4))
    np.testing.assert_array_equal(small.test.images, np.floor(blocks + 0.5).astype(np.uint8))


def test_an_altered_file_is_refused(monkeypatch):
    monkeypatch.setattr(digits, "SHA256", hashlib.sha256(b"another").hexdigest())
    with pytest.raises(ValueError, match="altered"):
        _ = data.load("digits").train


def test_facts_are_plain_json_and_leave_the_test_alone(dataset):
    import json

    fresh = data.load("digits")
    facts = json.loads(json.dumps(fresh.to_dict()))
    assert facts["split_hash"] == dataset.split_hash and facts["examples"] == {"train": 1152, "validation": 285}
    assert "test" not in vars(fresh)
