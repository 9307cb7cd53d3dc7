"""One part as Keras sees it: batches by seed and epoch, `fit` on this backend, and other views of the same images."""

import keras
import numpy as np
import pytest

from kspike import data
from kspike.data import split as split_module


def images_of(split):
    return np.concatenate([images for images, _ in split])


def same(one, other):
    return all(np.array_equal(a, b) for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=True))


def classifier():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-2), loss, metrics=["accuracy"])
    return model


@pytest.mark.shared
def test_order_and_augmentation_follow_seed_and_epoch_alone():
    def batches(seed, epoch):
        train = data.load("digits", seed=seed, augment="shift").train
        train.set_epoch(epoch)
        return list(train)

    assert same(batches(3, 5), batches(3, 5))
    assert not same(batches(3, 5), batches(3, 6))
    assert not same(batches(3, 5), batches(4, 5))


@pytest.mark.shared
def test_an_epoch_shows_each_image_at_most_once_and_in_time_all():
    train = data.load("digits", batch_size=100).train  # 1,152 images: 11 batches, 52 images over
    seen = set()
    for epoch in range(4):
        train.set_epoch(epoch)
        labels = np.concatenate([labels for _, labels in train])
        assert len(labels) == 1100
        order = train._order(epoch)[:1100]
        assert len(set(order)) == 1100
        np.testing.assert_array_equal(train._pool.labels[order], labels)
        seen |= set(order.tolist())
    assert len(seen) == 1152


@pytest.mark.shared
def test_batches_read_in_any_order_are_the_same():
    train = data.load("digits", augment="standard").train
    forwards = [train[i] for i in range(len(train))]
    backwards = [train[i] for i in reversed(range(len(train)))][::-1]
    assert same(forwards, backwards)
    with pytest.raises(IndexError, match="18 batches"):
        train[18]


@pytest.mark.slow
def test_fit_counts_epochs_once_each_and_goes_on_where_it_stopped():
    dataset, model, seen = data.load("digits", seed=1), classifier(), []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(dataset.train.epoch)

    fit = {"validation_data": dataset.validation, "verbose": 0, "callbacks": [Watch()], "shuffle": False}
    model.fit(dataset.train, epochs=2, **fit)
    model.fit(dataset.train, epochs=1, **fit)
    assert seen == [0] * 18 + [1] * 18 + [2] * 18 and dataset.train.epoch == 3
    dataset.train.set_epoch(7)
    seen.clear()
    model.fit(dataset.train, epochs=1, **fit)
    classifier().fit(dataset.train, epochs=1, **fit)  # a fresh model, which Keras builds by a batch before the epoch
    assert seen == [7] * 18 + [8] * 18


