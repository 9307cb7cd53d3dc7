"""Firing as training sees it: the penalty, the metric and the callback, inside fit."""

from __future__ import annotations

import csv

import keras
import numpy as np
import pytest

import kspike
from kspike.layers import LIF, PLIF, BatchNorm
from kspike.regularizers import FiringRate
from tests.helpers import BACKEND, to_numpy

CONFIG = kspike.SpikformerConfig(
    input_shape=(8, 8, 1), timesteps=2, embed_dim=16, depth=1, num_heads=2, mlp_ratio=1.0,
    stem_pool=(False, False, True, True), tau=1.25, v_threshold=0.4,
)  # fmt: skip


@pytest.fixture(scope="module")
def digits():
    data = kspike.data.load("digits", batch_size=64)
    return np.concatenate([data.train[i][0] for i in range(4)]), np.concatenate([data.train[i][1] for i in range(4)])


def network(regularizer=None, **changes):
    keras.utils.set_random_seed(0)
    return kspike.Spikformer(CONFIG.replace(**changes) if changes else CONFIG, spike_regularizer=regularizer)


def fit(model, digits, epochs=3, callbacks=(), metrics=(), **options):
    model.compile(
        keras.optimizers.Adam(1e-2), keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=[*metrics]
    )
    return model.fit(
        *digits, batch_size=32, epochs=epochs, shuffle=False, verbose=0, callbacks=[*callbacks], **options
    ).history


@pytest.mark.parametrize(
    ("arguments", "rate", "loss"),
    [
        ({"weight": 2.0}, 0.25, 0.5),
        ({"weight": 2.0, "upper": 0.3}, 0.25, 0.0),
        ({"weight": 2.0, "upper": 0.125}, 0.25, 0.25),
        ({"weight": 2.0, "lower": 0.5}, 0.25, 0.5),
        ({"weight": 2.0, "lower": 0.5}, 0.75, 0.0),
        ({"weight": 2.0, "lower": 0.25, "upper": 0.5}, 0.0, 0.5),
        ({"weight": 0.0}, 1.0, 0.0),
    ],
)
def test_the_penalty_is_the_distance_of_the_rate_from_its_range(arguments, rate, loss):
    spikes = np.zeros((2, 2, 8), "float32")
    spikes.reshape(-1)[: int(rate * 32)] = 1
    penalty = FiringRate(**arguments)
    for dtype in ("float32", "bfloat16"):
        layer = keras.layers.Identity(activity_regularizer=penalty, dtype=dtype)  # whatever Keras does about batches
        layer(keras.ops.convert_to_tensor(spikes, dtype))
        assert float(to_numpy(layer.losses[0])) == pytest.approx(loss)
    assert FiringRate.from_config(penalty.get_config()).get_config() == penalty.get_config()


