"""Trains tiny networks on the real digits: what comes out, what is kept, and what a killed run ends with."""

import os
import signal
import textwrap

import keras
import numpy as np
import pytest

import kspike
from kspike.training import Recipe, make_optimizer, read_history, train
from tests import processes

CONFIG = kspike.SpikformerConfig(
    input_shape=(8, 8, 1), num_classes=10, timesteps=1, embed_dim=16, depth=1, num_heads=2, mlp_ratio=1.0,
    stem_pool=(False, False, True, True), tau=1.25, v_threshold=0.6,
)  # fmt: skip
RECIPE = Recipe(epochs=3, batch_size=120, learning_rate=1e-2, warmup_epochs=0.5, augment="shift", seed=3)


@pytest.fixture
def model():
    keras.utils.set_random_seed(1)
    return kspike.Spikformer(CONFIG)


def weights(model):
    return [np.asarray(w) for w in model.get_weights()]


@pytest.mark.slow
def test_training_lowers_the_loss_and_writes_it_down(model, tmp_path):
    trained = train(model, RECIPE.load_data("digits"), RECIPE, directory=tmp_path, verbose=0)
    assert trained is model
    rows = read_history(tmp_path)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows[-1]["loss"] < rows[0]["loss"] and 0 <= rows[-1]["val_accuracy"] <= 1
    assert (tmp_path / "epoch_00003" / "model.weights.h5").is_file() and not (tmp_path / "epoch_00002").exists()