@pytest.mark.slow
def test_fit_learns_and_a_resumed_run_ends_where_an_unbroken_one_does():
    dataset = data.load("digits", augment="shift", batch_size=128)
    whole = classifier()
    whole.fit(dataset.train, epochs=4, verbose=0, shuffle=False)
    assert whole.evaluate(dataset.validation, verbose=0, return_dict=True)["accuracy"] > 0.7

    first = classifier()
    first.fit(data.load("digits", augment="shift", batch_size=128).train, epochs=2, verbose=0, shuffle=False)
    again = data.load("digits", augment="shift", batch_size=128)
    again.train.set_epoch(2)
    first.fit(again.train, epochs=2, verbose=0, shuffle=False)
    for one, other in zip(whole.get_weights(), first.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


@pytest.mark.shared
def test_validation_and_test_keep_their_last_batch_and_their_order():
    dataset = data.load("digits", augment="standard")
    for part in (dataset.validation, dataset.test):
        assert sum(len(labels) for _, labels in part) == part.num_examples
        np.testing.assert_array_equal(np.concatenate([labels for _, labels in part]), part.labels)
        part.set_epoch(9)
        np.testing.assert_array_equal(images_of(part), dataset.normalize(part.images))


@pytest.mark.shared
def test_training_batches_have_one_size_and_a_small_set_still_has_one():
    dataset = data.load("digits", batch_size=1000)
    assert [len(labels) for _, labels in dataset.train] == [1000]
    assert [len(labels) for _, labels in dataset.train.subset(10)] == [10]
    assert [len(labels) for _, labels in dataset.train.rebatch(1000, drop_remainder=False)] == [1000, 152]


@pytest.mark.shared
def test_without_augmentation_gives_the_same_images_as_they_are_in_a_fixed_order():
    dataset = data.load("digits", augment="standard")
    plain = dataset.train.without_augmentation()
    assert plain.hash == dataset.train.hash and len(plain) == 18
    before = images_of(plain)
    np.testing.assert_array_equal(before, dataset.normalize(plain.images))
    np.testing.assert_array_equal(before, images_of(data.load("digits", seed=5).train.without_augmentation()))
    classifier().fit(plain, epochs=1, verbose=0, shuffle=False)
    np.testing.assert_array_equal(images_of(plain), before)
    assert (np.bincount(plain[0][1], minlength=10) >= 6).all()  # the first batch is a fair sample


@pytest.mark.shared
def test_halves_are_fixed_disjoint_and_complete():
    validation = data.load("digits", seed=0).validation
    first, second = validation.halves()
    assert (first.num_examples, second.num_examples) == (143, 142)
    assert sorted([*first.ids, *second.ids]) == sorted(validation.ids)
    assert [half.hash for half in data.load("digits", seed=3).validation.halves()] == [first.hash, second.hash]


@pytest.mark.shared
def test_subsets_are_nested_and_balanced():
    train = data.load("digits").train
    few, many = train.subset(50), train.subset(100)
    assert set(few.ids) < set(many.ids) and np.bincount(many.labels).tolist() == [10] * 10
    with pytest.raises(ValueError, match="at most 1152"):
        train.subset(2000)


@pytest.mark.shared
def test_soft_labels_come_with_mixup_or_on_request():
    dataset = data.load("digits", augment=data.Augmentation(mixup=0.5))
    _, labels = dataset.train[0]
    assert labels.shape == (64, 10) and labels.dtype == np.float32
    np.testing.assert_allclose(labels.sum(axis=1), 1.0, atol=1e-6)
    assert dataset.validation[0][1].shape == (64,)
    _, hard = dataset.validation.one_hot()[0]
    np.testing.assert_array_equal(hard.argmax(axis=1), dataset.validation.labels[:64])
    assert dataset.train.without_augmentation()[0][1].shape == (64,)


@pytest.mark.shared
def test_a_view_keeps_the_epoch_and_goes_its_own_way():
    train = data.load("digits").train
    train.set_epoch(4)
    part = train.subset(100)
    assert part.epoch == 4
    part.set_epoch(0)
    assert train.epoch == 4


@pytest.mark.shared
@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"batch_size": 0}, "batch_size: expected a whole number"),
        ({"batch_size": 2.5}, "batch_size"),
        ({"seed": -1}, "seed"),
        ({"image_size": (16, 16)}, "larger than the images of 'digits'"),
        ({"image_size": 0}, "image_size: expected a positive number"),
        ({"image_size": (8, 8, 1)}, "image_size"),
        ({"image_size": 4.0}, "image_size"),
        ({"mean": [0.1, 0.2]}, "mean: expected 1 finite number"),
        ({"std": [0.0]}, "above zero"),
        ({"augment": "flipshift"}, "Did you mean 'flip_shift'"),
        ({"test_split": "holdout"}, "has the splits train"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_read(monkeypatch, wrong, says):
    monkeypatch.setattr(split_module.Split, "__init__", lambda *a, **k: pytest.fail("work was started"))
    with pytest.raises(ValueError, match=says):
        data.load("digits", **wrong)
