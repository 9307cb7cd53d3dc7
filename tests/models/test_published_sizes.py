"""Trainable parameters equal the published counts, dead layers of the official code left out."""

import keras
import numpy as np
import pytest

import kspike

EVENTS = {"stem_pool": (True,) * 4, "qkv_bias": False, "scale": 0.25}


@pytest.mark.parametrize(
    ("fields", "published"),
    [
        ({}, 9_324_730),
        ({"embed_dim": 256, "num_heads": 8}, 4_155_178),
        ({"depth": 2}, 5_765_050),
        (
            {
                "input_shape": (16, 128, 128, 2),
                "timesteps": 16,
                "embed_dim": 256,
                "depth": 2,
                "num_heads": 16,
                **EVENTS,
            },
            2_566_666,
        ),
        (
            {
                "input_shape": (224, 224, 3),
                "num_classes": 1000,
                "embed_dim": 768,
                "depth": 8,
                "stem_pool": (True,) * 4,
                "qkv_bias": False,
            },
            66_338_632,
        ),
    ],
    ids=["cifar 4-384", "cifar 4-256", "cifar 2-384", "cifar10-dvs 2-256", "imagenet 8-768"],
)
def test_trainable_parameters_are_the_published_ones(fields, published):
    config = kspike.SpikformerConfig(**fields)
    assert kspike.cost.parameters(config) == published
    if published > 10_000_000:
        return  # the closed form is held to built models elsewhere; this one would take a quarter of a gigabyte
    model = kspike.Spikformer(config)
    assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == published
    keras.backend.clear_session()
