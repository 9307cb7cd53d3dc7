"""The integer neuron: against the official code, unrolled into binary steps, and what it costs."""

import json

import keras
import numpy as np
import pytest

import kspike
from kspike import components, cost, layers, ops
from kspike.components.neurons.integer import Integer
from kspike.layers.neuron import SpikingNeuron
from kspike.models import unroll
from kspike.space import SearchSpace
from kspike.tuners import scores
from tests.golden import networks
from tests.helpers import input_gradient, run, wake

FIELDS = {
    "input_shape": (8, 8, 1), "num_classes": 5, "timesteps": 2, "embed_dim": 16, "depth": 1, "num_heads": 2,
    "mlp_ratio": 2.0, "stem_pool": (False, False, True, True), "neuron": "integer",
}  # fmt: skip


def config(**changes):
    return kspike.SpikformerConfig(**{**FIELDS, **changes})


def network(**changes):
    """A network whose neurons fire all levels."""
    keras.utils.set_random_seed(0)
    model = wake(kspike.Spikformer(config(**changes)))
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        if variable.name == "beta":
            variable.assign(rng.uniform(-1.5, 4.0, variable.shape))
    return model


def images(model, count=6):
    return np.random.default_rng(1).normal(0.3, 1.0, (count, *model.config.input_shape)).astype("float32")


def fired(model, x):
    """Logits, and neuron -> what it fired."""
    spikes = {}
    neurons = [layer for layer in model._flatten_layers() if isinstance(layer, SpikingNeuron)]
    for layer in neurons:
        layer.listener = lambda s, path=layer.path: spikes.update({path: s})
    try:
        logits = model(keras.ops.convert_to_tensor(x))
    finally:
        for layer in neurons:
            layer.listener = None
    return keras.ops.convert_to_numpy(logits), {k: keras.ops.convert_to_numpy(v) for k, v in spikes.items()}


@pytest.mark.parametrize("reference", [False, True])
def test_levels_and_gradients_of_the_official_neuron(reference):
    golden = networks.load("part_v3_multispike")
    x, upstream = (golden[name][:, None] for name in ("x", "upstream"))  # a time axis of one step
    ops.use_reference(reference)
    try:
        y, gradient = input_gradient(layers.Neuron("integer"), x, upstream)
    finally:
        ops.use_reference(False)
    np.testing.assert_array_equal(y[:, 0], golden["y_inference"])
    np.testing.assert_array_equal(y[:, 0] * 4, golden["levels"])
    np.testing.assert_array_equal(gradient[:, 0], golden["grad_x_inference"])


def test_other_levels_by_hand():
    """0.5 and 1.5 lie between two levels: the even one is taken."""
    x = np.array([-1.0, 0.5, 0.75, 1.5, 2.5, np.inf, np.nan], "float32").reshape(1, 7, 1)
    found = run(layers.Neuron(Integer(levels=2)), x).ravel()
    np.testing.assert_array_equal(found * 2, [0, 0, 1, 2, 2, 2, np.nan])


def test_unrolled_by_hand():
    """Means 1.25 and 2.5 of four steps: levels 1 and 2, fired first."""
    x = np.array([5.0, 0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 4.0], "float32").reshape(1, 8, 1)
    neuron = layers.Neuron(Integer(unrolled=True))
    assert run(neuron, x).ravel().tolist() == [1, 0, 0, 0, 1, 1, 0, 0]
    with pytest.raises(ValueError, match="multiple of 4, got 6"):
        run(neuron, x[:, :6])


# Of one code path: the neuron itself is compared on every backend above.
@pytest.mark.shared
@pytest.mark.parametrize(
    "changes",
    [
        {"residual": "membrane", "neuron": Integer(levels=2), "pool_after": "norm"},
        {},
        {"input_shape": (2, 8, 8, 2), "mixer": "dwconv3", "neuron": Integer(levels=8)},
        {"residual": "membrane", "mixer": "max_pool", "mlp": "two_shortcuts", "mlp_ratio": 1.0, "stem": "sdt"},
    ],
)
def test_the_unrolled_network_fires_0_and_1_and_answers_the_same(changes):
    model = network(**changes)
    unrolled = unroll(model)
    d = model.config.neuron_component.levels
    assert unrolled.config.timesteps == d * model.config.timesteps
    x = images(model)
    logits, levels = fired(model, x)
    found, spikes = fired(unrolled, np.repeat(x, d, axis=1) if model.config.has_time else x)
    assert np.ptp(logits, axis=0).max() > 1e-2  # images differ, or nothing is shown
    np.testing.assert_allclose(found, logits, rtol=1e-5, atol=1e-4)
    seen = set()
    for (path, level), binary in zip(levels.items(), spikes.values(), strict=True):
        assert set(np.unique(binary)) <= {0.0, 1.0}, path
        means = binary.reshape(len(x), -1, d, *binary.shape[2:]).mean(axis=2)
        np.testing.assert_allclose(means, level, atol=1e-6, err_msg=path)
        seen |= set(np.unique(np.round(level * d)))
    assert seen == set(range(d + 1))