@pytest.mark.shared
def test_what_is_no_range_of_rates_is_refused():
    for wrong in ({"weight": -1.0}, {"upper": 1.5}, {"lower": True}, {"weight": float("nan")}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            FiringRate(**wrong)
    with pytest.raises(ValueError, match="at most upper"):
        FiringRate(lower=0.5, upper=0.2)


@pytest.mark.parametrize("neuron", [LIF, PLIF])
@pytest.mark.parametrize("training", [True, False])
def test_fused_and_plain_passes_add_the_same_loss(neuron, training):
    """Normalisation and neuron in one pass must not take the spikes past the regulariser."""
    x = keras.ops.convert_to_tensor(np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype("float32"))
    losses = []
    for reference in (True, False):

        class Pair(keras.layers.Layer):
            def __init__(self):
                super().__init__()
                self.norm, self.neuron = BatchNorm(), neuron(v_threshold=0.3, activity_regularizer=FiringRate(2.0))

            def build(self, shape):
                self.norm.build(shape)
                self.neuron.build(shape)

            def call(self, inputs, training=None):
                return self.norm.then_fire(self.neuron, inputs, training)

        pair = Pair()
        kspike.ops.use_reference(reference)
        try:
            spikes = to_numpy(pair(x, training=training))
        finally:
            kspike.ops.use_reference(False)
        assert len(pair.losses) == 1 and 0 < spikes.mean() < 1
        losses.append(float(to_numpy(pair.losses[0])))
        assert losses[-1] == pytest.approx(2.0 * spikes.mean(), rel=1e-6)
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


@pytest.mark.once  # eagerly, layer by layer; inside fit the test below holds each backend to it
@pytest.mark.parametrize("residual", ["add", "membrane"])
def test_every_neuron_layer_of_a_model_is_penalised(residual, digits):
    model = network(FiringRate(1.0), residual=residual)
    model(digits[0][:8])
    report = kspike.cost.measure(model, digits[0][:8], progress=False)
    model(digits[0][:8])  # measuring was a pass of its own
    assert len(model.losses) == len(report.neurons)
    assert sum(float(to_numpy(loss)) for loss in model.losses) == pytest.approx(
        sum(row.rate for row in report.neurons), rel=1e-5
    )
    model.spike_regularizer = None
    model(digits[0][:8])
    assert model.losses == []
    model.spike_regularizer = FiringRate(1.0, lower=0.5)
    model(digits[0][:8])
    assert len(model.losses) == len(report.neurons)
    assert model.get_layer("block_0").mlp.spike_regularizer.lower == 0.5


@pytest.mark.slow
@pytest.mark.shared
def test_training_with_the_penalty_fires_less_and_both_are_seen(digits, tmp_path):
    """One fit with everything, held to the same fit without the penalty."""
    rates = kspike.training.FiringRates(digits, images=128)
    log = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    plain, regularised = network(), network(FiringRate(1.0))
    heard = kspike.metrics.FiringRate(regularised)
    fit(plain, digits)
    metrics = ["accuracy", keras.metrics.SparseCategoricalCrossentropy(from_logits=True, name="without"), heard]
    history = fit(regularised, digits, callbacks=[rates, log], metrics=metrics, validation_data=digits)

    before, after = (kspike.cost.measure(m, digits, progress=False, images=128) for m in (plain, regularised))
    assert after.firing_rate < 0.8 * before.firing_rate

    # the callback's last numbers are the trained model's, and stand in every log behind it
    assert history["measured_firing_rate"][-1] == pytest.approx(after.firing_rate, rel=1e-6)
    assert history["energy_mj"][-1] == pytest.approx(after.energy_mj, rel=1e-6)
    assert history["firing_rate/stem/neuron_0"][-1] == pytest.approx(after.neurons[0].rate, rel=1e-6)
    with open(tmp_path / "log.csv", newline="") as file:
        assert [float(row["energy_mj"]) for row in csv.DictReader(file)] == history["energy_mj"]

    # the metric counted the validation images in inference mode, which is what a report measures
    whole = kspike.cost.measure(regularised, digits, progress=False)
    assert history["val_firing_rate"][-1] == pytest.approx(whole.firing_rate, rel=1e-5)
    # the compiled loss holds the penalty of every neuron layer
    penalty = history["val_loss"][-1] - history["val_without"][-1]
    assert penalty == pytest.approx(sum(row.rate for row in whole.neurons), rel=1e-3)
    assert 0 < history["firing_rate"][-1] < history["firing_rate"][0]
    assert {"accuracy", "val_accuracy"} <= history.keys()

    regularised.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    assert again.spike_regularizer.get_config() == regularised.spike_regularizer.get_config()
    assert again.get_layer("block_0").mlp.fc1_neuron.activity_regularizer.weight == 1.0
    # a file holds no model for the metric to listen to: it says so instead of counting nothing
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="belongs to no model"):
        loaded.evaluate(*digits, batch_size=64, verbose=0)


@pytest.mark.shared
def test_the_metric_names_layers_it_does_not_find():
    model = network()
    with pytest.raises(ValueError, match="no neuron layer 'stem/neurone_0'.*stem/neuron_0"):
        kspike.metrics.FiringRate(model, layers=["stem/neurone_0"])
    with pytest.raises(ValueError, match="no neuron layer"):
        kspike.metrics.FiringRate(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]))


@pytest.mark.shared
def test_the_callback_warns_once_of_silent_layers(digits):
    inputs = keras.Input((2, 64))
    x = keras.layers.Dense(4, kernel_initializer="zeros", name="none")(inputs)
    outputs = keras.layers.Dense(2)(LIF(name="quiet")(x))
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling1D()(outputs))
    images = np.repeat(digits[0].reshape(-1, 1, 64), 2, axis=1)[:64]
    with pytest.warns(UserWarning, match="quiet") as seen:
        fit(model, (images, digits[1][:64] % 2), epochs=2, callbacks=[kspike.training.FiringRates(images)])
    assert sum("quiet" in str(warning.message) for warning in seen) == 1


@pytest.mark.shared
@pytest.mark.parametrize("arguments", [{"images": 0}, {"every": 0}, {"every": 1.5}, {"convention": "spikeformer"}])
def test_the_callback_refuses_what_it_cannot_do(arguments, digits):
    with pytest.raises(ValueError):
        kspike.training.FiringRates(digits, **arguments)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="Keras' TensorBoard callback writes by TensorFlow")
def test_tensorboard_gets_a_curve_a_layer(digits, tmp_path):
    callbacks = [kspike.training.FiringRates(digits, images=64), keras.callbacks.TensorBoard(tmp_path)]
    fit(network(), digits, epochs=1, callbacks=callbacks)
    written = b"".join(path.read_bytes() for path in (tmp_path / "train").iterdir())
    assert b"epoch_firing_rate/stem/neuron_0" in written and b"epoch_energy_mj" in written
