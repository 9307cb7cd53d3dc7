"""Training on events by a recipe: the data set's augmentation is the recipe's, and the run is kept as any other."""

import numpy as np
import pytest

import kspike
from kspike.data import Augmentation
from kspike.events import EventAugmentation
from kspike.training import Recipe, inputs

pytestmark = pytest.mark.shared


@pytest.mark.parametrize("augment", [None, "shift", "standard", EventAugmentation(shift=0.1, drop_events=0.2)])
def test_a_recipe_loads_events_with_its_augmentation(augment):
    recipe = Recipe(epochs=1, batch_size=16, augment=augment, warmup_epochs=0)
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    data = recipe.load_data("digits_events", timesteps=2, image_size=8)
    train, validation = inputs.read(data, None, recipe)
    assert train is data.train and validation is data.validation


def test_another_augmentation_than_the_datas_is_refused():
    recipe = Recipe(epochs=1, batch_size=16, augment="shift", warmup_epochs=0)
    data = kspike.data.load("digits_events", timesteps=2, batch_size=16, augment=EventAugmentation(cutout=0.5))
    for other in (recipe, recipe.replace(augment=None), recipe.replace(augment=Augmentation(shift=0.1))):
        with pytest.raises(ValueError, match="the data was loaded with EventAugmentation"):
            inputs.read(data, None, other)
    arrays = (np.zeros((4, 8, 8, 1), np.float32), np.zeros(4, int))
    with pytest.raises(ValueError, match="Unknown augmentation 'event_drop'"):
        inputs.read(arrays, None, recipe.replace(augment="event_drop"))
    with pytest.raises(ValueError, match="flip=0 for 'digits_events'"):
        recipe.replace(augment=EventAugmentation(flip=0.5)).load_data("digits_events", timesteps=2)


@pytest.mark.slow
def test_a_run_on_events_learns_and_is_found_again(tmp_path):
    recipe = Recipe(epochs=2, batch_size=64, learning_rate=1e-2, augment="shift", warmup_epochs=0)
    data = recipe.load_data("digits_events", timesteps=2, image_size=8)
    config = kspike.SpikformerConfig(
        input_shape=data.input_shape, num_classes=10, timesteps=2, embed_dim=16, depth=1, num_heads=2, mlp_ratio=1.0,
        stem_pool=(False, False, False, True),
    )  # fmt: skip
    model = kspike.Spikformer(config)
    kspike.training.train(model, data, recipe, directory=tmp_path / "run")
    again = kspike.training.load(tmp_path / "run")
    batch = data.validation[0][0]
    np.testing.assert_allclose(again.predict(batch, verbose=0), model.predict(batch, verbose=0), atol=1e-5)
