"""What a recipe says happens to every kind of data, or is refused: nothing is recorded that was not done."""

import dataclasses

import keras
import numpy as np
import pytest

import kspike
from kspike.data import Augmentation
from kspike.training import Recipe, inputs, train

STRONG = Augmentation(flip=0.5, shift=0.25, erase=0.5)


@pytest.fixture(scope="module")
def digits():
    """The digits, and their training images as floats, as a user has them who scaled them."""
    data = kspike.data.load("digits")
    return data, data.normalize(data.train.images), data.train.labels


def as_arrays(digits, augment, **changes):
    recipe = Recipe(augment=augment, seed=5, **changes)
    training, _ = inputs.read(digits[1:], None, recipe)
    return training, recipe


@pytest.mark.once
@pytest.mark.parametrize("augment", ["shift", "flip_shift", STRONG, dataclasses.replace(STRONG, fill="mean")])
def test_arrays_are_augmented_as_the_data_set_they_come_from(digits, augment):
    arrays, recipe = as_arrays(digits, augment)
    meant = Augmentation(flip=0.5, shift=0.125) if augment == "flip_shift" else augment
    split = recipe.replace(augment=meant).load_data("digits").train
    changed = 0
    for epoch in (0, 3):
        arrays.set_epoch(epoch)
        split.set_epoch(epoch)
        for i in (0, 2):
            (images, labels), (expected, same) = arrays[i], split[i]
            np.testing.assert_array_equal(labels, same)
            # the set's mean is rounded to six digits; as a fill, to a grey level of raw pixels
            step = 0.5 / 16 / digits[0].std[0] if getattr(augment, "fill", "") == "mean" else 2e-4
            np.testing.assert_allclose(images, expected, rtol=0, atol=step)
            plain = as_arrays(digits, None)[0]
            plain.set_epoch(epoch)
            changed += float(np.abs(images - plain[i][0]).max()) > 0.1
    assert changed == 4


@pytest.mark.once
def test_distorted_and_mixed_arrays_are_those_of_the_data_set_to_a_grey_level(digits):
    turned = Augmentation(distort=1.0, operations=("rotate", "shear_x", "translate_y"), mixup=0.5)
    arrays, recipe = as_arrays(digits, turned)
    arrays, _, soft = inputs.soften(arrays, None, recipe, 10)
    split = recipe.load_data("digits").train
    assert soft
    (images, labels), (expected, shares) = arrays[1], split[1]
    np.testing.assert_allclose(images, expected, rtol=0, atol=0.51 / 16 / digits[0].std[0])
    np.testing.assert_allclose(labels, shares, atol=1e-6)
    assert ((labels > 0).sum(1) == 2).any()
    # equalised: as many dark as bright ones, between the ends of the channel
    equal, _ = as_arrays(digits, Augmentation(distort=1.0, operations=("equalize",)))
    even, plain = equal[0][0], as_arrays(digits, None)[0][0][0]
    assert even.shape == plain.shape and even.dtype == np.float32 and not np.array_equal(even, plain)
    assert (even.min(), even.max()) == pytest.approx((digits[1].min(), digits[1].max()), abs=1e-5)


@pytest.mark.shared
def test_training_on_arrays_ends_where_training_on_the_data_set_does(digits):
    def trained(data, recipe):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])
        return train(model, data, recipe, verbose=0).get_weights()[0]

    moved = dataclasses.replace(STRONG, erase=0.0)  # whose pixels are the same to the last bit
    recipe = Recipe(epochs=1, batch_size=256, augment=moved, label_smoothing=0.1, learning_rate=0.1)
    by_arrays, by_set = trained(digits[1:], recipe), trained(recipe.load_data("digits"), recipe)
    np.testing.assert_allclose(by_arrays, by_set, atol=1e-4)
    assert np.abs(by_arrays - trained(digits[1:], recipe.replace(augment=None))).max() > 1e-2


class Own(keras.utils.PyDataset):
    """A data set of a user's."""

    def __init__(self, images, labels, size, **facts):
        super().__init__()
        self.x, self.y, self.size = images, labels, size
        vars(self).update(facts)

    def __len__(self):
        return -(-len(self.x) // self.size)

    def __getitem__(self, i):
        return self.x[i * self.size : (i + 1) * self.size], self.y[i * self.size : (i + 1) * self.size]


class Named(Own):
    def __getitem__(self, i):
        return dict(zip("xy", super().__getitem__(i), strict=True))


X, Y = np.random.default_rng(0).random((24, 8, 8, 1), "float32"), np.arange(24) % 10
HOT = np.eye(10, dtype="float32")[Y]
RECIPE = Recipe(epochs=1, batch_size=8)
RAW = (X * 255).astype("uint8")


def small():
    return keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])


