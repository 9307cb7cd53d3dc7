"""Random small architectures of every kind, for the tests of costs."""

from __future__ import annotations

import numpy as np

from kspike import SpikformerConfig


def random_config(seed: int) -> SpikformerConfig:
    """A small architecture with every field drawn: still or frames, odd sizes, any pools, biases, shortcut, neuron."""
    rng = np.random.default_rng(seed)
    choose = lambda *values: values[rng.integers(len(values))]
    timesteps, depth = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    shape = (int(rng.integers(4, 10)), int(rng.integers(4, 10)), choose(1, 2, 3))
    return SpikformerConfig(
        input_shape=choose(shape, (timesteps, *shape)),
        num_classes=int(rng.integers(2, 7)),
        timesteps=timesteps,
        embed_dim=choose(16, 24),
        depth=depth,
        num_heads=tuple(choose(1, 2, 4) for _ in range(depth)),
        mlp_ratio=tuple(choose(1, 1.3, 2.5) for _ in range(depth)),
        stem_channels=choose(None, (3, 5, 7)),
        stem_pool=tuple(bool(b) for b in rng.integers(0, 2, 4)),
        pool_after=choose("neuron", "norm"),
        qkv_bias=bool(rng.integers(2)),
        proj_bias=bool(rng.integers(2)),
        mlp_bias=bool(rng.integers(2)),
        residual=choose("add", "membrane"),
        neuron=choose("lif", "plif"),
        v_threshold=dict.fromkeys(("stem", "qkv", "attention", "fc1"), 0.1),  # an untrained network fires at these
    )


def images(config: SpikformerConfig, n: int, seed: int = 0) -> np.ndarray:
    """Images of normal noise in the config's shape."""
    return np.random.default_rng(seed).normal(size=(n, *config.input_shape)).astype("float32")
