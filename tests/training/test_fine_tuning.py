"""Fine-tuning: rates by layer, averaged weights, calibration, frozen parts."""

import keras
import numpy as np
import pytest

import kspike
from kspike import data
from kspike.training import Recipe, calibrate, load, make_optimizer, read_history, train
from kspike.training.optimizer import layer_factors
from tests.helpers import to_numpy

CONFIG = kspike.SpikformerConfig(
    input_shape=(8, 8, 1), num_classes=10, timesteps=1, embed_dim=16, depth=1, num_heads=2, mlp_ratio=1.0,
    stem_pool=(False, False, True, True), tau=1.25, v_threshold=0.6,
)  # fmt: skip


@pytest.fixture(scope="module")
def digits():
    return data.load("digits", batch_size=120)


@pytest.fixture
def model():
    keras.utils.set_random_seed(1)
    return kspike.Spikformer(CONFIG)


def of(model, values, name):
    return [
        value
        for variable, value in zip(model.trainable_variables, values, strict=True)
        if variable.path.startswith(name)
    ]


@pytest.mark.shared
def test_factors_by_layer(model):
    names = [layer.name for layer in model.layers if layer.trainable_variables]
    assert names == ["stem", "block_0", "head"]
    assert layer_factors(model, Recipe()) is None
    factors = layer_factors(model, Recipe(layer_decay=0.5, layer_rates={"st*": 2.0}))
    for name, want in (("stem", 0.5), ("block_0", 0.5), ("head", 1.0)):
        assert set(of(model, factors, name)) == {want}
    model.get_layer("stem").trainable = False
    assert set(layer_factors(model, Recipe(layer_decay=0.5))) == {0.5, 1.0}
    with pytest.raises(ValueError, match="no layer of that name that trains; it has block_0, head"):
        layer_factors(model, Recipe(layer_rates={"stem": 0.1}))


def test_a_step_of_each_layer_is_by_its_own_rate():
    """Adam's first step is the rate in every number: what each variable moves is its factor, and so is its decay."""
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(2, name="b")(keras.layers.Dense(4, name="a")(inputs)))
    recipe = Recipe(epochs=1, learning_rate=0.1, min_learning_rate=0.1, weight_decay=0.5, clip_norm=None,
                    layer_rates={"a": 0.01})  # fmt: skip
    before = [to_numpy(v) for v in model.trainable_variables]
    optimizer = make_optimizer(model, recipe, 1)
    optimizer.build(model.trainable_variables)
    optimizer.apply([keras.ops.ones(v.shape) for v in model.trainable_variables], model.trainable_variables)
    for variable, value, factor in zip(model.trainable_variables, before, (0.01, 0.01, 1, 1), strict=True):
        decay = 0.5 * 0.1 * factor * value if value.ndim > 1 else 0.0
        np.testing.assert_allclose(to_numpy(variable), value - decay - 0.1 * factor, rtol=1e-4, atol=1e-6)


@pytest.mark.shared
@pytest.mark.slow
def test_averaged_weights_end_the_run_and_are_kept(model, digits, tmp_path):
    recipe = Recipe(epochs=2, batch_size=120, learning_rate=1e-2, ema=0.9)
    train(model, digits, recipe, directory=tmp_path / "run", verbose=0)
    again = load(tmp_path / "run")
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    # the average, not the last weights
    for variable, average in zip(
        model.trainable_variables, model.optimizer._model_variables_moving_average, strict=True
    ):
        np.testing.assert_array_equal(to_numpy(variable), to_numpy(average))
    # statistics that belong to them, and what they reach
    statistics = [to_numpy(v) for v in again.non_trainable_variables]
    calibrate(again, digits.train)
    for before, after in zip(statistics, again.non_trainable_variables, strict=True):
        np.testing.assert_allclose(before, to_numpy(after), rtol=1e-4, atol=1e-5)
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    reached = model.evaluate(digits.validation, verbose=0, return_dict=True)
    assert read_history(tmp_path / "run")[-1]["val_accuracy"] == pytest.approx(reached["accuracy"], abs=1e-6)


