"""What the public code of Auto-Spikformer gets wrong when it evaluates, by number of its known defects."""

import keras
import numpy as np
import pytest

from tests.supernet.test_sampling import LARGE, SMALL, SPACE, data, made  # noqa: F401  (data is a fixture)


@pytest.fixture(scope="module")
def supernet(data):  # noqa: F811
    supernet = made()
    supernet.activate(LARGE)
    supernet.calibrate([data[0]])
    return supernet


def test_answers_do_not_depend_on_the_batch_and_evaluation_changes_nothing(supernet, data):  # noqa: F811
    """1: normalisation in training mode: logits depend on the batch, and evaluating moves the statistics."""
    images, labels = data
    before = supernet.statistics()
    whole = supernet.predict(images, batch_size=16, verbose=0)
    parts = supernet.predict(images, batch_size=4, verbose=0)
    assert np.isclose(whole, parts, atol=1e-5).all(axis=1).mean() >= 15 / 16
    supernet.evaluate(images, labels, batch_size=4, verbose=0)
    for one, other in zip(supernet.statistics(), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_thresholds_hold_beyond_the_first_batch(supernet, data):  # noqa: F811
    """2: the sampled threshold is lost after the first batch; here the same images twice answer the same twice."""
    images = data[0][:4]
    low = SPACE.genome(embed_dim=16, depth=2, timesteps=2, v_threshold=0.5)
    high = SPACE.genome(embed_dim=16, depth=2, timesteps=2, v_threshold=0.8)
    answers = {}
    for genome in (low, high):
        supernet.activate(genome)  # the same statistics for both: only the threshold differs
        found = supernet.predict(np.concatenate([images, images]), batch_size=4, verbose=0)
        np.testing.assert_allclose(found[:4], found[4:], atol=1e-6)
        answers[genome] = found
    assert np.abs(answers[low][4:] - answers[high][4:]).max() > 1e-4  # in the second batch


def test_an_exception_leaves_no_state_behind(supernet, data):  # noqa: F811
    """25: neurons keep their potential until reset; an exception between two batches leaves the next one stale."""
    images = data[0][:4]  # not all: their moments are not the stored ones
    supernet.activate(LARGE)
    before = supernet.predict(images, verbose=0)
    for fails in (supernet, supernet.predict):
        with pytest.raises(ValueError, match="7, 8, 1"):
            fails(np.zeros((2, 7, 8, 1), "float32"))
    np.testing.assert_array_equal(supernet.predict(images, verbose=0), before)
    with pytest.raises(ValueError, match="7, 8, 1"):
        supernet.calibrate([np.zeros((2, 7, 8, 1), "float32")])
    np.testing.assert_array_equal(supernet.predict(images, verbose=0), before)
    supernet.activate(SMALL)
    supernet.activate(LARGE)
    np.testing.assert_array_equal(supernet.predict(images, verbose=0), before)
    assert keras.ops.convert_to_numpy(supernet.head.kernel).dtype == np.float32
