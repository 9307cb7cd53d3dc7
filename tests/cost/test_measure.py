"""What `measure` finds in Spikformers is what really passes through their layers, whatever way the images come."""

from __future__ import annotations

import gc
import json
import weakref

import keras
import numpy as np
import pytest

import kspike
from kspike import cost, ops
from kspike.layers import LIF, DirectEncoding
from kspike.space import SearchSpace
from tests.cost.networks import images
from tests.golden import networks
from tests.helpers import BACKEND, to_numpy, wake

SMALL = kspike.SpikformerConfig(
    input_shape=(6, 6, 1),
    num_classes=3,
    timesteps=2,
    embed_dim=16,
    depth=2,
    num_heads=(1, 2),
    mlp_ratio=(1, 2),
    stem_pool=(False, False, False, True),
    residual="membrane",
    neuron="plif",
)
PRODUCTS = ("attention.qkv", "attention.proj", "mlp.fc1", "mlp.fc2")


@pytest.fixture(scope="module", params=["membrane_small", pytest.param("spikformer_small", marks=pytest.mark.shared)])
def golden(request):
    """A trained-like network whose neurons all fire, and six images: (model, images, SpikingJelly's firing rates)."""
    arrays = networks.load(request.param)
    return networks.build(request.param), arrays["images"], json.loads(str(arrays["rates"]))


@pytest.fixture(scope="module")
def small():
    """A small network with learned time constants, and five images."""
    return wake(kspike.Spikformer(SMALL)), images(SMALL, 5)


def measured(model, data, **kwargs):
    return cost.measure(model, data, progress=False, **kwargs)


def layers_of(model):
    """Path -> layer of every product but the head, by the model's own attributes."""
    stem = model.get_layer("stem")
    found = {f"stem/conv_{i}": conv for i, conv in enumerate(stem.conv_layers)} | {"stem/rpe_conv": stem.rpe_conv}
    for i in range(model.config.depth):
        for name in PRODUCTS:
            part, layer = name.split(".")
            found[f"block_{i}/{part}/{layer}"] = getattr(getattr(model.get_layer(f"block_{i}"), part), layer)
    return found | {"head": model.get_layer("head")}


def inputs_of(layers, model, x):
    """What each named layer receives, whole, from a compiled forward pass of its own."""

    def forward(x):
        received = {}

        def listening(name, call):
            def listen(inputs, *args, **kwargs):
                received[name] = inputs
                return call(inputs, *args, **kwargs)

            return listen

        for name, layer in layers.items():
            vars(layer)["call"] = listening(name, type(layer).call.__get__(layer))
        try:
            model(x, training=False)
        finally:
            for layer in layers.values():
                del vars(layer)["call"]
        return received

    return {name: to_numpy(value) for name, value in ops.jit(forward, model.variables)(x).items()}


def test_rates_are_the_means_of_what_every_product_receives(golden):
    model, x, _ = golden
    report = measured(model, x)
    rows = {row.name: row for row in report.rows}
    for name, received in inputs_of(layers_of(model), model, x).items():
        assert rows[name].rate == pytest.approx(received.mean(), abs=1e-4), name
        assert rows[name].active == pytest.approx((received != 0).mean(), abs=1e-4), name
        whole = (received >= 0).all() and (received == np.floor(received)).all() and name != "stem/conv_0"
        assert (rows[name].macs == 0) == whole, name
        charged = 0.9 * rows[name].dense * rows[name].rate if whole else 4.6 * rows[name].dense
        assert rows[name].energy_uj == pytest.approx(charged * 1e-6), name
        if whole:
            assert rows[name].largest == received.max()
    # AutoST's position encoding sees potentials: charged by what arrives, not by its name
    potentials = {"stem/rpe_conv"} if model.config.residual == "membrane" else set()
    assert {row.name for row in report.rows if row.macs} == {"stem/conv_0", "head"} | potentials
    assert all(row.acs > 0 for row in report.rows if not row.macs)


def test_firing_rates_are_spikingjellys(golden):
    model, x, expected = golden
    rates = {row.name: row.rate for row in measured(model, x).neurons}
    membrane = model.config.residual == "membrane"
    parts = {"in": "attention/input", "attn": "attention/attention", "proj": "attention/proj"}
    parts |= {"fc1": "mlp/input", "fc2": "mlp/fc1"} if membrane else {"fc1": "mlp/fc1", "fc2": "mlp/fc2"}
    found = {f"sps{i}": rates[f"stem/neuron_{i}"] for i in range(3 if membrane else 4)}
    found |= {} if membrane else {"rpe": rates["stem/rpe_neuron"]}
    for block in range(model.config.depth):
        for golden_name, ours in parts.items():
            if f"b{block}.{golden_name}" in expected:
                found[f"b{block}.{golden_name}"] = rates[f"block_{block}/{ours}_neuron"]
        three = np.mean([expected.pop(f"b{block}.{letter}") for letter in "qkv"])
        assert rates[f"block_{block}/attention/qkv_neuron"] == pytest.approx(three, abs=2e-4)
    assert found == pytest.approx(expected, abs=2e-4)


