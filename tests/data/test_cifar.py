"""Real CIFAR, where it is prepared: pixels, the published cut, and its length. Slow: decodes 60,000 images once."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from kspike import data
from kspike.data import published

pytestmark = pytest.mark.slow

# SHA-256 of the 50,000 training images in the order of the original files, and of their labels as bytes.
TRAIN = {
    "cifar10": "47af8b02cfcfb6cdf3dbbd1969ad7f1b70f4413f6f80f437b020ee4e5bc8304a",
    "cifar100": "4e457917601a66aed021f5fa37957b56c6319557c0a8ed5484de3c390af45430",
}
LABELS = {
    "cifar10": "2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253",
    "cifar100": "9f11b9f97aad759ba6df0a33e3218b01d8deaf4ed3a14aa1185d69b9ad7ebcb3",
}


@pytest.fixture(params=["cifar10", "cifar100"])
def dataset(request):
    pytest.importorskip("tensorflow_datasets")
    root = Path(os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser()
    if not (root / request.param).is_dir():
        pytest.skip(f"{request.param} is not prepared in {root}")
    return data.load(request.param)


def test_the_pixels_are_the_original_ones_and_the_cut_is_the_published_one(dataset):
    images, labels, _ = dataset._pool
    assert hashlib.sha256(np.ascontiguousarray(images)).hexdigest() == TRAIN[dataset.name]
    assert hashlib.sha256(labels.astype(np.uint8)).hexdigest() == LABELS[dataset.name]
    known = published.published(dataset.name)
    assert dataset.split_hash == known["sha256"]
    assert dataset.validation.ids.tolist() == [f"train_{i:05d}" for i in known["validation"]]
    per_class = np.bincount(dataset.validation.labels)
    assert per_class.min() == per_class.max() == 5000 // dataset.num_classes
    assert dataset.train.num_examples == 45_000 and len(set(dataset.class_names)) == dataset.num_classes


def test_the_test_part_is_the_official_one(dataset):
    assert dataset.test.num_examples == 10_000
    assert dataset.test.ids[0] == "test_00000" and np.ptp(np.bincount(dataset.test.labels)) == 0
