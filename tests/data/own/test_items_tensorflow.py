"""tf.data as a data set of ours."""

import keras
import numpy as np
import pytest

from kspike import data

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="importing TensorFlow takes seconds")


def pixels(n=30):
    return np.random.default_rng(0).integers(0, 256, (n, 6, 6, 3), dtype="uint8")


LABELS = np.arange(30) % 3


def contents(part):
    return sorted((image.tobytes(), int(label)) for image, label in zip(part.images, part.labels, strict=True))


def test_single_images_and_batches_in_any_order_are_cut_alike():
    import tensorflow as tf

    singles = tf.data.Dataset.from_tensor_slices((pixels(), LABELS))
    found = data.from_dataset(singles)
    for other in (singles.shuffle(30).batch(8), singles.batch(8).map(lambda x, y: {"image": x, "label": y})):
        again = data.from_dataset(other)
        for part in ("train", "validation", "test"):
            assert contents(getattr(again, part)) == contents(getattr(found, part))
    assert [found.train.num_examples, found.validation.num_examples, found.test.num_examples] == [21, 3, 6]
    with pytest.raises(ValueError, match="repeats without end"):
        data.from_dataset(singles.repeat())
