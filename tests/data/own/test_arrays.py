"""Arrays of one's own as a data set: parts, labels, ranges, and what is refused."""

import hashlib

import keras
import numpy as np
import pytest

from kspike import data

pytestmark = pytest.mark.once


def pixels(n=60, size=(6, 6), channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *size, channels), dtype="uint8")


WORDS = ["cow", "ant", "bee"] * 20


def test_parts_are_disjoint_fixed_and_hold_every_image():
    found = data.from_arrays(pixels(), WORDS, seed=0)
    again = data.from_arrays(pixels(), WORDS, seed=5, batch_size=7, name="another", augment="flip_shift")
    parts = [part.ids.tolist() for part in (found.train, found.validation, found.test)]
    assert list(map(len, parts)) == [42, 6, 12]
    assert sorted(sum(parts, [])) == [f"{i:07d}" for i in range(60)]
    assert parts == [part.ids.tolist() for part in (again.train, again.validation, again.test)]
    assert found.split_hash == again.split_hash and found.train.hash == again.train.hash
    for part in (found.train, found.validation, found.test):
        assert np.ptp(np.bincount(part.labels, minlength=3)) <= 1
        for image, label, i in zip(part.images, part.labels, part.ids, strict=True):
            np.testing.assert_array_equal(image, pixels()[int(i)])
            assert found.class_names[label] == WORDS[int(i)]


def test_ids_decide_the_parts_whatever_the_order():
    images, ids = pixels(), [f"photo {hashlib.sha256(bytes([i])).hexdigest()}" for i in range(60)]
    one = data.from_arrays(images, WORDS, ids=ids)
    order = np.random.default_rng(1).permutation(60)
    other = data.from_arrays(images[order], [WORDS[i] for i in order], ids=[ids[i] for i in order])
    for a, b in ((one.train, other.train), (one.validation, other.validation), (one.test, other.test)):
        np.testing.assert_array_equal(a.ids, b.ids)
        np.testing.assert_array_equal(a.images, b.images)
        np.testing.assert_array_equal(a[0][0], b[0][0])


def test_statistics_are_of_the_training_images_alone():
    images = pixels()
    test = np.full((9, 6, 6, 3), 255, "uint8") - np.arange(9, dtype="uint8")[:, None, None, None]
    found = data.from_arrays(images, WORDS, validation=0.2, test=(test, ["ant", "bee", "cow"] * 3))
    train = found.train.images / 255
    np.testing.assert_allclose(found.mean, train.mean((0, 1, 2)), atol=6e-5)
    np.testing.assert_allclose(found.std, train.std((0, 1, 2)), atol=6e-5)
    assert found.test.num_examples == 9 and found.validation.num_examples == 12


def test_floats_of_a_stated_range_are_the_same_images():
    whole = data.from_arrays(pixels(), WORDS)
    floats = data.from_arrays((pixels() / 127.5 - 1).astype("float64"), WORDS, input_range=(-1, 1))
    assert floats.input_range == (-1, 1) and floats.train.images.dtype == "float32"
    np.testing.assert_allclose(floats.mean, whole.mean, atol=1e-4)
    np.testing.assert_allclose(floats.test[0][0], whole.test[0][0], atol=2e-3)
    # black is black: what a shift fills in is the lowest value, not 0
    shifted = data.from_arrays(np.zeros((60, 8, 8, 1), "float32") + np.arange(60)[:, None, None, None] / 60, WORDS,
                               input_range=(-1, 1), augment=data.Augmentation(shift=0.25))  # fmt: skip
    low = (0 - shifted.mean[0]) / shifted.std[0]
    assert shifted.train[0][0].min() == pytest.approx(low, abs=1e-5)


@pytest.mark.parametrize("changes", ["flip_shift", "standard", "spikformer"])
def test_floats_are_augmented_as_bytes_are(changes):
    options = {"augment": changes, "batch_size": 20, "mean": [0.5] * 3, "std": [0.25] * 3}
    whole = data.from_arrays(pixels(), WORDS, **options).train
    floats = data.from_arrays(pixels() / np.float32(255), WORDS, input_range=(0, 1), **options).train
    # bytes are rounded where they are moved between pixels or spread
    np.testing.assert_allclose(whole[0][0], floats[0][0], atol=0.06 if changes == "spikformer" else 1e-5)
    np.testing.assert_array_equal(whole[0][1], floats[0][1])


