"""Parts of Spike-driven Transformer V2 and V3: closed forms count what runs, settings, borders in a supernet."""

import keras
import numpy as np
import pytest

import kspike
from kspike import components
from kspike.cost.analytic.table import neuron_counts
from kspike.cost.measured.probe import probe_of
from kspike.layers.border import BorderNorm
from kspike.space import SearchSpace
from kspike.supernet.border import ElasticBorderNorm
from kspike.supernet.elastic import Leading, Masked, Statistics
from kspike.tuners.engine.ranking.quantities import QUANTITIES
from tests.helpers import BACKEND, to_numpy, traced, wake

FIELDS = {
    "input_shape": (16, 16, 1), "num_classes": 3, "timesteps": 2, "embed_dim": 16, "depth": 1, "num_heads": 2,
    "mlp_ratio": 2.0, "residual": "membrane", "stem_pool": (False, False, True, True),
}  # fmt: skip
WORDS = [
    {"mixer": "sepconv"},
    {"mixer": {"name": "sepconv", "kernel": 5, "expansion": 4}},
    {"mixer": "sepconv_spike"},
    {"mixer": "sdsa3"},
    {"mixer": "v3_attention"},
    {"mixer": {"name": "v3_attention", "expansion": 2}},
    {"mlp": "conv"},
]


@pytest.mark.shared
@pytest.mark.parametrize("words", WORDS, ids=str)
def test_closed_forms_count_what_runs(words):
    config = kspike.SpikformerConfig(**FIELDS, **words)
    model = kspike.Spikformer(config)
    signals, _ = probe_of(model).run(np.zeros((2, 16, 16, 1), "float32"))
    rows = {row.name: row for row in kspike.cost.table(config)}
    products = [signal for signal in signals if signal.role in ("conv", "dense")]
    assert {s.tap: (s.dense, s.elements) for s in products} == {
        name: (row.macs * row.steps, row.elements * row.steps) for name, row in rows.items() if row.kind != "attention"
    }
    attention = {(s.tap, s.of): s.elements for s in signals if s.role == "attention" and s.of in "qv"}
    assert attention == {
        (name.rpartition("/")[0], "q" if name.endswith("qk") else "v"): row.elements * row.steps
        for name, row in rows.items()
        if row.kind == "attention"
    }
    normalised = sum(s.elements for s in signals if s.role == "norm")
    assert normalised == sum(row.normalised * row.steps for row in rows.values())
    fired = {s.tap: s.elements for s in signals if s.role == "neuron"}
    assert fired == {name: count * config.timesteps for name, count in neuron_counts(config).items()}
    trainable = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    assert sum(row.parameters for row in rows.values()) == trainable == kspike.cost.parameters(config)


@pytest.mark.once
@pytest.mark.parametrize("name", ["sepconv", "sepconv_spike"])
def test_settings_that_there_are_not_are_refused(name):
    for settings in ({"kernel": 4}, {"kernel": 0}, {"kernel": 3.0}, {"kernel": True}):
        with pytest.raises(ValueError, match=f"kernel of the mixer '{name}' must be an odd whole number"):
            components.get("mixer", {"name": name, **settings})
    for settings in ({"expansion": 3}, {"expansion": 0}, {"expansion": True}):
        with pytest.raises(ValueError, match=f"expansion of the mixer '{name}' must be 1, 2, 4 or 8"):
            components.get("mixer", {"name": name, **settings})
    with pytest.raises(ValueError, match=f"mixer '{name}' is made for residual 'membrane', got 'add'"):
        kspike.SpikformerConfig(**{**FIELDS, "residual": "add"}, mixer=name)


@pytest.mark.once
def test_values_of_another_width_are_refused():
    for expansion in (3, 8, True, "4"):
        with pytest.raises(ValueError, match="expansion of the mixer 'v3_attention' must be 1, 2 or 4"):
            components.get("mixer", {"name": "v3_attention", "expansion": expansion})


def plain(x, training):
    """(result, moving statistics) of a BorderNorm whose statistics and weights are none of the defaults."""
    layer = BorderNorm()
    layer.build(x.shape)
    for variable, values in zip(layer.variables, numbers(x.shape[-1]), strict=True):
        variable.assign(values)
    y = to_numpy(layer(x, training=training))
    return y, [to_numpy(v) for v in (layer.moving_mean, layer.moving_variance)]


def numbers(channels):
    return [np.linspace(*ends, channels).astype("float32") for ends in ((0.5, 1.5), (-1, 1), (0.2, 0.9), (0.5, 2))]


def elastic(x, extent, training, time_mask=None):
    """The same of an elastic one of three channels more."""
    layer = ElasticBorderNorm(x.shape[-1] if isinstance(extent, Masked) else extent.size + 3)
    layer.build()
    size = int(np.sum(to_numpy(extent.ones))) if isinstance(extent, Masked) else extent.size
    for variable, values in zip(layer._variables(), numbers(size), strict=True):
        variable.assign(np.pad(values, (0, layer.channels - size), constant_values=9.0)[None])
    y = layer(x, extent=extent, statistics=Statistics(batch=training, rate=0.1), time_mask=time_mask)
    return to_numpy(y), [to_numpy(v)[0, :size] for v in (layer.moving_mean, layer.moving_variance)]