class Stop(keras.callbacks.Callback):
    """Ends the process's work in the middle of an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.at, self.now = epoch, 0

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.now, batch) == (self.at, 3):
            raise KeyboardInterrupt


def fresh():
    keras.utils.set_random_seed(1)
    return kspike.Spikformer(CONFIG)


@pytest.mark.slow
@pytest.mark.shared
def test_an_interrupted_run_ends_with_the_same_weights(model, tmp_path):
    whole = weights(train(model, RECIPE.load_data("digits"), RECIPE, directory=tmp_path / "whole", verbose=0))
    for epoch in (0, 2):  # before anything is kept, and after two epochs
        with pytest.raises(KeyboardInterrupt):
            train(fresh(), RECIPE.load_data("digits"), RECIPE, directory=tmp_path / "cut", callbacks=[Stop(epoch)])
    keras.utils.set_random_seed(99)
    resumed = kspike.Spikformer(CONFIG)
    train(resumed, RECIPE.load_data("digits"), RECIPE, directory=tmp_path / "cut", verbose=0)
    for a, b in zip(whole, weights(resumed), strict=True):
        np.testing.assert_array_equal(a, b)
    rows = [read_history(tmp_path / name) for name in ("whole", "cut")]
    assert [{k: v for k, v in row.items() if k != "seconds"} for row in rows[0]] == [
        {k: v for k, v in row.items() if k != "seconds"} for row in rows[1]
    ]
    again = kspike.Spikformer(CONFIG)
    train(again, RECIPE.load_data("digits"), RECIPE, directory=tmp_path / "cut", verbose=0)
    for a, b in zip(whole, weights(again), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_a_killed_process_goes_on(model, tmp_path):
    script = textwrap.dedent(f"""
        import os, signal, sys
        import keras
        import kspike
        from kspike.training import Recipe, train

        class Kill(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                if epoch == 1:
                    os.kill(os.getpid(), signal.SIGKILL)

        recipe = Recipe.from_dict({RECIPE.to_dict()!r})
        keras.utils.set_random_seed(1)
        model = kspike.Spikformer({CONFIG.to_dict()!r})
        train(model, recipe.load_data("digits"), recipe, directory={str(tmp_path / "cut")!r}, callbacks=[Kill()])
    """)
    killed = processes.start_code(script, tmp_path).ended()
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    whole = weights(train(model, RECIPE.load_data("digits"), RECIPE, verbose=0))
    resumed = train(fresh(), RECIPE.load_data("digits"), RECIPE, directory=tmp_path / "cut", verbose=0)
    for a, b in zip(whole, weights(resumed), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.once
def test_other_settings_and_damaged_files_are_refused(model, tmp_path, capsys):
    recipe = RECIPE.replace(epochs=1, warmup_epochs=0)
    data = recipe.load_data("digits")
    train(model, data, recipe, directory=tmp_path)
    assert "epoch 1/1" in capsys.readouterr().out
    with pytest.raises(ValueError, match="recipe.learning_rate=0.01, this one has 0.5"):
        train(model, data, recipe.replace(learning_rate=0.5), directory=tmp_path)
    file = tmp_path / "epoch_00001" / "state.npz"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ValueError, match="SHA-256 differs"):
        train(model, data, recipe, directory=tmp_path)
    (tmp_path / "mine.txt").write_text("kept")
    train(model, data, recipe.replace(learning_rate=0.005), directory=tmp_path, resume=False, verbose=0)
    assert len(read_history(tmp_path)) == 1 and (tmp_path / "mine.txt").read_text() == "kept"


@pytest.mark.slow
@pytest.mark.shared
def test_a_loss_that_is_no_number_stops_with_the_reason(model, tmp_path):
    recipe = RECIPE.replace(clip_norm=None, epochs=2)
    model.get_layer("head").bias.assign(np.full(10, np.nan, "float32"))
    with pytest.raises(ValueError, match="diverged. Lower learning_rate"):
        train(model, recipe.load_data("digits"), recipe, directory=tmp_path, verbose=0)
    assert not list(tmp_path.glob("epoch_*"))


def arrays(n=24):
    return np.random.default_rng(0).normal(size=(n, 8, 8, 1)).astype("float32"), np.arange(n) % 10


ONCE = Recipe(epochs=2, batch_size=8, augment="none")


class Late(keras.utils.PyDataset):
    """Batches of which the third holds a pixel that is NaN; the first, which is looked at, does not."""

    def __len__(self):
        return 3

    def __getitem__(self, index):
        x, y = (a[8 * index : 8 * index + 8].copy() for a in arrays())
        x[5, 1, 1, 0] = np.nan if index == 2 else 0.0
        return x, y


@pytest.mark.once
def test_images_that_hold_nan_are_named_wherever_they_stand(model, tmp_path):
    x, y = arrays()
    x[19, 3, 4, 0] = np.inf
    with pytest.raises(ValueError, match="1 of 24 images, the first at 19"):
        train(model, (x, y), ONCE, directory=tmp_path / "whole", verbose=0)
    assert not (tmp_path / "whole").exists()
    with pytest.raises(
        ValueError, match="The loss is nan in epoch 1: in batch 3, read again, 1 of 8 images, the first at 5"
    ):
        train(model, Late(), ONCE, directory=tmp_path / "run", verbose=0)
    assert not list((tmp_path / "run").glob("epoch_*"))


@pytest.mark.once
def test_a_weight_that_is_no_number_stops_before_its_epoch_is_kept(model, tmp_path):
    """The loss is of before the last step; a weight that no image reaches shows in no loss at all."""

    class Spoil(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.optimizer.iterations == 6:  # the last of the second epoch
                bias = model.get_layer("head").bias
                bias.assign(np.full(10, np.inf, "float32"))

    with pytest.raises(ValueError, match=r"After epoch 2 .*head/bias holds NaN or infinity \(10 of 10.*are kept"):
        train(model, arrays(), ONCE, directory=tmp_path, callbacks=[Spoil()], verbose=0)
    assert [path.name for path in tmp_path.glob("epoch_*")] == ["epoch_00001"]


@pytest.mark.shared
def test_arrays_and_smoothed_labels(model, tmp_path):
    rng = np.random.default_rng(0)
    images, labels = rng.normal(size=(24, 8, 8, 1)).astype("float32"), np.arange(24) % 10
    recipe = Recipe(epochs=1, batch_size=8, label_smoothing=0.1)
    train(model, (images, labels), recipe, validation_data=(images, labels), directory=tmp_path, verbose=0)
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"} <= set(read_history(tmp_path)[0])


@pytest.mark.shared
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 60}, "batch_size=60, the data was loaded with 120"),
        ({"seed": 4}, "seed=4, the data was loaded with 3"),
        ({"augment": None}, "augment=None"),
    ],
)
def test_a_recipe_that_does_not_describe_the_data_is_refused(model, change, message):
    with pytest.raises(ValueError, match=message):
        train(model, RECIPE.load_data("digits"), RECIPE.replace(**change), verbose=0)


@pytest.mark.shared
def test_wrong_images_labels_and_data_are_refused(model):
    images, labels = np.zeros((8, 8, 8, 1), "float32"), np.zeros(8, "int32")
    recipe = Recipe(epochs=1, batch_size=8)
    for data, message in (
        ((images[:, :4], labels), r"takes images of shape \(8, 8, 1\)"),
        ((images * np.nan, labels), "8 of 8 images.*NaN or infinity"),
        ((images, labels + 10), "10 classes, the training labels reach"),
        ((images, labels[:3]), "as many of each"),
        (iter([]), "must be a data set"),
    ):
        with pytest.raises(ValueError, match=message):
            train(model, data, recipe, verbose=0)
    before = model.get_weights()
    spoilt = images.copy()
    spoilt[5] = np.nan
    for validation, message in (
        ((spoilt, labels), "Expected finite validation images; 1 of 8 images, the first at 5"),
        ((images[:, :4], labels), "the validation images have"),
        ((images, labels - 1), "10 classes, the validation labels reach"),
    ):
        with pytest.raises(ValueError, match=message):
            train(model, (images, labels), recipe, validation_data=validation, verbose=0)
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_only_products_decay_and_the_rate_rises_and_falls():
    model = kspike.Spikformer(CONFIG.replace(neuron="plif"))
    optimizer = make_optimizer(model, Recipe(epochs=10, learning_rate=1.0, min_learning_rate=0.1, warmup_epochs=2), 5)
    decayed = {v.path.rsplit("/", 1)[-1] for v in model.trainable_variables if optimizer._use_weight_decay(v)}
    spared = {v.path.rsplit("/", 1)[-1] for v in model.trainable_variables if not optimizer._use_weight_decay(v)}
    assert decayed == {"kernel"} and spared == {"bias", "gamma", "beta", "w"}
    rates = [float(optimizer._learning_rate(step)) for step in (0, 5, 10, 30, 50)]
    np.testing.assert_allclose(rates, [0.1, 0.55, 1.0, 0.55, 0.1], rtol=1e-5)