def test_labels_of_every_kind_are_the_same_classes():
    numbers = np.arange(60) % 3
    names = ("x", "y", "z")
    forms = [numbers, numbers.astype("float32"), numbers[:, None], np.eye(3)[numbers], numbers.tolist()]
    forms += [
        np.array(names)[numbers],
        np.array(names, object)[numbers],
        [name.encode() for name in np.array(names)[numbers]],
    ]
    for labels in forms:
        found = data.from_arrays(pixels(), labels, class_names=names)
        order = np.argsort(np.concatenate([found.train.ids, found.validation.ids, found.test.ids]))
        together = np.concatenate([found.train.labels, found.validation.labels, found.test.labels])
        np.testing.assert_array_equal(together[order], numbers)
        assert together.dtype == "int32"
    assert data.from_arrays(pixels(), numbers).class_names == ("0", "1", "2")
    assert data.from_arrays(pixels(), [str(10 * n) for n in numbers]).class_names == ("0", "10", "20")
    assert data.from_arrays(pixels(), [["9", "10", "1"][n] for n in numbers]).class_names == ("1", "9", "10")
    assert data.from_arrays(pixels(), WORDS, class_names=("cow", "bee", "ant")).class_names == ("cow", "bee", "ant")


def test_images_of_several_sizes_are_made_to_fit():
    images = [pixels(1, (6 + i % 3, 9), seed=i)[0] for i in range(60)]
    with pytest.raises(ValueError, match=r"differ in size.*\(6, 9\) and \(8, 9\).*image_size="):
        data.from_arrays(images, WORDS)
    assert data.from_arrays(images, WORDS, image_size=4).input_shape == (4, 4, 3)


def test_greys_without_a_channel_axis_get_one():
    assert data.from_arrays(pixels()[..., 0], WORDS).input_shape == (6, 6, 1)
    assert data.from_arrays(pixels()[..., :1] > 127, WORDS).input_range == (0, 1)


def test_copies_of_an_image_are_in_one_part():
    images = np.concatenate([pixels(40), pixels(40), pixels(40)])
    with pytest.warns(UserWarning, match="80 copies of other images"):
        found = data.from_arrays(images, np.arange(120) % 40 % 4)
    seen = [{image.tobytes() for image in part.images} for part in (found.train, found.validation, found.test)]
    assert not seen[0] & seen[1] and not seen[0] & seen[2] and not seen[1] & seen[2]
    assert [len(part) for part in seen] == [28, 4, 8]
    assert sum(part.num_examples for part in (found.train, found.validation, found.test)) == 120


def test_an_image_under_two_classes_is_said():
    images = pixels()
    images[7] = images[3]
    with pytest.warns(UserWarning, match=r"1 image under two classes: 0000003 \(cow\) and 0000007 \(ant\)"):
        data.from_arrays(images, WORDS)


def test_images_in_two_given_parts_are_refused_or_kept_on_request():
    images = pixels()
    test = (np.concatenate([pixels(6, seed=1), images[5:7]]), WORDS[:6] + WORDS[5:7])
    with pytest.raises(ValueError, match=r"2 images in two parts.*0000005 \(train\) and test/0000006 \(test\).*'keep'"):
        data.from_arrays(images, WORDS, test=test)
    with pytest.warns(UserWarning, match="2 copies of other images"):
        assert data.from_arrays(images, WORDS, test=test, duplicates="keep").test.num_examples == 8


def test_the_hash_of_a_part_follows_pixels_and_classes():
    before = data.from_arrays(pixels(), WORDS).train
    changed = pixels()
    changed[int(before.ids[0]), 0, 0, 0] ^= 1
    other = list(WORDS)
    other[int(before.ids[0])] = "ant" if WORDS[int(before.ids[0])] != "ant" else "bee"
    hashes = {before.hash, data.from_arrays(changed, WORDS).train.hash, data.from_arrays(pixels(), other).train.hash}
    assert len(hashes) == 3


