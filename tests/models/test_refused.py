"""A refused or interrupted predict, evaluate or fit leaves the model as it was."""

import functools

import keras
import numpy as np
import pytest

import kspike
from tests.helpers import BACKEND

CONFIG = kspike.SpikformerConfig(
    input_shape=(8, 8, 1), num_classes=3, timesteps=2, embed_dim=8, depth=1, num_heads=2, mlp_ratio=2.0
)
X, Y = np.random.default_rng(0).normal(0.5, 1.0, (8, 8, 8, 1)).astype("float32"), np.arange(8) % 3
#: Of another size; a multiple of the right one, which a reshape would take for more images.
OTHER = np.zeros((4, 16, 16, 1), "float32")


def spikformer():
    return kspike.Spikformer(CONFIG)


def supernet():
    return kspike.Supernet(kspike.space.SearchSpace(CONFIG, embed_dim=(8, 16)))


@functools.cache
def compiled(make):
    model = make()
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    model.predict(X, batch_size=4, verbose=0)  # compiled: shapes are no longer what the first trace saw
    return model


@pytest.fixture
def model():
    return compiled(spikformer)


@pytest.fixture(params=[spikformer, supernet], ids=lambda make: make.__name__)
def either(request):
    return compiled(request.param)


class Weights:
    """Asserts that the weights are those of before, and that the model runs."""

    def __init__(self, model):
        self.model = model

    def __enter__(self):
        self.before = self.model.get_weights()
        self.logits = self.model.predict(X, batch_size=4, verbose=0)

    def __exit__(self, *raised):
        if raised[0] is None:
            for one, other in zip(self.model.get_weights(), self.before, strict=True):
                np.testing.assert_array_equal(one, other)
            np.testing.assert_array_equal(self.model.predict(X, batch_size=4, verbose=0), self.logits)
            assert self.model(X[:2]).shape == (2, 3)


def test_images_of_another_size_are_refused_before_anything_starts(either):
    model = either
    message = r"Expected images of shape \(batch, 8, 8, 1\).*received shape \(\w+, 16, 16, 1\)"
    with Weights(model):
        for refused in (
            lambda: model.predict(OTHER, verbose=0),
            lambda: model.evaluate(OTHER, Y[:4], verbose=0),
            lambda: model.fit(OTHER, Y[:4], verbose=0),
            lambda: model.fit(X, Y, validation_data=(OTHER, Y[:4]), verbose=0),
            lambda: model.predict_on_batch(OTHER),
            lambda: model.test_on_batch(OTHER, Y[:4]),
            lambda: model.train_on_batch(OTHER, Y[:4]),
            lambda: model.predict([OTHER], verbose=0),
        ):
            with pytest.raises(ValueError, match=message):
                refused()


def test_a_batch_of_another_size_among_others_costs_nothing(model):
    def batches():
        yield X[:4], Y[:4]
        yield OTHER, Y[:4]

    with Weights(model):
        for use in (model.predict, model.evaluate):
            with pytest.raises(Exception, match="shape"):
                use(batches(), verbose=0)


class Interrupts(keras.callbacks.Callback):
    """Ctrl-C at one of a loop's events."""

    def __init__(self, event, at=0):
        super().__init__()
        self.at = at
        setattr(self, event, self.interrupt)

    def interrupt(self, batch, logs=None):
        if batch >= self.at:
            raise KeyboardInterrupt


@pytest.mark.parametrize("event", ["batch_begin", "batch_end"])
@pytest.mark.parametrize("at", [0, 1])
def test_an_interrupted_predict_or_evaluate_costs_nothing(model, event, at):
    with Weights(model):
        with pytest.raises(KeyboardInterrupt):
            model.predict(X, batch_size=4, verbose=0, callbacks=[Interrupts(f"on_predict_{event}", at)])
        with pytest.raises(KeyboardInterrupt):
            model.evaluate(X, Y, batch_size=4, verbose=0, callbacks=[Interrupts(f"on_test_{event}", at)])


def test_a_step_that_is_interrupted_costs_nothing(either, monkeypatch):
    """What the step was given may be overwritten when it has run and its results have not come back."""
    model, functions = either, {"predict": "predict_function", "evaluate": "test_function"}
    model.evaluate(X, Y, batch_size=4, verbose=0)
    with Weights(model):
        for name, function in functions.items():
            step = getattr(model, function)

            def interrupted(*args, step=step):
                step(*args)
                raise KeyboardInterrupt

            monkeypatch.setattr(model, function, interrupted)
            with pytest.raises(KeyboardInterrupt):
                getattr(model, name)(X, *([Y] if name == "evaluate" else []), batch_size=4, verbose=0)
            monkeypatch.setattr(model, function, step)


def test_an_interrupted_validation_leaves_what_was_trained(model):
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, batch_size=4, verbose=0, validation_data=(X, Y), callbacks=[Interrupts("on_test_batch_end", 1)])
    assert np.isfinite(model.predict(X, verbose=0)).all()
    assert all(np.isfinite(w).all() for w in model.get_weights())
    model.fit(X, Y, batch_size=4, verbose=0)


def test_a_fit_whose_first_step_is_refused_leaves_the_weights(model):
    model.fit(X, Y, batch_size=4, verbose=0)  # what is asked for the first time is traced before it starts

    def batches():
        yield OTHER, Y[:4]

    with Weights(model), pytest.raises(Exception, match="shape"):
        model.fit(batches(), verbose=0)


def test_a_fit_interrupted_between_steps_keeps_the_last_one(model):
    before = model.get_weights()
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, batch_size=2, verbose=0, callbacks=[Interrupts("on_train_batch_end", 1)])
    assert np.isfinite(model.predict(X, verbose=0)).all()
    assert not all(np.array_equal(one, other) for one, other in zip(model.get_weights(), before, strict=True))


@pytest.mark.skipif(BACKEND != "tensorflow", reason="graphs of open shapes are TensorFlow's")
def test_a_data_set_of_open_shapes_is_held_to_the_models(model):
    import tensorflow as tf

    def data(images):
        return tf.data.Dataset.from_generator(
            lambda: iter([images]), output_signature=tf.TensorSpec((None, None, None, None), tf.float32)
        )

    np.testing.assert_array_equal(model.predict(data(X[:4]), verbose=0), model.predict(X[:4], batch_size=4, verbose=0))
    with pytest.raises(tf.errors.InvalidArgumentError, match="16,16"):
        model.predict(data(OTHER), verbose=0)
    with pytest.raises(ValueError, match="Expected images"):
        model.predict(tf.data.Dataset.from_tensor_slices(OTHER).batch(2), verbose=0)