def test_rows_are_those_of_the_closed_form(golden):
    model, x, _ = golden
    report, table = measured(model, x), cost.table(model.config)
    assert [row.name for row in report.rows] == [row.name for row in table]
    assert [row.dense for row in report.rows] == [row.macs * row.steps for row in table]
    assert report.parameters == cost.parameters(model.config)
    assert report.notes == report.advice() == ()
    assert sum(row.updates for row in report.neurons) == sum(row.neurons * row.steps for row in table)


def test_what_shapes_say_is_what_the_closed_form_says(small):
    """The same layers inside a model that has no config: counted from the shapes alone."""
    model, x = small
    bare = keras.Model(model.input, model.output)
    assert not hasattr(bare, "config")
    assert measured(bare, x).rows == measured(model, x).rows


def test_the_batch_size_and_the_kind_of_data_have_no_effect(small):
    model, x = small
    expected = measured(model, x)

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, i):
            return x[3 * i : 3 * i + 3], np.zeros(len(x[3 * i : 3 * i + 3]))

    ways = [
        Batches(),  # the last batch is filled up
        (x, np.zeros(5)),
        [(keras.ops.convert_to_tensor(x[:3]), None), (x[3:], None)],
        (part for part in (x[:3], x[3:4], x[4:])),
    ]
    for data in ways:
        report = measured(model, data)
        assert report.images == 5
        assert report.energy_mj == pytest.approx(expected.energy_mj, rel=1e-4)
        assert report.energy_std_mj == pytest.approx(expected.energy_std_mj, rel=1e-2)
        for row, other in zip(report.rows, expected.rows, strict=True):
            assert row.acs == pytest.approx(other.acs, rel=1e-3)
    assert measured(model, Batches(), batches=1).images == 3


def test_measuring_changes_nothing_and_compiles_once(small):
    model, x = small
    weights = [to_numpy(w) for w in model.weights]
    first = measured(model, x)
    compiled = ops.compilation_counter()
    again = measured(model, x[::-1], convention="spikingformer")
    assert ops.compilation_counter() == compiled
    assert (first.convention.name, again.convention.name) == ("spikformer", "spikingformer")
    assert [row.rate for row in again.rows] == pytest.approx([row.rate for row in first.rows])
    for before, after in zip(weights, model.weights, strict=True):
        np.testing.assert_array_equal(before, to_numpy(after))
    for layer in model._flatten_layers():
        assert not {"call", "attend"} & set(vars(layer))


def test_listeners_are_taken_away_when_the_forward_pass_fails():
    class Broken(keras.layers.Layer):
        broken = False

        def call(self, x):
            if self.broken:
                raise RuntimeError("no more")
            return x

    inputs = keras.Input((2, 3))
    dense, last = keras.layers.Dense(2), Broken()
    model = keras.Model(inputs, last(dense(inputs)))
    last.broken = True
    with pytest.raises(RuntimeError, match="no more"):
        measured(model, np.ones((2, 2, 3)))
    assert "call" not in vars(dense)


@pytest.mark.slow
def test_no_measured_model_is_kept_alive():
    inputs = keras.Input((2, 3))
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    measured(model, np.ones((2, 2, 3)))
    gone = weakref.ref(model)
    del model, inputs
    gc.collect()
    assert gone() is None


def test_a_layer_added_to_a_measured_model_is_counted():
    model = keras.Sequential([keras.Input((2, 3)), keras.layers.Dense(4)])
    assert measured(model, np.ones((2, 2, 3))).total("dense") == 2 * 3 * 4
    model.add(keras.layers.Dense(5))
    assert measured(model, np.ones((2, 2, 3))).total("dense") == 2 * 3 * 4 + 2 * 4 * 5


def test_new_weights_are_seen_by_the_compiled_pass():
    inputs = keras.Input((2, 3))
    first = keras.layers.Dense(2, use_bias=False)
    model = keras.Model(inputs, keras.layers.Dense(4, name="second")(LIF()(first(inputs))))
    rates = []
    for weight in (0.0, 2.0):
        first.set_weights([np.full((3, 2), weight)])
        rates.append(measured(model, np.ones((2, 2, 3))).rows[1].rate)
    assert rates == [0.0, 1.0]


