"""A recipe is data: it comes back from JSON as it was, and what cannot work is refused when it is made."""

import pytest

from kspike.data import Augmentation
from kspike.training import Recipe

pytestmark = pytest.mark.once


@pytest.mark.parametrize("augment", [None, "standard", Augmentation(flip=0.5, mixup=0.2, mixup_until=3)])
def test_a_recipe_comes_back_from_its_file(tmp_path, augment):
    recipe = Recipe(epochs=7, warmup_epochs=1.5, clip_norm=None, augment=augment)
    assert Recipe.load(recipe.save(tmp_path / "recipe.json")) == recipe
    assert hash(recipe) == hash(Recipe.from_dict(recipe.to_dict()))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, "epochs expected a whole number of at least 1, received 0"),
        ({"epochs": 2.5}, "epochs expected a whole number"),
        ({"learning_rate": float("nan")}, "learning_rate expected"),
        ({"learning_rate": 1e-3, "min_learning_rate": 1e-2}, "min_learning_rate expected at most"),
        ({"epochs": 2, "warmup_epochs": 2}, "warmup_epochs expected less than epochs=2"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"clip_norm": 0}, "clip_norm expected above 0"),
        ({"augment": "standart"}, "Did you mean 'standard'"),
        ({"augment": 3}, "augment expected a name"),
        ({"learning_rte": 1}, "Did you mean 'learning_rate'"),
    ],
)
def test_what_cannot_work_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Recipe.from_dict(values)


def test_a_file_that_is_no_recipe_is_named(tmp_path):
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    expected = {"broken": "JSON in UTF-8", "list": "one JSON object", "none": "cannot be read", "deep": "nest at most"}
    for name, message in expected.items():
        with pytest.raises(ValueError, match=message):
            Recipe.load(tmp_path / f"{name}.json")
