"""Data sets of other libraries as one of ours: torch, TensorFlow, Keras, and what looks like Hugging Face's."""

import itertools

import keras
import numpy as np
import pytest
from PIL import Image

from kspike import _batches, data

pytestmark = pytest.mark.once

CLASSES = ("ant", "bee", "cow")


def pixels(n=30, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 6, 6, 3), dtype="uint8")


LABELS = np.arange(30) % 3


class Pairs:
    """As torch's map-style Dataset: single images by number."""

    def __init__(self, images, labels, change=lambda image: image):
        self.images, self.labels, self.change = images, labels, change

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        return self.change(self.images[i]), self.labels[i]


class Batches(keras.utils.PyDataset):
    def __init__(self, order=range(30), size=7):
        super().__init__()
        self.order, self.size = np.asarray(order), size

    def __len__(self):
        return -(-len(self.order) // self.size)

    def __getitem__(self, i):
        rows = self.order[i * self.size : (i + 1) * self.size]
        return pixels()[rows], LABELS[rows]


class Features(list):
    """As a Hugging Face data set: rows as dictionaries, names of classes in its features."""

    class Named:
        names = list(CLASSES)

    features = {"image": None, "label": Named()}


def same(found, other):
    for name in ("train", "validation", "test"):
        one, two = getattr(found, name), getattr(other, name)
        key = lambda part: sorted(
            (image.tobytes(), int(label)) for image, label in zip(part.images, part.labels, strict=True)
        )
        assert key(one) == key(two), name


def test_single_images_by_number_are_as_arrays():
    found = data.from_dataset(Pairs(pixels(), LABELS), class_names=CLASSES, memory=5 * 108)
    arrays = data.from_arrays(pixels(), LABELS, class_names=CLASSES)
    same(found, arrays)
    np.testing.assert_array_equal(found.train[0][0] if found.train.num_examples < 64 else 0, arrays.train[0][0])
    assert found.split_hash == arrays.split_hash


def test_torch_sets_and_loaders():
    torch = pytest.importorskip("torch")
    channels_first = torch.from_numpy(pixels().transpose(0, 3, 1, 2).copy())
    pairs = torch.utils.data.TensorDataset(channels_first, torch.from_numpy(LABELS))
    found = data.from_dataset(pairs, channels_first=True)
    same(found, data.from_arrays(pixels(), LABELS))
    loader = torch.utils.data.DataLoader(pairs, batch_size=4, shuffle=True)
    once, again = (data.from_dataset(loader, channels_first=True) for _ in range(2))
    same(once, again)  # in whatever order they come
    assert once.split_hash == again.split_hash and once.train.hash == again.train.hash
    scaled = Pairs(channels_first.float() / 255, LABELS)
    assert data.from_dataset(scaled, channels_first=True, input_range=(0, 1)).train.images.dtype == "float32"
    with pytest.raises(ValueError, match="channels_first=True"):
        data.from_dataset(loader, image_size=4)


def test_batches_of_keras():
    same(data.from_dataset(Batches()), data.from_dataset(Batches(np.random.default_rng(0).permutation(30), 4)))


def test_rows_with_pictures_and_named_classes():
    rows = Features(
        {"image": Image.fromarray(image), "label": int(k)} for image, k in zip(pixels(), LABELS, strict=True)
    )
    test = Features({"image": Image.fromarray(image), "label": 0} for image in pixels(3, seed=1))
    found = data.from_dataset({"train": rows, "test": test}, image_size=4)
    assert found.class_names == CLASSES and found.input_shape == (4, 4, 3) and found.test.num_examples == 3
    with pytest.raises(ValueError, match="test: given beside"):
        data.from_dataset({"train": rows, "test": test}, test=0.5)
    with pytest.raises(ValueError, match="fields image, label"):
        data.from_dataset(list(rows), image_key="picture")


def test_random_changes_are_noticed():
    rng = np.random.default_rng(0)
    noisy = lambda image: (image // 2 + rng.integers(0, 128, image.shape)).astype("uint8")
    with pytest.raises(ValueError, match="image 0 is another one when it is read again.*augment="):
        data.from_dataset(Pairs(pixels(), LABELS, noisy))

    class Noisy(Batches):
        def __getitem__(self, i):
            images, labels = super().__getitem__(i)
            return noisy(images), labels

    with pytest.raises(ValueError, match="first batch is another one.*augment="):
        data.from_dataset(Noisy())


def broken(image):
    raise OSError("disk gone")


class NamedBatches(Batches):
    def __getitem__(self, i):
        return dict(zip(("image", "label"), super().__getitem__(i), strict=True))


def test_batches_by_name_are_those_by_place():
    same(data.from_dataset(NamedBatches()), data.from_dataset(Batches()))


BAD = {
    "a number": (3, "expected a tf.data.Dataset"),
    "nothing": (Pairs(pixels()[:0], LABELS[:0]), "of none"),
    "a path": ("photos", "from_directory"),
    "no labels": (iter([pixels()]), r"\(image, label\) pairs"),
    "weights": (iter([(pixels(), LABELS, np.ones(30))]), "received 3 things: weights"),
    "an empty stream": (iter([]), "that gives none"),
    "another part": ({"train": Batches(), "extra": Batches()}, "Expected the parts train, validation, test"),
    "dictionaries in pairs": (iter([({"left": pixels()}, LABELS)]), "received dictionaries inside a pair"),
    "labels of two kinds": (iter([(pixels(), LABELS), (pixels(), np.eye(3)[LABELS])]), "rows in another"),
    "no end": (itertools.cycle([(pixels(), LABELS)]), "repeats without end"),
    "no end, unsaid": (iter(lambda: (pixels(), LABELS), None), "more than 100 images: it seems to have no end"),
    "broken": (Pairs(pixels(), LABELS, broken), "30 of 30 cannot be read; train image 0: .*OSError: disk gone"),
    "sizes": (Pairs([pixels()[0], pixels()[1][:4], *pixels()[2:]], LABELS), "differ in shape.*image_size="),
}


@pytest.mark.parametrize("given, said", BAD.values(), ids=BAD)
def test_bad_data_is_refused(given, said, monkeypatch):
    monkeypatch.setattr(_batches, "MOST", 100)
    with pytest.raises(ValueError, match=said):
        data.from_dataset(given)


def test_a_stream_larger_than_the_memory_is_refused():
    with pytest.raises(ValueError, match="more than memory=500 bytes.*larger memory="):
        data.from_dataset(Batches(), memory=500)
