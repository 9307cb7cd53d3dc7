"""A recipe's optimizer: Keras' AdamW to the last step, however its gradients are clipped."""

import keras
import numpy as np
import pytest

from kspike import ops
from kspike.training import Recipe, make_optimizer
from tests.helpers import BACKEND, to_numpy

SIZES = ((3, 4), (4,), (2, 2, 2), (5, 1))


@pytest.fixture
def variables():
    rng = np.random.default_rng(0)
    return [keras.Variable(rng.normal(size=shape).astype("float32")) for shape in SIZES]


class Model:
    """What `make_optimizer` reads off a model."""

    def __init__(self, variables):
        self.trainable_variables = variables


def gradients(scales):
    rng = np.random.default_rng(1)
    return [scale * rng.normal(size=shape).astype("float32") for scale, shape in zip(scales, SIZES, strict=True)]


@pytest.mark.parametrize("clip_norm", [None, 0.5, 2.0])
def test_a_step_is_that_of_keras_own_optimizer(variables, clip_norm):
    """Gradients far above and below the limit, and one that is nothing."""
    recipe = Recipe(epochs=2, learning_rate=0.1, min_learning_rate=0.1, weight_decay=0.0, clip_norm=clip_norm)
    copies = [keras.Variable(to_numpy(v)) for v in variables]
    mine = make_optimizer(Model(variables), recipe, 10)
    theirs = keras.optimizers.AdamW(0.1, weight_decay=0.0, clipnorm=clip_norm)
    for scales in ((100.0, 1e-3, 1.0, 0.0), (1.0, 1.0, 30.0, 1e-6)):
        for optimizer, of in ((mine, variables), (theirs, copies)):
            optimizer.apply([keras.ops.convert_to_tensor(g) for g in gradients(scales)], of)
    for a, b in zip(variables, copies, strict=True):
        np.testing.assert_allclose(to_numpy(a), to_numpy(b), rtol=2e-6, atol=1e-7)


def test_each_gradient_is_clipped_by_its_own_norm():
    found = ops.clip_each([keras.ops.convert_to_tensor(g) for g in gradients((100.0, 1e-3, 1.0, 0.0))], 0.5)
    assert (found is None) == (BACKEND != "torch")  # there Keras' own calls are compiled into one program anyway
    if found is None:
        return
    for clipped, given in zip(found, gradients((100.0, 1e-3, 1.0, 0.0)), strict=True):
        norm = np.linalg.norm(given)
        np.testing.assert_allclose(to_numpy(clipped), given * min(1.0, 0.5 / max(norm, 1e-30)), rtol=1e-5)


def test_the_optimizer_is_saved_as_keras_own(variables):
    optimizer = make_optimizer(Model(variables), Recipe(epochs=2), 10)
    saved, own = (keras.saving.serialize_keras_object(o) for o in (optimizer, keras.optimizers.AdamW()))
    assert all(saved[key] == own[key] for key in ("module", "class_name", "registered_name"))
    assert keras.saving.deserialize_keras_object(saved).clipnorm == optimizer.clipnorm
