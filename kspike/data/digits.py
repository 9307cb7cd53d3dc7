"""Reads the 1,797 handwritten 8x8 digits that travel with the package: no network, nothing to install."""

import hashlib
import io
from importlib import resources

import numpy as np

from kspike.data.sources import Images, Source, in_order_of_ids

SHA256 = "b2dab7b501728c22e9119ad76740b2e17c77a231e42d1e592380d90886f1a05e"
# 360 test images, fixed. Of the other 1,437, 285 validate, so that the 1,152 that train fill batches of 32, 64 and 128.
TEST_SIZE, VALIDATION_SIZE = 360, 285
CITATION = (
    "Alpaydin, E. and Kaynak, C. (1998). Optical Recognition of Handwritten Digits [Dataset]. "
    "UCI Machine Learning Repository. https://doi.org/10.24432/C50P49"
)


def source() -> Source:
    """Describes the digits: uint8 (8, 8, 1), values 0..16, ten classes, one split, ids "0000" to "1796"."""
    return Source(
        name="digits",
        version="1998",
        image_shape=(8, 8, 1),
        class_names=tuple("0123456789"),
        input_range=(0, 16),
        splits=("train",),
        read=_read,
        source="https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
        license="CC BY 4.0",
        citation=CITATION,
        mirrored=False,
        validation_size=VALIDATION_SIZE,
        test_size=TEST_SIZE,
    )


def _read(split: str) -> Images:
    content = (resources.files("kspike.data") / "files" / "digits.npz").read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise ValueError(
            f"kspike/data/files/digits.npz was altered: expected SHA-256 {SHA256}, received {found}. Reinstall kspike."
        )
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        images, labels = arrays["images"][..., None], arrays["labels"]
    return in_order_of_ids(images, labels, np.array([f"{i:04d}" for i in range(len(images))]))
