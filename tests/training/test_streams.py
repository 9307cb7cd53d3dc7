"""Training on what can only be read from the first batch to the last: tf.data, DataLoader, any iterable."""

import itertools

import keras
import numpy as np
import pytest

from kspike import _batches
from kspike.data import Augmentation
from kspike.training import Recipe, train
from kspike.training.inputs import Arrays, read, soften
from kspike.training.streams import Stream

pytestmark = pytest.mark.shared

RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.normal(size=(40, 8, 8, 2)).astype("float32"), np.arange(40) % 3
RECIPE = Recipe(epochs=2, batch_size=8, learning_rate=0.05)


class Batches:
    """As a DataLoader: iterated over anew each epoch, with a length, without numbers."""

    def __init__(self, images=IMAGES, labels=LABELS, size=8):
        self.images, self.labels, self.size, self.readings = images, labels, size, 0

    def __iter__(self):
        self.readings += 1
        for i in range(0, len(self.images), self.size):
            yield self.images[i : i + self.size], self.labels[i : i + self.size]


def network():
    keras.utils.set_random_seed(0)
    layers = [keras.Input((8, 8, 2)), keras.layers.Flatten(), keras.layers.Dense(3)]
    return keras.Sequential(layers)


def test_an_iterable_trains_as_the_same_batches_do():
    class Numbered(keras.utils.PyDataset):
        def __len__(self):
            return 5

        def __getitem__(self, i):
            return IMAGES[8 * i : 8 * i + 8], LABELS[8 * i : 8 * i + 8]

    weights = [
        train(network(), data, RECIPE, validation_data=data, verbose=0).get_weights()
        for data in (Batches(), Numbered())
    ]
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_batches_come_in_order_from_wherever_reading_begins():
    stream = Stream(Batches(), "training")
    assert len(stream) == 5
    for order in ((0, 1, 2), (0, 0, 1), (3, 1), (4,)):
        for i in order:
            np.testing.assert_array_equal(stream[i][0], IMAGES[8 * i : 8 * i + 8])


def test_the_recipe_augments_it_as_arrays():
    changes = Augmentation(flip=0.5, shift=0.25, erase=0.5)
    found, _ = read(Batches(), None, RECIPE.replace(augment=changes))
    found.set_epoch(3)
    arrays = Arrays(IMAGES, LABELS, 8, None, changes)
    arrays.set_epoch(3)
    for i in range(5):
        np.testing.assert_allclose(found[i][0], arrays[i][0], atol=1e-6)
    assert not np.array_equal(found[0][0], IMAGES[:8])


def test_smoothing_and_mixup_have_their_labels_made():
    for recipe in (RECIPE.replace(label_smoothing=0.1), RECIPE.replace(augment=Augmentation(mixup=0.5))):
        training, validation, soft = soften(*read(Batches(), Batches(), recipe), recipe, 3)
        assert soft and training[0][1].shape == (8, 3) and validation[0][1].shape == (8, 3)
        np.testing.assert_allclose(training[0][1].sum(1), 1, rtol=1e-6)


def single():
    return [(image, label) for image, label in zip(IMAGES, LABELS, strict=True)]


class Pairs:
    """As torch's Dataset."""

    def __len__(self):
        return 40

    def __getitem__(self, i):
        return IMAGES[i], LABELS[i]


class Shrinking(Batches):
    def __iter__(self):
        self.images = self.images[:-8] if self.readings else self.images
        return super().__iter__()