@pytest.mark.slow
@pytest.mark.shared
def test_a_component_that_multiplies_two_signals_is_refused_by_name():
    for mixer, residual in (("token_qk", "add"), ("channel_qk", "add"), ("sdsa1", "membrane")):
        with pytest.raises(ValueError, match=f"mixer {mixer}.*no exact unrolling"):
            unroll(kspike.Spikformer(config(mixer=mixer, residual=residual)))
    with pytest.raises(ValueError, match="lif fires 0 and 1"):
        unroll(kspike.Spikformer(config(neuron="lif")))
    with pytest.raises(ValueError, match=r"integer\(unrolled=True\) fires 0 and 1"):
        unroll(unroll(network()))
    with pytest.raises(ValueError, match="expects a kspike.Spikformer, got Sequential"):
        unroll(keras.Sequential([layers.Neuron("integer")]))


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize("convention", ["spikformer", "spikingjelly", "lemaire", "neurobench"])
def test_a_level_costs_so_many_accumulations(convention):
    model, d = network(), 4
    x = images(model)
    report = cost.measure(model, x, convention, progress=False)
    assert report.timesteps == d * model.config.timesteps
    found = {row.name: row for row in report.rows}
    binary = {row.name: row for row in cost.measure(unroll(model), x, convention, progress=False).rows}
    for name, row in binary.items():
        counted = [(each.acs, each.macs, each.energy_uj) for each in (found[name], row)]
        assert counted[0] == pytest.approx(counted[1]), name
    if convention == "spikformer":
        _, levels = fired(model, x)
        hidden = next(v for path, v in levels.items() if path.endswith("mlp/fc1_neuron"))
        row = found["block_0/mlp/fc2"]
        assert row.macs == 0 and row.acs == pytest.approx(d * hidden.sum() / len(x) * model.config.embed_dim, rel=1e-5)


def test_what_reads_binary_spikes_refuses_it_by_name():
    model = network()
    for name in ("naswot", "energy", "synops"):
        with pytest.raises(ValueError, match="integer fires levels"):
            scores.get(name).on(model, images(model), np.zeros(6, "int32"))
    other = keras.Sequential([keras.Input((2, 3)), keras.layers.Dense(4), layers.Neuron("integer")])
    with pytest.raises(ValueError, match="Spikformer alone"):
        cost.measure(other, np.ones((2, 2, 3), "float32"), progress=False)


@pytest.mark.once
def test_settings_are_checked_and_kept():
    for levels in (0, 2.0, True, 3, 32):
        with pytest.raises(ValueError, match="a power of two from 1 to 16"):
            Integer(levels=levels)
    for changes in ({"tau": 3.0}, {"v_reset": None}, {"decay_input": False}):
        with pytest.raises(ValueError, match="integer does not read"):
            config(**changes)
    made = config(neuron=Integer(levels=2))
    assert json.loads(json.dumps(made.to_dict()))["neuron"] == {"name": "integer", "levels": 2}
    assert kspike.SpikformerConfig.from_dict(made.to_dict()) == made


@pytest.mark.shared
@pytest.mark.slow  # a supernet under masks is compiled, and the network taken out
def test_levels_are_genes():
    space = SearchSpace(
        config(), neuron=(Integer(levels=2), "integer"), embed_dim=(8, 16), depth=(1,), timesteps=(1, 2)
    )
    supernet = kspike.Supernet(space)
    supernet.activate(space.smallest())
    report = cost.measure(supernet, images(supernet, 2), progress=False)
    assert report.timesteps == supernet.config.neuron_component.levels * supernet.config.timesteps
    with pytest.raises(ValueError, match="several steps at once"):
        kspike.Supernet(SearchSpace(config(neuron=Integer(unrolled=True), timesteps=4), embed_dim=(8, 16)))


@pytest.mark.shared
@pytest.mark.slow
def test_under_masks_it_is_the_plain_network():
    assert components.check(Integer(levels=2)) < 1e-4
