"""Memory in closed form: weights are those of a network that is built, activations are worked out by hand."""

import keras
import numpy as np
import pytest

import kspike
from kspike.cost.analytic.memory import activations, weights

CONFIG = kspike.SpikformerConfig(
    input_shape=(8, 8, 1), num_classes=10, timesteps=3, embed_dim=16, depth=1, num_heads=2, mlp_ratio=2.0,
    stem_pool=(False, False, True, True),
)  # fmt: skip


@pytest.mark.once
@pytest.mark.parametrize("changes", [{}, {"neuron": "plif"}, {"residual": "membrane", "mixer": "sdsa3", "mlp": "conv"}])
def test_weights_are_those_of_the_network_that_is_built(changes):
    config = CONFIG.replace(**changes)
    assert weights(config) == sum(int(np.prod(v.shape)) for v in kspike.Spikformer(config).weights)


@pytest.mark.once
def test_activations_are_the_most_that_stand_side_by_side():
    # the stem at 8x8: 1 to 2 channels, 2 to 4, 4 to 8; then a pool, and 8 to 16 at 4x4
    assert activations(CONFIG) == 3 * 64 * (4 + 8)
    # 64 tokens of 16 channels: into q, k and v, 4 times the channels, and as much around attention
    unpooled = CONFIG.replace(stem_pool=(False,) * 4)
    assert activations(unpooled) == 3 * 64 * 4 * 16
    assert activations(unpooled.replace(mlp_ratio=8.0)) == 3 * 64 * 9 * 16  # into the MLP's hidden channels
    assert kspike.cost.memory_mb(CONFIG) == 4 * (weights(CONFIG) + activations(CONFIG)) / 1e6


@pytest.mark.once
def test_a_genome_and_a_model_are_taken_and_nothing_else():
    assert kspike.cost.memory_mb(kspike.Spikformer(CONFIG)) == kspike.cost.memory_mb(CONFIG)
    with pytest.raises(ValueError, match="Expected a SpikformerConfig"):
        kspike.cost.memory_mb(keras.layers.Dense(3))