BAD = {
    "single images": (Pairs, "gives single images, a Pairs: make batches"),
    "single in a stream": (lambda: iter_again(single()), "must come in batches"),
    "an iterator": (lambda: iter(Batches()), "can be read once"),
    "whole numbers": (lambda: Batches((IMAGES * 9).astype("uint8")), "raw pixels as a rule"),
    "NaN": (lambda: Batches(np.where(IMAGES > 3, np.nan, IMAGES)), r"finite training images; in batch \d"),
    "another size": (lambda: Batches(size=5), "batch_size=8, the data was loaded with 5"),
    "no labels": (lambda: iter_again([IMAGES[:8]]), r"batches \(images, labels\)"),
    "words": (lambda: iter_again([(IMAGES[:8], np.array(["ant"] * 8))]), "labels are <U3; expected whole numbers"),
    "nothing": (lambda: iter_again([]), "gives no batch"),
    "classes": (lambda: Batches(labels=LABELS + 5), "has 3 classes, the training labels reach"),
    "a shape": (lambda: Batches(IMAGES[:, :4]), "takes images of shape"),
    "another shape on the way": (lambda: iter_again([one(), (IMAGES[:8, :4], LABELS[:8])]), "in batch 2 images of"),
    "other labels on the way": (lambda: iter_again([one(), (IMAGES[:8], np.eye(3)[LABELS[:8]])]), "batch 2.*labels of"),
    "classes on the way": (lambda: iter_again([one(), (IMAGES[:8], LABELS[:8] + 7)]), "labels reach from 0 to 9"),
    "halves": (lambda: iter_again([(IMAGES[:8], LABELS[:8] + 0.5)]), "others than whole numbers among"),
    "an empty batch": (lambda: iter_again([one(), (IMAGES[:0], LABELS[:0])]), "a batch of no images"),
    "three things": (lambda: iter_again([(*one(), np.ones(8))]), r"batches \(images, labels\); it gave a tuple"),
    "dictionaries": (lambda: iter_again([({"a": IMAGES[:8]}, LABELS[:8])]), "it gave dictionaries"),
    "no end": (lambda: Endless(lambda: itertools.repeat(one())), "gave more than 100 images: it seems to have no end"),
    "no end, by Keras": (lambda: Numbered(None), "repeats without end"),
    "no batch": (lambda: Numbered(0), "gives no batch"),
    "a list of batches": (lambda: [one(), one()], "A list of batches is given as a keras.utils.PyDataset"),
}


def one():
    return IMAGES[:8], LABELS[:8]


class Endless:
    def __init__(self, make):
        self.make = make

    def __iter__(self):
        return self.make()


class Numbered(keras.utils.PyDataset):
    """By number, as many batches as it says; the last is another."""

    def __init__(self, count, last=one):
        super().__init__()
        self.count, self.last = count, last

    @property
    def num_batches(self):
        return self.count

    def __getitem__(self, i):
        return self.last() if i == self.count - 1 else one()


def iter_again(items):
    class Again:
        def __iter__(self):
            return iter(items)

    return Again()


@pytest.mark.parametrize("data, said", BAD.values(), ids=BAD)
def test_bad_streams_are_refused_before_work(data, said, monkeypatch):
    monkeypatch.setattr(_batches, "MOST", 100)
    with pytest.raises(ValueError, match=said):
        train(network(), data(), RECIPE, verbose=0)


def test_a_batch_by_number_that_does_not_fit_is_named_where_it_ends_the_training(tmp_path):
    class Sized(Numbered):
        def __len__(self):
            return self.count

    data = Sized(3, lambda: (IMAGES[:8, :4], LABELS[:8]))
    with pytest.raises(ValueError, match="training data does not fit: in batch 3, read again, images have shape .8, 4"):
        train(network(), data, RECIPE, verbose=0)


def test_a_stream_that_gives_less_the_second_time_is_noticed():
    with pytest.raises(ValueError, match="gave 5 batches when it was first read, and now [0-4]:"):
        train(network(), Shrinking(), RECIPE, verbose=0)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="a backend's own")
def test_a_loader_of_torch():
    import torch

    data = torch.utils.data.TensorDataset(torch.from_numpy(IMAGES), torch.from_numpy(LABELS))
    loader = torch.utils.data.DataLoader(data, batch_size=8, shuffle=True)
    model = train(network(), loader, RECIPE.replace(augment="flip_shift"), validation_data=loader, verbose=0)
    assert np.isfinite(model.get_weights()[0]).all()


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a backend's own")
def test_a_set_of_tf_data():
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).shuffle(40).batch(8)
    model = train(network(), data, RECIPE.replace(augment="flip_shift"), validation_data=data, verbose=0)
    assert np.isfinite(model.get_weights()[0]).all()
    with pytest.raises(ValueError, match="repeats without end"):
        train(network(), data.repeat(), RECIPE, verbose=0)
