import numpy as np
import pytest

import kspike


@pytest.fixture(scope="module")
def raw():
    return np.random.default_rng(0).integers(0, 17, (5, 8, 8, 1)).astype("uint8")


@pytest.mark.shared
def test_images_are_normalised_as_in_training(released, raw):
    card = kspike.zoo.card(released)["input"]
    made = kspike.zoo.preprocess(raw, released)
    assert made.dtype == np.float32 and made.shape == raw.shape
    np.testing.assert_allclose(made, (raw / 16.0 - card["mean"][0]) / card["std"][0], atol=1e-5)
    for other in (raw.astype("float32"), raw.astype("int64"), raw.tolist()):
        np.testing.assert_array_equal(kspike.zoo.preprocess(other, released), made)


@pytest.mark.shared
def test_the_test_images_come_out_as_the_data_set_gives_them(released, digits):
    raw = np.asarray(digits.test.images)
    if raw.dtype != np.uint8:
        pytest.skip("the data set keeps no raw images")
    first = np.asarray(digits.test[0][0])
    np.testing.assert_array_equal(kspike.zoo.preprocess(raw[: len(first)], released), first)


def test_tensors_of_the_backend_are_taken(released, raw):
    import keras

    made = kspike.zoo.preprocess(keras.ops.convert_to_tensor(raw.astype("float32")), released)
    np.testing.assert_array_equal(made, kspike.zoo.preprocess(raw, released))


@pytest.mark.shared
def test_no_images_are_none(released):
    assert kspike.zoo.preprocess(np.zeros((0, 8, 8, 1), "uint8"), released).shape == (0, 8, 8, 1)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((8, 8, 1), "uint8"), r"images\[None\]"),
        (np.zeros((1, 1, 8, 8), "uint8"), "channels last"),
        (np.zeros((1, 28, 28, 1), "uint8"), r"\(n, 8, 8, 1\)"),
        (np.zeros((1, 8, 8, 3), "uint8"), r"\(n, 8, 8, 1\)"),
        (np.full((1, 8, 8, 1), 255, "uint8"), "from 0 to 16"),
        (np.full((1, 8, 8, 1), -1, "int8"), "from 0 to 16"),
        (np.full((1, 8, 8, 1), np.nan, "float32"), "NaN"),
        (np.full((1, 8, 8, 1), np.inf, "float32"), "infinity"),
        (np.full((1, 8, 8, 1), 0.5, "float32"), "scaled already"),
        (np.zeros((1, 8, 8, 1), bool), "dtype bool"),
        ([[1], [1, 2]], "one array"),
        (np.full((1, 8, 8, 1), "a"), "dtype"),
    ],
)
def test_images_it_was_not_made_for_are_refused(released, images, message):
    with pytest.raises(ValueError, match=message):
        kspike.zoo.preprocess(images, released)


@pytest.mark.shared
def test_an_entry_without_data_cannot_preprocess(model, tmp_path, raw):
    path = kspike.zoo.publish(model, "bare", directory=tmp_path, license="cc0-1.0")
    with pytest.raises(ValueError, match="published without data"):
        kspike.zoo.preprocess(raw, path)
    assert kspike.zoo.decode_predictions(np.eye(10)[3:4], path, top=1)[0][0][:2] == (3, "3")


@pytest.mark.shared
def test_predictions_are_named_and_ordered(released):
    logits = np.log(np.maximum([[0.1, 0.2, 0.7, *[0.0] * 7], [0.5, 0.5, *[0.0] * 8]], 1e-20))
    first, second = kspike.zoo.decode_predictions(logits, released, top=3)
    assert [(k, name) for k, name, _ in first[:3]] == [(2, "2"), (1, "1"), (0, "0")]
    np.testing.assert_allclose([p for *_, p in first], [0.7, 0.2, 0.1], atol=1e-6)
    assert [k for k, *_ in second[:2]] == [0, 1]  # equal ones in order
    assert all(type(value) is kind for value, kind in zip(first[0], (int, str, float), strict=True))


@pytest.mark.shared
def test_top_larger_than_the_classes_gives_all_and_they_sum_to_one(released):
    (found,) = kspike.zoo.decode_predictions(np.linspace(-1000, 1000, 10)[None], released, top=50)
    assert len(found) == 10 and np.isclose(sum(p for *_, p in found), 1.0)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("logits", "top", "message"),
    [
        (np.zeros((1, 3)), 5, r"\(n, 10\)"),
        (np.zeros(10), 5, r"\(n, 10\)"),
        (np.full((1, 10), np.nan), 5, "finite"),
        (np.zeros((1, 10)), 0, "top"),
        (np.zeros((1, 10)), True, "top"),
    ],
)
def test_what_are_no_logits_is_refused(released, logits, top, message):
    with pytest.raises(ValueError, match=message):
        kspike.zoo.decode_predictions(logits, released, top=top)


@pytest.mark.once
@pytest.mark.parametrize("call", [kspike.zoo.preprocess, kspike.zoo.decode_predictions])
def test_swapped_arguments_are_told_in_one_line(released, call):
    images = np.random.default_rng(0).integers(0, 17, (100, 8, 8, 1))
    with pytest.raises(
        ValueError, match=r"first, then the name .*received an array of shape \(100, 8, 8, 1\)"
    ) as caught:
        call(str(released), images)
    assert len(str(caught.value)) < 200
    for read in (kspike.zoo.load, kspike.zoo.card, kspike.zoo.verify):
        with pytest.raises(ValueError, match="received an array of shape"):
            read(images)
