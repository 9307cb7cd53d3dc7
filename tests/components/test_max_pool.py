"""The max-pool mixer: the pool of stride 1 is the stem's in all but the stride, to nan and to costs."""

import numpy as np

import kspike
from kspike import layers
from kspike.cost.measured.probe import probe_of
from tests.helpers import to_numpy


def test_nan_passes_to_the_tokens_around_it_and_to_no_other():
    x = np.zeros((1, 1, 25, 2), "float32")
    x[0, 0, 12, 0] = np.nan
    y = to_numpy(layers.Component("max_pool", residual="membrane")(x))[0, 0].reshape(5, 5, 2)
    around = np.zeros((5, 5), bool)
    around[1:4, 1:4] = True
    np.testing.assert_array_equal(np.isnan(y[..., 0]), around)
    assert not np.isnan(y[..., 1]).any()


def test_measured_costs_see_what_goes_into_it():
    config = kspike.SpikformerConfig(
        input_shape=(8, 8, 1), num_classes=3, timesteps=2, embed_dim=16, depth=1, num_heads=2, mlp_ratio=1,
        residual="membrane", mixer="max_pool", stem_pool=(False, False, False, True),
    )  # fmt: skip
    signals, _ = probe_of(kspike.Spikformer(config)).run(np.zeros((2, 8, 8, 1), "float32"))
    pooled = {signal.tap: signal.elements for signal in signals if signal.role == "pool"}
    row = next(row for row in kspike.cost.table(config) if row.name == "block_0/attention/pool")
    assert pooled["block_0/attention/pool"] == row.pooled * row.steps == 16 * 16 * 2