def test_tensors_of_this_backend():
    tensor = keras.ops.convert_to_tensor(pixels())
    labels = keras.ops.convert_to_tensor(np.arange(60) % 3)
    np.testing.assert_array_equal(
        data.from_arrays(tensor, labels).train.images, data.from_arrays(pixels(), np.arange(60) % 3).train.images
    )


BAD = {
    "one class": ({"labels": ["ant"] * 60}, "at least two classes"),
    "from 1": ({"labels": np.arange(60) % 3 + 1}, "received 1, 2, 3: count from 0"),
    "a gap": ({"labels": np.arange(60) % 2 * 2}, "received 0, 2: count from 0"),
    "between": ({"labels": np.arange(60) / 2}, "expected whole numbers"),
    "shares": ({"labels": np.full((60, 2), 0.5)}, "row of image 0 is not one-hot"),
    "too few": ({"labels": WORDS[:59]}, "60 images and 59 labels"),
    "an unnamed word": ({"class_names": ("ant", "bee")}, "cow stand in no class_names"),
    "a class of nothing": ({"class_names": ("ant", "bee", "cow", "dog")}, "no image is of class dog"),
    "past the names": ({"labels": np.arange(60) % 3, "class_names": ("a", "b")}, "of 2 class_names, received 0 to 2"),
    "names twice": ({"class_names": ("ant", "bee", "bee", "cow")}, "bee stand there twice"),
    "a name alone": ({"class_names": "ant"}, "class_names: expected the name of each class"),
    "floats": ({"images": pixels() / 255}, r"float64 from 0 to 1: pass input_range="),
    "scaled": ({"images": pixels() / 255, "input_range": (0, 255)}, "look scaled to 0..1 already"),
    "out of range": ({"images": pixels(), "input_range": (0, 16)}, "pixels reach from 0 to 255"),
    "16 bits": ({"images": pixels().astype("uint16") * 200}, "uint16 from 0 to 51000: pass input_range="),
    "NaN": ({"images": np.where(pixels() == 3, np.nan, pixels() / 255)}, "hold NaN or infinity"),
    "first": ({"images": pixels(channels=3).transpose(0, 3, 1, 2).repeat(2, 2)}, "channels came first"),
    "events": ({"images": np.zeros((60, 4, 6, 6, 2))}, "events are opened by"),
    "words": ({"images": np.full((60, 6, 6, 3), "x")}, "expected numbers"),
    "no array": ({"images": "photos"}, "expected an array of images"),
    "ids": ({"ids": ["a"] * 60}, "a stand there twice"),
    "few ids": ({"ids": ["a", "b"]}, "ids: expected one an image, 60; received 2"),
    "share": ({"test": 1.5}, "test: expected a share"),
    "all": ({"test": 60}, "leaves none to train"),
    "share and all": ({"test": 0.95, "validation": 0.3}, "leaves none to train"),
    "range": ({"input_range": (1, 0)}, "input_range: expected"),
    "size": ({"image_size": -3}, "image_size: expected"),
    "fit": ({"fit": "pad"}, "fit: expected 'crop'"),
    "duplicates": ({"duplicates": "drop"}, "duplicates: expected"),
    "a part of another size": ({"test": (pixels(3, (7, 7)), WORDS[:3])}, r"test: images of shape \(7, 7, 3\)"),
    "a part of a new word": ({"test": (pixels(3, seed=2), ["ant", "bee", "dog"])}, "dog stand in no class_names"),
    "a part of numbers": ({"test": (pixels(3, seed=2), [0, 1, 3])}, "test labels: expected whole numbers from 0 to 2"),
}  # fmt: skip


@pytest.mark.parametrize("given, said", BAD.values(), ids=BAD)
def test_bad_input_is_refused_with_what_to_do(given, said):
    with pytest.raises(ValueError, match=said):
        data.from_arrays(**{"images": pixels(), "labels": WORDS, **given})
