"""Anytime inference: every step answers as the shorter network with the same weights and statistics."""

import numpy as np
import pytest

import kspike
from kspike.models import anytime
from tests.helpers import wake


@pytest.mark.parametrize(
    "base",
    [pytest.param({}, marks=pytest.mark.shared), {"residual": "membrane", "neuron": "plif"}],
    ids=["add-lif", "membrane-plif"],
)
def test_each_step_is_the_shorter_network_with_the_same_statistics(base):
    config = kspike.SpikformerConfig(
        input_shape=(8, 8, 1), num_classes=4, embed_dim=16, depth=1, num_heads=2, timesteps=3,
        stem_pool=(False, False, True, True), **base,
    )  # fmt: skip
    model = wake(kspike.Spikformer(config))
    images = np.random.default_rng(0).normal(0.5, 1.0, (8, 8, 8, 1)).astype("float32")
    found = anytime(model).predict(images, verbose=0)
    assert found.shape == (8, 3, 4)
    for steps in (1, 3):
        shorter = kspike.Spikformer(config.replace(timesteps=steps))
        shorter.set_weights(model.get_weights())
        np.testing.assert_allclose(found[:, steps - 1], shorter.predict(images, verbose=0), atol=1e-5)
    assert np.abs(found[:, 0] - found[:, 2]).max() > 1e-3


def test_what_has_no_steps_to_read_is_refused():
    config = kspike.SpikformerConfig(input_shape=(8, 8, 1), embed_dim=16, depth=1, num_heads=2)
    with pytest.raises(ValueError, match="include_top"):
        anytime(kspike.Spikformer(config, include_top=False))
    with pytest.raises(ValueError, match="expects a kspike.Spikformer"):
        anytime("model")
