"""The max-pool mixer: the pool of stride 1 is the stem's in all but the stride, to nan and to costs."""

import numpy as np
import pytest

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


@pytest.mark.parametrize(
    "fields, pools", [({"mixer": "max_pool"}, 1), ({"mixer": {"name": "sdsa1", "events": True}}, 4)]
)
def test_measured_costs_see_what_goes_into_it(fields, pools):
    config = kspike.SpikformerConfig(
        input_shape=(8, 8, 1), num_classes=3, timesteps=2, embed_dim=16, depth=1, num_heads=2, mlp_ratio=1,
        residual="membrane", stem_pool=(False, False, False, True), **fields,
    )  # fmt: skip
    model = kspike.Spikformer(config)  # a probe does not keep it
    signals, _ = probe_of(model).run(np.zeros((2, 8, 8, 1), "float32"))
    pooled = [s for s in signals if s.role == "pool" and s.tap.startswith("block_0/attention/pool")]
    assert [signal.steps for signal in pooled] == [2] * pools
    closed = sum(
        row.pooled * row.steps for row in kspike.cost.table(config) if row.name.startswith("block_0/attention")
    )
    assert sum(signal.elements for signal in pooled) == closed == 16 * 16 * 2 * pools


@pytest.mark.parametrize("stem, residual", [("peds", "add"), ("embed_max", "membrane")])
def test_measured_costs_see_the_pools_of_a_stem_of_events(stem, residual):
    config = kspike.SpikformerConfig(
        input_shape=(2, 16, 16, 2), timesteps=2, num_classes=3, embed_dim=16, depth=1, num_heads=2, mlp_ratio=1,
        residual=residual, stem={"name": stem, "events": True},
    )  # fmt: skip
    model = kspike.Spikformer(config)  # a probe does not keep it
    signals, _ = probe_of(model).run(np.zeros((2, *config.input_shape), "float32"))
    pooled = [signal.elements for signal in signals if signal.role == "pool"]
    assert pooled == [2 * 16 * 16 * 4, 2 * 8 * 8 * 8, 2 * 4 * 4 * 16]
    assert sum(pooled) == sum(row.pooled * row.steps for row in kspike.cost.table(config))