@pytest.mark.once
@pytest.mark.parametrize(
    ("data", "validation", "recipe", "message"),
    [
        ((RAW, Y), None, RECIPE, "training images are uint8.*astype"),
        ((X, Y), (RAW, Y), RECIPE, "validation images are uint8"),
        ((RAW.astype("int64"), Y), None, RECIPE, "training images are int64.*astype"),
        ((X, Y), (RAW.astype("int16"), Y), RECIPE, "validation images are int16"),
        ((RAW.tolist(), Y), None, RECIPE, "training images are int64"),
        (Own(RAW, Y, 8), None, RECIPE, "training images are uint8"),
        ((X[:, None], Y), None, RECIPE.replace(augment="shift"), r"\(n, height, width, channels\).*augment=None"),
        (Own(X, Y, 8), None, RECIPE.replace(augment="shift"), "augment='shift'.*a Own gives its batches as it likes"),
        (Own(X, Y, 8, augmentation=STRONG), None, RECIPE, "augment=None, the data was loaded with"),
        (Own(X, Y, 6), None, RECIPE, r"batch_size=8, the data was loaded with 6.*replace\(batch_size=6\)"),
        (Own(X, Y, 8, seed=3), None, RECIPE, "seed=0, the data was loaded with 3"),
        (Own(X, Y, 8), None, RECIPE.replace(label_smoothing=0.1), "give the data one-hot labels"),
        (Own(X, Y, 8), (X, HOT), RECIPE, "give the data one-hot labels"),
        ((X, Y.astype(str)), None, RECIPE, "training labels are <U.*from_arrays"),
        (Own(X, Y.astype(str), 8), None, RECIPE, "training labels are <U"),
        ((X, Y), (X, Y.astype(object)), RECIPE, "validation labels are object"),
        ("photos", None, RECIPE, "received str: open a folder or a file by kspike.data.open_data"),
        ({"x": X, "y": Y}, None, RECIPE, "received dict"),
        ([{"x": X, "y": Y}] * 3, None, RECIPE, "as arrays must be"),
        (Named(X, Y, 8), None, RECIPE, "gives dictionaries, a Named; .*from_dataset"),
    ],
)
def test_what_would_do_nothing_is_refused_before_work_starts(data, validation, recipe, message):
    model = small()
    before = model.get_weights()[0].copy()
    with pytest.raises(ValueError, match=message):
        train(model, data, recipe, validation_data=validation, verbose=0)
    np.testing.assert_array_equal(before, model.get_weights()[0])


@pytest.mark.shared
@pytest.mark.parametrize(
    ("data", "validation", "recipe"),
    [
        (Own(X, HOT, 8), Own(X, HOT, 5), RECIPE.replace(label_smoothing=0.1)),
        (Own(X, Y, 8, augmentation=STRONG), None, RECIPE.replace(augment=STRONG)),
        (Own(X[:5], Y[:5], 5), None, RECIPE.replace(augment="none")),
        ((X, Y), (X, HOT), RECIPE),
        ((X, Y), (X, Y), RECIPE.replace(augment="spikformer")),
        ((X > 0.5, HOT), None, RECIPE),
        ((RAW.astype("float32"), HOT), None, RECIPE),  # whole numbers as floats: counts of events are so
    ],
)
def test_what_can_be_done_is_done(data, validation, recipe):
    model = small()
    before = model.get_weights()[0].copy()
    train(model, data, recipe, validation_data=validation, verbose=0)
    assert not np.array_equal(before, model.get_weights()[0])


@pytest.mark.once
def test_smoothing_and_clipping_reach_the_step():
    """One step on the same batch: smoothed labels give another gradient, a short clip a shorter one."""
    moved = {}
    for name, change in {"plain": {}, "smooth": {"label_smoothing": 0.5}, "clipped": {"clip_norm": 1e-9}}.items():
        keras.utils.set_random_seed(0)
        model = small()
        before = model.get_weights()[0].copy()
        options = {"epochs": 1, "batch_size": 24, "weight_decay": 0.0, "clip_norm": None}
        train(model, (X, Y), Recipe(**{**options, **change}), verbose=0)
        moved[name] = model.get_weights()[0] - before
    assert not np.allclose(moved["plain"], moved["smooth"], atol=1e-6)
    # Adam's step is nearly free of the gradient's length, but for its epsilon
    assert np.abs(moved["clipped"]).max() < 0.5 * np.abs(moved["plain"]).max()


@pytest.mark.once
def test_raw_pixels_are_refused_wherever_images_are_taken(tmp_path):
    config = kspike.SpikformerConfig(input_shape=(8, 8, 1), embed_dim=16, depth=1, num_heads=2)
    model = kspike.Spikformer(config)
    search = kspike.tuners.ZeroCostSearch("digits", directory=tmp_path, verbose=0)
    for raw in (RAW, RAW.astype("int64")):
        with pytest.raises(ValueError, match=f"measured images are {raw.dtype}"):
            kspike.cost.measure(model, raw, progress=False)
        with pytest.raises(ValueError, match=f"train images are {raw.dtype}"):
            search.search((raw, Y))
        with pytest.raises(ValueError, match=f"given images are {raw.dtype}"):
            kspike.models.early_exit(model, raw)
        with pytest.raises(ValueError, match=f"given images are {raw.dtype}"):
            kspike.models.exit_curve(model, (raw, Y))
        with pytest.raises(ValueError, match=f"test images are {raw.dtype}"):
            next(iter(kspike.zoo.evaluating.batches([(raw, Y)])))


@pytest.mark.once
def test_one_image_is_told_from_images_of_another_size():
    config = kspike.SpikformerConfig(input_shape=(40, 40, 1), embed_dim=16, depth=1, num_heads=2)
    model, one = kspike.Spikformer(config), np.zeros((40, 40, 1), "float32")
    for take in (
        lambda: kspike.cost.measure(model, one, progress=False),  # which cuts arrays into batches of 32
        lambda: kspike.cost.measure(model, [one], progress=False),
        lambda: kspike.models.early_exit(model, one),
        lambda: kspike.models.exit_curve(model, [(one, np.zeros(1))]),
    ):
        with pytest.raises(ValueError, match="its batch axis is missing"):
            take()
