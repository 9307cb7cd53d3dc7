"""Training on a GPU as far as a CPU can show it: recorded calls and batches made ahead change nothing but time."""

import contextlib

import keras
import numpy as np
import pytest

import kspike
from kspike.training import Recipe, graph_replay, loop, train

pytestmark = pytest.mark.shared

CONFIG = kspike.SpikformerConfig(
    input_shape=(8, 8, 1), num_classes=10, timesteps=1, embed_dim=16, depth=1, num_heads=2, mlp_ratio=1.0,
    stem_pool=(False, False, True, True), tau=1.25, v_threshold=0.6,
)  # fmt: skip
RECIPE = Recipe(epochs=2, batch_size=240, learning_rate=1e-2, augment="shift", seed=3)


def fresh(**options):
    keras.utils.set_random_seed(1)
    return kspike.Spikformer(CONFIG, **options)


@pytest.fixture
def recorder(monkeypatch):
    """A GPU in name: it records calls by the shape they come in, and replays them by running them."""
    made = []

    def record(fn, module, example):
        made.append(tuple(example.shape))
        return lambda x: fn(x)

    monkeypatch.setattr(graph_replay, "recorded", record)
    monkeypatch.setattr(loop, "accelerated", lambda: True)
    return made


@pytest.mark.slow
def test_training_ends_with_the_same_weights(recorder):
    recorded = train(fresh(), RECIPE.load_data("digits"), RECIPE, verbose=0)
    assert recorder and {shape[1:] for shape in recorder} == {(8, 8, 1)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "accelerated", lambda: False)
        plain = train(fresh(), RECIPE.load_data("digits"), RECIPE, verbose=0)
    for one, other in zip(recorded.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert "call" not in vars(recorded)  # as it was


def test_inference_and_other_shapes_are_not_taken_for_the_recorded(recorder):
    model, images = fresh(), np.random.default_rng(0).normal(size=(6, 8, 8, 1)).astype("float32")
    wanted = keras.ops.convert_to_numpy(model(images))
    with graph_replay.graph_replay(model):
        model(images[:4], training=True)
        model(images[:4], training=True)
        model(images[:2], training=True)
        model.set_weights(fresh().get_weights())
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(model(images)), wanted)
    assert recorder == [(4, 8, 8, 1), (2, 8, 8, 1)]


@pytest.mark.parametrize("why", ["penalty", "listener"])
def test_calls_that_do_more_than_give_logits_are_not_recorded(recorder, why):
    model = fresh(spike_regularizer=kspike.regularizers.FiringRate(0.1) if why == "penalty" else None)
    if why == "listener":
        next(a for a in model._flatten_layers() if hasattr(a, "listener")).listener = lambda spikes: None
    with graph_replay.graph_replay(model):
        model(np.zeros((2, 8, 8, 1), "float32"), training=True)
    assert recorder == []


def test_what_cannot_be_recorded_runs_as_it_is_and_says_so(monkeypatch):
    def fail(fn, module, example):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(graph_replay, "recorded", fail)
    model = fresh()
    with graph_replay.graph_replay(model), pytest.warns(UserWarning, match="could not be recorded.*capturing"):
        assert model(np.zeros((2, 8, 8, 1), "float32"), training=True).shape == (2, 10)


def test_batches_made_ahead_are_those_of_the_data_in_its_order():
    data, same = (RECIPE.replace(batch_size=64).load_data("digits").train for _ in range(2))
    with contextlib.closing(graph_replay.Prefetcher(data)) as ahead:
        assert len(ahead) == len(same)
        for epoch in (0, 1, 0):
            ahead.set_epoch(epoch)
            same.set_epoch(epoch)
            assert ahead.epoch == epoch
            for i in range(len(same)):
                for one, other in zip(ahead[i], same[i], strict=True):
                    np.testing.assert_array_equal(one, other)
        ahead.set_epoch(1)  # in the middle of what is coming
        np.testing.assert_array_equal(ahead[0][0], _batch(same, 1)[0])


def _batch(data, epoch):
    data.set_epoch(epoch)
    return data[0]


def test_an_error_in_a_batch_is_raised_where_the_batch_is_asked_for():
    class Broken:
        epoch = 0

        def __len__(self):
            return 3

        def __getitem__(self, index):
            if index == 1:
                raise ValueError("an image that cannot be read")
            return index

    with contextlib.closing(graph_replay.Prefetcher(Broken())) as ahead:
        assert ahead[0] == 0
        with pytest.raises(ValueError, match="cannot be read"):
            ahead[1]
        assert ahead[2] == 2
