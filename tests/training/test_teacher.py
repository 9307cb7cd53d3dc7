"""Students of a teacher: its logits are of the views that they see, and nothing else is taken for them."""

import json

import keras
import numpy as np
import pytest

import kspike
from kspike.data import Augmentation, TeacherLogits
from kspike.training import Recipe, read_history, teacher_logits, train
from tests.helpers import to_numpy
from tests.training.test_train import CONFIG

RECIPE = Recipe(epochs=2, batch_size=120, learning_rate=1e-2, augment="shift", seed=3, teacher_share=0.75)


def classifier(classes=10, shape=(8, 8, 1)):
    keras.utils.set_random_seed(4)
    return keras.Sequential([keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(classes)])


@pytest.fixture(scope="module")
def data():
    return RECIPE.load_data("digits")


@pytest.fixture(scope="module")
def logits(data):
    return teacher_logits(classifier(), data, views=2, seed=5, teacher={"name": "linear"})


def student():
    keras.utils.set_random_seed(1)
    return kspike.Spikformer(CONFIG)


def test_logits_are_of_the_very_images_that_a_student_sees(data, logits):
    split = data.train.taught(logits, 1.0, temperature=2.0)
    model, seen = classifier(), []
    for epoch in range(3):
        split.set_epoch(epoch)
        images, labels = split[1]
        said = to_numpy(keras.ops.softmax(model.predict_on_batch(images) / 2.0))
        np.testing.assert_allclose(labels, said, atol=2e-3)  # the logits are kept in float16
        seen.append(images)
    assert np.ptp(logits.logits[0] - logits.logits[1], axis=1).max() > 0.1  # the views differ
    assert not np.array_equal(seen[0], seen[2])  # other images of the same view: each epoch has its order
    ordered = [np.lexsort(images.reshape(len(images), -1).T) for images in seen]
    assert not np.array_equal(seen[0][ordered[0]], seen[1][ordered[1]])


def test_a_label_is_made_up_of_both(data, logits):
    split = data.train.taught(logits, 0.75)
    _, labels = split[0]
    _, whole = data.train.taught(logits, 1.0)[0]
    plain = data.train.one_hot()[0][1]
    np.testing.assert_allclose(labels, 0.25 * plain + 0.75 * whole, atol=1e-6)
    np.testing.assert_allclose(labels.sum(axis=1), 1.0, atol=1e-5)
    assert split.without_augmentation()[0][1].dtype.kind == "i"  # statistics are measured on images as they are


def test_views_are_those_of_the_file_and_the_seed(data, logits, tmp_path):
    again = TeacherLogits.load(logits.save(tmp_path / "teacher.npz"))
    np.testing.assert_array_equal(again.logits, logits.logits)
    assert again.hash == logits.hash and again.facts() == logits.facts()
    assert again.facts()["teacher"] == {"name": "linear"} and again.facts()["views"] == 2
    other = teacher_logits(classifier(), data, views=1, seed=6)
    assert np.abs(other.logits[0] - logits.logits[0]).max() > 0.1
    np.testing.assert_array_equal(data.train.taught(again, 0.5)[2][0], data.train.taught(logits, 0.5)[2][0])


@pytest.mark.slow
@pytest.mark.shared
def test_a_run_says_who_taught_it_and_takes_no_other(data, logits, tmp_path):
    file = logits.save(tmp_path / "teacher.npz")
    first = train(student(), data, RECIPE, directory=tmp_path / "run", teacher=file, verbose=0)
    assert json.loads((tmp_path / "run" / "settings.json").read_text())["teacher"] == logits.facts()
    rows = read_history(tmp_path / "run")
    assert len(rows) == 2 and rows[1]["loss"] < rows[0]["loss"]
    same = train(student(), data, RECIPE, teacher=logits, verbose=0)
    for a, b in zip(first.get_weights(), same.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    other = teacher_logits(classifier(), data, views=1, seed=6)
    with pytest.raises(ValueError, match="teacher"):
        train(student(), data, RECIPE, directory=tmp_path / "run", teacher=other, verbose=0)


@pytest.mark.once
@pytest.mark.parametrize(
    "recipe, given, says",
    [
        (RECIPE, False, "give the teacher's logits"),
        (RECIPE.replace(teacher_share=0.0), True, "teacher_share=0.9"),
        (RECIPE.replace(augment="none"), True, "The teacher has seen views with flip=0, shift=0.125"),
        (RECIPE.replace(augment=Augmentation(shift=0.125, distort=0.5)), True, "no distortion"),
    ],
)
def test_a_recipe_and_a_teacher_that_do_not_agree_are_refused(logits, recipe, given, says, tmp_path):
    with pytest.raises(ValueError, match=says):
        train(student(), recipe.load_data("digits"), recipe, teacher=logits if given else None,
              directory=tmp_path / "run", verbose=0)  # fmt: skip
    assert not (tmp_path / "run").exists()


@pytest.mark.once
def test_logits_of_other_images_or_classes_are_refused(data, logits):
    half = data.train.subset(500)
    with pytest.raises(ValueError, match="logits are of other images"):
        half.taught(logits, 0.5)
    said = {"images": half.hash, "flip": 0.0, "shift": 0.125}
    turned = TeacherLogits(np.zeros((1, 500, 10)), class_names=[*reversed(half.class_names)], **said)
    with pytest.raises(ValueError, match="in this order"):
        half.taught(turned, 0.5)
    with pytest.raises(ValueError, match="of a data set"):
        train(student(), (data.train.images / 16.0, data.train.labels), RECIPE, teacher=logits, verbose=0)


@pytest.mark.once
@pytest.mark.parametrize(
    "model, options, says",
    [
        (lambda: classifier(9), {}, "gives 9 classes"),
        (lambda: classifier(shape=(4, 4, 1)), {}, r"takes \(4, 4, 1\)"),
        (lambda: keras.Sequential([keras.layers.Dense(10)]), {}, "built"),
        (classifier, {"views": 0}, "views expected a whole number"),
    ],
)
def test_what_is_no_teacher_of_these_images_is_refused(data, model, options, says):
    with pytest.raises(ValueError, match=says):
        teacher_logits(model(), data, **options)


@pytest.mark.once
def test_a_teacher_that_diverged_is_refused(data):
    model = classifier()
    model.layers[-1].bias.assign(np.full(10, np.nan))
    with pytest.raises(ValueError, match="the teacher"):
        teacher_logits(model, data)
    with pytest.raises(ValueError, match="finite"):
        TeacherLogits(np.full((1, 2, 2), np.inf), images="", class_names="ab", flip=0.0, shift=0.0)


@pytest.mark.once
def test_a_file_of_something_else_is_refused(tmp_path):
    with pytest.raises(ValueError, match="kspike teach"):
        TeacherLogits.load(tmp_path / "none.npz")
    np.savez(tmp_path / "other.npz", logits=np.zeros(3))
    (tmp_path / "text.npz").write_text("no zip")
    for name in ("other.npz", "text.npz"):
        with pytest.raises(ValueError, match="holds no teacher logits"):
            TeacherLogits.load(tmp_path / name)


@pytest.mark.once
def test_a_recipe_says_it_only_where_there_is_one():
    assert not {"teacher_share", "teacher_temperature"} & set(Recipe().to_dict())
    assert Recipe.from_dict(RECIPE.to_dict()) == RECIPE
    with pytest.raises(ValueError, match="teacher_share expected a share in 0..1"):
        Recipe(teacher_share=1.5)
    with pytest.raises(ValueError, match="teacher_temperature expected a number above 0"):
        Recipe(teacher_temperature=0)