def test_sums_of_half_precision_models_are_exact():
    """bfloat16 stops counting at 256; these layers see tens of thousands of spikes."""
    inputs = keras.Input((10_000, 1))
    x = DirectEncoding(2, dtype="bfloat16")(inputs)
    x = keras.layers.Dense(4, use_bias=False, dtype="bfloat16", name="first")(x)
    x = LIF(dtype="bfloat16", name="lif")(x)
    model = keras.Model(inputs, keras.layers.Dense(1, dtype="bfloat16", name="second")(x))
    model.get_layer("first").set_weights([np.full((1, 4), 2.0)])
    x = np.ones((2, 10_000, 1))
    x[:, 0] = 0  # 9,999 of 10,000 pixels fire, in all four channels
    report = measured(model, x)
    assert report.rows[1].rate == report.neurons[0].rate == 0.9999
    assert report.rows[1].acs == 2 * 4 * 9999


@pytest.mark.shared
@pytest.mark.parametrize("residual", ["membrane", pytest.param("add", marks=pytest.mark.slow)])
def test_a_supernet_is_measured_as_the_network_active_in_it(residual):
    space = SearchSpace(
        SMALL.replace(residual=residual, neuron="lif", num_heads=2, mlp_ratio=2.0),
        embed_dim=(16, 32),
        depth=(1, 2),
        timesteps=(1, 2),
        num_heads=(1, 2),
        mlp_ratio=(1, 2),
    )
    supernet = wake(kspike.Supernet(space))
    x = images(space.base, 6)
    measured(supernet, x)
    small_one = space.genome(embed_dim=16, depth=1, timesteps=1, num_heads=2, mlp_ratio=1)
    for genome in (small_one, space.largest()) if BACKEND == "torch" else (small_one,):
        supernet.activate(genome)
        supernet.calibrate([x])
        compiled = ops.compilation_counter()
        report = measured(supernet, x)
        if BACKEND != "torch":
            assert ops.compilation_counter() == compiled  # one program for every genome
        alone = measured(supernet.extract(), x)
        assert [row.name for row in report.rows] == [row.name for row in alone.rows]
        assert [row.dense for row in report.rows] == [row.dense for row in alone.rows]
        assert (report.parameters, report.timesteps) == (alone.parameters, alone.timesteps)
        for row, other in zip(report.rows, alone.rows, strict=True):
            assert row.rate == pytest.approx(other.rate, abs=5e-3), row.name  # but for a spike within rounding
            assert len(row.rates) == len(other.rates)
        assert [(row.name, row.updates) for row in report.neurons] == [(n.name, n.updates) for n in alone.neurons]
        for row, other in zip(report.neurons, alone.neurons, strict=True):
            assert row.rate == pytest.approx(other.rate, abs=5e-3), row.name
        assert report.energy_mj == pytest.approx(alone.energy_mj, rel=0.02)
        assert sum(row.silent for row in report.rows) <= 2  # the network is alive, or this would say nothing


@pytest.mark.shared
def test_mistakes_are_named(small):
    model, x = small
    with pytest.raises(ValueError, match="did you mean 'spikformer'"):
        measured(model, x, convention="spikformr")
    with pytest.raises(ValueError, match=r"shape \(6, 6, 1\).*\(5, 5, 6, 1\)"):
        measured(model, x[:, :5])
    with pytest.raises(ValueError, match=f"{len(x)} of {len(x)} images.*NaN"):
        measured(model, np.full_like(x, np.nan))
    with pytest.raises(ValueError, match="at least one batch"):
        measured(model, [])
    with pytest.raises(ValueError, match="batches must be at least 1"):
        measured(model, x, batches=0)
    with pytest.raises(ValueError, match="Expected a Keras model"):
        measured(SMALL, x)

    class Dataset:
        train = test = x

    with pytest.raises(ValueError, match=r"data\.test"):
        measured(model, Dataset())


@pytest.mark.shared
def test_diverged_weights_are_reported_and_not_measured():
    model = keras.Sequential(
        [keras.Input((2, 3)), keras.layers.Dense(4, name="first"), keras.layers.Dense(2, name="second")]
    )
    model.get_layer("first").set_weights([np.full((3, 4), np.nan), np.zeros(4)])
    with pytest.raises(ValueError, match=r"first/kernel holds NaN or infinity \(12 of 12"):
        measured(model, np.ones((2, 2, 3)))


@pytest.mark.shared
def test_a_layer_that_does_not_have_the_batch_first_is_refused():
    inputs = keras.Input((4, 8))
    x = keras.layers.Lambda(lambda x: keras.ops.sum(x, axis=0), output_shape=lambda s: s[1:])(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2, name="last")(x))
    with pytest.raises(ValueError, match="last receives shape"):
        measured(model, np.ones((3, 4, 8)))
