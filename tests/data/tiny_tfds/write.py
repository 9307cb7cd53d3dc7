"""Turns random pixels into the small TFDS sets of these tests, through TFDS' public builder: python write.py DIR

DIR/array_record and DIR/tfrecord hold `tiny_images` (40 + 10 images of 6x6, each with an id, in three unequal classes)
in both formats; DIR/array_record also `tiny_photos` (20 images of differing sizes, no ids, no test part).
Needs tensorflow, to write; the files beside this script were written by it once.
"""

import sys
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds


class TinyImages(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "id": tfds.features.Text(),
            "image": tfds.features.Image(shape=(6, 6, 3)),
            "label": tfds.features.ClassLabel(names=["much", "some", "few"]),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description="Random pixels.",
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
            homepage="https://example.org/tiny",
            citation="nobody",
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples("train", 40), "test": self._generate_examples("test", 10)}

    def _generate_examples(self, part, count):
        rng = np.random.default_rng([count])
        for i in range(count):
            # Labels 0 0 0 1 0 0 0 1 0 2 and so on: seven, two and one of ten.
            label = (0, 0, 0, 1, 0, 0, 0, 1, 0, 2)[i % 10]
            image = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
            yield i, {"id": f"{part}_{i:05d}", "image": image, "label": label}


class TinyPhotos(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
            "label": tfds.features.ClassLabel(num_classes=2),
        }
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features), supervised_keys=("image", "label")
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for i in range(20):  # one colour an image, so that any crop averages to it
            yield i, {"image": np.full((8 + i % 3, 12 - i % 5, 3), 10 * i, np.uint8), "label": i % 2}


if __name__ == "__main__":
    root = Path(sys.argv[1])
    TinyImages(data_dir=root / "array_record", file_format="array_record").download_and_prepare()
    TinyImages(data_dir=root / "tfrecord", file_format="tfrecord").download_and_prepare()
    TinyPhotos(data_dir=root / "array_record", file_format="array_record").download_and_prepare()