@pytest.mark.shared
def test_what_is_frozen_keeps_its_statistics_when_weights_are_averaged(model, digits):
    """Training ran with them: others, behind it, would be another network's."""
    model.get_layer("stem").trainable = False
    kept = [to_numpy(v) for v in model.get_layer("stem").variables]
    moved = [to_numpy(v) for v in model.get_layer("block_0").non_trainable_variables]
    train(model, digits, Recipe(epochs=1, batch_size=120, learning_rate=1e-2, ema=0.9), verbose=0)
    for before, after in zip(kept, model.get_layer("stem").variables, strict=True):
        np.testing.assert_array_equal(before, to_numpy(after))
    after = [to_numpy(v) for v in model.get_layer("block_0").non_trainable_variables]
    assert any((one != other).any() for one, other in zip(moved, after, strict=True))


class Stop(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt


@pytest.mark.shared
@pytest.mark.slow
def test_an_interrupted_run_ends_with_the_same_average(digits, tmp_path):
    recipe = Recipe(epochs=2, batch_size=120, learning_rate=1e-2, ema=0.9, layer_decay=0.5)
    found = []
    for folder, callbacks in (("whole", []), ("cut", [Stop()]), ("cut", [])):
        keras.utils.set_random_seed(1)
        model = kspike.Spikformer(CONFIG)
        try:
            train(model, digits, recipe, directory=tmp_path / folder, callbacks=callbacks, verbose=0)
        except KeyboardInterrupt:
            continue
        found.append(model.get_weights())
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_calibration_is_the_mean_over_batches_and_changes_nothing_else(model, digits):
    model.get_layer("stem").trainable = False
    before = {v.path: to_numpy(v) for v in model.weights}
    calibrate(model, digits, batches=3)
    images = np.concatenate([digits.train.without_augmentation()[i][0] for i in range(3)])
    stem = model.get_layer("stem")
    first = to_numpy(stem.conv_layers[0](images))
    np.testing.assert_allclose(to_numpy(stem.norm_layers[0].moving_mean), first.mean((0, 1, 2)), rtol=1e-4, atol=1e-5)
    for variable in model.weights:
        if "moving" not in variable.path:
            np.testing.assert_array_equal(to_numpy(variable), before[variable.path])
    norms = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    assert {layer.momentum for layer in norms} == {0.9}
    assert [layer.trainable for layer in norms] == [not layer.path.startswith("stem") for layer in norms]
    assert not stem.trainable and not stem.norm_layers[0].trainable


@pytest.mark.shared
@pytest.mark.parametrize(
    "given, said",
    [
        (lambda x: (x * 9).astype("uint8"), "raw pixels"),
        (lambda x: np.where(x > 0, np.nan, x), "finite calibration images"),
        (lambda x: iter([]), "no batch of images"),
    ],
)
def test_calibration_refuses_and_leaves_the_statistics(model, digits, given, said):
    before = model.get_weights()
    with pytest.raises(ValueError, match=said):
        calibrate(model, given(digits.validation[0][0]))
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="nothing to calibrate"):
        calibrate(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]), np.zeros((2, 3), "float32"))


@pytest.mark.shared
def test_a_run_gives_its_frozen_layers_back(model, digits, tmp_path):
    model.get_layer("stem").trainable = False
    recipe = Recipe(epochs=1, batch_size=120)
    stem = [to_numpy(v) for v in model.get_layer("stem").weights]
    train(model, digits.train.subset(240), recipe, directory=tmp_path / "run", verbose=0)
    again = load(tmp_path / "run")
    assert not again.get_layer("stem").trainable and again.get_layer("block_0").trainable
    for before, after in zip(stem, again.get_layer("stem").weights, strict=True):
        np.testing.assert_array_equal(before, to_numpy(after))


@pytest.mark.once
def test_later_settings_leave_earlier_runs_as_they_are():
    assert not {"layer_decay", "layer_rates", "ema"} & set(Recipe().to_dict())
    full = Recipe(layer_decay=0.8, layer_rates={"stem": 0.5}, ema=0.99)
    assert Recipe.from_dict(full.to_dict()) == full and hash(full) == hash(Recipe.from_dict(full.to_dict()))


@pytest.mark.once
@pytest.mark.parametrize(
    "values, said",
    [
        ({"layer_decay": 0}, "layer_decay expected a number above 0"),
        ({"layer_decay": 1.5}, "of at most 1"),
        ({"ema": 1.0}, "ema expected less than 1"),
        ({"layer_rates": {"stem": 0}}, "what is not to train at all is frozen"),
        ({"layer_rates": ["stem"]}, "layer_rates expected factors"),
    ],
)
def test_what_no_recipe_can_be_is_refused(values, said):
    with pytest.raises(ValueError, match=said):
        Recipe(**values)
