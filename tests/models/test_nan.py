"""What a user sees of NaN: in the logits of the images that hold it, and in the loss at once."""

import keras
import numpy as np
import pytest

import kspike
from kspike.models import anytime, early_exit, exit_curve
from tests.helpers import BACKEND, wake

CONFIG = kspike.SpikformerConfig(
    input_shape=(16, 16, 1), num_classes=4, embed_dim=32, depth=1, num_heads=2, timesteps=2, mlp_ratio=2.0
)
SPACE = {
    "name": "small", "base": CONFIG.to_dict(),
    "genes": {"embed_dim": [16, 32], "timesteps": [1, 2]},
}  # fmt: skip


def images(n=8):
    x = np.random.default_rng(0).random((n, 16, 16, 1), "float32")
    return x, (np.arange(n) % 4).astype("int32")


def spoilt(n=8, at=(3,)):
    """One pixel of some images is NaN."""
    x, _ = images(n)
    x[list(at), 5, 6, 0] = np.nan
    return x


def made(**changes):
    return wake(kspike.Spikformer(CONFIG.replace(**changes)))


CHANGES = [{}, {"residual": "membrane"}, {"pool_after": "norm"}, {"neuron": "plif", "v_reset": None}]


# compiled, a network of each would take longer than it shows: neurons and pools have tests of their own
@pytest.mark.parametrize(
    "changes", CHANGES[: None if BACKEND == "torch" else 1], ids=lambda changes: " ".join(changes) or "spikformer"
)
def test_prediction_is_nan_for_the_images_that_hold_it_and_unchanged_for_the_others(changes):
    model = made(**changes)
    clean = model.predict(images()[0], verbose=0)
    logits = model.predict(spoilt(at=(3, 6)), verbose=0)
    assert np.isnan(logits).all(1).tolist() == [i in (3, 6) for i in range(8)]
    others = [i for i in range(8) if i not in (3, 6)]
    np.testing.assert_allclose(logits[others], clean[others], atol=1e-6)


def test_anytime_and_early_exit_do_not_answer_for_an_image_that_holds_nan():
    model = made()
    x, y = images()
    readings = anytime(model).predict(spoilt(), verbose=0)
    assert np.isnan(readings).all((1, 2)).tolist() == [i == 3 for i in range(8)]
    found = early_exit(model, spoilt(), confidence=0.0)
    assert np.isnan(found.logits).all(1).tolist() == [i == 3 for i in range(8)]
    assert found.steps.tolist() == [2 if i == 3 else 1 for i in range(8)]  # it is never decided
    with pytest.raises(ValueError, match="1 of 8 images.*NaN"):
        exit_curve(model, [(spoilt(), y)])


@pytest.mark.parametrize("masked", [False, True] if BACKEND == "torch" else [None])
def test_a_supernet_gives_nan_for_the_image_too(masked):
    supernet = wake(kspike.Supernet(SPACE, masked=masked))
    for genome in (supernet.space.largest(), supernet.space.smallest()):
        supernet.activate(genome)
        assert np.isnan(supernet.predict(spoilt(), verbose=0)).all(1).tolist() == [i == 3 for i in range(8)]


def fitted(x, y, callbacks=(), **compile_options):
    model = made()
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), **compile_options)
    return model.fit(x, y, batch_size=4, epochs=2, verbose=0, callbacks=[*callbacks], shuffle=False).history["loss"]


def test_fit_shows_one_pixel_in_the_loss_of_its_epoch_and_is_stopped_by_keras():
    _, y = images()
    stopped = fitted(spoilt(), y, [keras.callbacks.TerminateOnNaN()])
    assert len(stopped) == 1 and np.isnan(stopped[0])


@pytest.mark.slow  # XLA compiles a training step
@pytest.mark.skipif(BACKEND != "tensorflow", reason="XLA is asked for under tensorflow alone")
def test_fit_shows_it_under_xla_too():
    assert np.isnan(fitted(spoilt(), images()[1], jit_compile=True)).all()


def test_fit_shows_a_weight_that_is_nan():
    model = made()
    x, y = images()
    kernel = model.get_layer("block_0").mlp.fc1.kernel
    value = np.array(keras.ops.convert_to_numpy(kernel))
    value[:, 0] = np.nan
    kernel.assign(value)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    assert np.isnan(model.fit(x, y, verbose=0).history["loss"]).all()