@pytest.mark.parametrize("training", [False, True])
def test_the_border_is_the_same_on_slices_and_under_masks(training):
    x = np.random.default_rng(0).normal(0.3, 1.0, (2, 3, 4, 5, 6)).astype("float32")
    expected, moved = plain(x, training)
    assert expected.shape == (2, 3, 6, 7, 6)
    gamma, beta, mean, variance = numbers(6)
    if training:  # the batch's share, unbiased in the border and biased in what is kept
        n = x[..., 0].size
        batch = x.reshape(-1, 6)
        mean = 0.9 * mean + 0.1 * batch.mean(0)
        np.testing.assert_allclose(moved[1], 0.9 * variance + 0.1 * batch.var(0), rtol=1e-5)
        variance = 0.9 * variance + 0.1 * batch.var(0) * n / (n - 1)
    border = beta - mean * gamma / np.sqrt(variance + 1e-5)
    ring = np.ones((6, 7), bool)
    ring[1:-1, 1:-1] = False
    np.testing.assert_allclose(expected[:, :, ring], np.broadcast_to(border, (2, 3, 22, 6)), rtol=1e-5, atol=1e-6)

    y, kept = elastic(x, Leading(6), training)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(kept, moved, rtol=1e-5, atol=1e-6)
    wide = np.zeros((2, 4, 4, 5, 9), "float32")  # a fourth time step and three channels that are not active
    wide[:, :3, ..., :6] = x
    ones = keras.ops.convert_to_tensor((np.arange(9) < 6).astype("float32"))
    steps = keras.ops.convert_to_tensor(np.array([1, 1, 1, 0], "float32"))
    y, kept = elastic(wide, Masked(ones), training, steps)
    np.testing.assert_allclose(y[:, :3, ..., :6], expected, rtol=1e-5, atol=1e-5)
    assert not y[..., 6:].any()
    np.testing.assert_allclose(kept, moved, rtol=1e-5, atol=1e-6)


def test_measured_attention_knows_that_values_are_wider():
    """Means and sizes of q, k and v each by their own numbers; K^T V and Q (K^T V) have the same operations."""
    config = kspike.SpikformerConfig(**FIELDS, mixer="v3_attention")
    keras.utils.set_random_seed(0)
    model = kspike.Spikformer(config)
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        if variable.name == "beta":
            variable.assign(rng.uniform(0.5, 3.0, variable.shape).astype("float32"))
    images = rng.normal(0.5, 1.0, (3, 16, 16, 1)).astype("float32")
    attention = model.get_layer("block_0").attention
    inner = {name: attention.part(f"{name}_neuron") for name in ("query_key", "value")}
    _, seen = traced(model, inner, images)
    q, k = np.split(seen["query_key"][1], 2, axis=-1)
    v = seen["value"][1]
    assert q.shape == (3, 2, 16, 16) and v.shape == (3, 2, 16, 64) and min(a.mean() for a in (q, k, v)) > 0.1
    found = kspike.cost.measure(model, images, convention="spikingformer", progress=False)
    by_name = {product.activity.name: product.activity for product in found.products}
    qk, av = (by_name[f"block_0/attention/{name}"] for name in ("qk", "av"))
    for each in (qk, av):
        assert each.attention is not None
        np.testing.assert_allclose([getattr(each.attention, of) for of in "qkv"], [a.mean() for a in (q, k, v)])
    tokens, heads, steps = 16, 2, 2
    scores = tokens * tokens * heads
    assert (qk.dense, qk.geometry.inputs) == (tokens * tokens * 16 * steps, tokens * 16 * steps)
    assert (av.dense, av.geometry.inputs) == (tokens * tokens * 64 * steps, tokens * 64 * steps)
    assert (qk.geometry.outputs, av.geometry.weights) == (scores * steps, scores)
    order = tokens * 16 * (64 // heads) * steps
    acs = {row.name: row.acs for row in found.rows}
    np.testing.assert_allclose(acs["block_0/attention/qk"], order * q.mean(), rtol=1e-6)
    np.testing.assert_allclose(acs["block_0/attention/av"], order * min(k.mean(), v.mean()), rtol=1e-6)
    assert QUANTITIES["attention"].count(kspike.cost.Sizes.of_configs([config])).tolist() == [2 * order]


@pytest.mark.skipif(BACKEND != "torch", reason="slices and masks, both on torch; a compiled one takes a minute")
def test_energy_is_the_same_in_a_supernet_and_out_of_it():
    """Read off the supernet directly, whose q, k and v hold inactive channels beside the active ones."""
    base = kspike.SpikformerConfig(**FIELDS, mixer="v3_attention", mlp="conv")
    space = SearchSpace(base, embed_dim=(16, 32), num_heads=(1, 2), name="wide_values")
    images = np.random.default_rng(0).normal(0.3, 1.0, (4, 16, 16, 1)).astype("float32")
    for masked in (False, True):
        supernet = wake(kspike.Supernet(space, masked=masked))
        assert supernet.read_directly
        supernet.activate(space.genome(embed_dim=16, num_heads=2))
        supernet.calibrate([images])
        for convention in ("spikingformer", "lemaire"):
            inside, outside = (
                kspike.cost.measure(model, images, convention=convention, progress=False)
                for model in (supernet, supernet.extract())
            )
            acs = {row.name: row.acs for row in outside.rows}
            assert {row.name: row.acs for row in inside.rows} == pytest.approx(acs, rel=1e-6)
            assert inside.energy_mj == pytest.approx(outside.energy_mj, rel=1e-6) and acs["block_0/attention/av"] > 0
