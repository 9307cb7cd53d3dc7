"""What each published convention charges, on networks so small that it is worked out by hand in the comments."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import kspike
from kspike import cost
from kspike.cost.conventions.base import get
from kspike.layers import LIF, SSA, BatchNorm, DirectEncoding
from tests.cost.networks import images, random_config
from tests.helpers import BACKEND, wake


def measured(model, x, convention="spikformer"):
    return cost.measure(model, np.asarray(x, "float32"), convention, progress=False)


@pytest.fixture(scope="module")
def small():
    """Dense(3) -> BatchNorm -> LIF -> max-pool over 2 time steps -> Dense(2), without biases."""
    inputs = keras.Input((2, 2))
    x = keras.layers.Dense(3, use_bias=False, name="a")(inputs)
    x = LIF(name="lif")(BatchNorm(name="norm")(x))
    x = keras.layers.MaxPooling1D(2, name="pool")(x)
    model = keras.Model(inputs, keras.layers.Dense(2, use_bias=False, name="b")(x))
    # h = 2.5 / 2 fires at once; the second neuron never gets anything, the third only of the second input
    model.get_layer("a").set_weights([np.array([[2.5, 0, 0], [0, 0, 2.5]])])
    return model


SPIKES = [[[1, 0], [1, 1]]]  # 3 of 4; the neurons fire 1, 0, 0 and then 1, 0, 1: 3 of 6


def test_syops_charges_modules(small):
    a, b = measured(small, SPIKES, "syops").rows
    # 2 steps * 2 * 3 = 12 products at rate 3/4; 6 updates; 3 spikes into the pool; 2 * 6 normalised, real
    assert (a.acs, a.macs, a.dense) == (pytest.approx(9 + 6 + 3), 12.0, 12 + 12 + 6 + 6)
    # the pool lets 2 of 3 through: 1 step * 3 * 2 = 6
    assert (b.acs, b.macs, b.dense) == (pytest.approx(4.0), 0.0, 6)
    real = measured(small, np.array(SPIKES) * 1.5, "syops").rows[0]
    assert (real.acs, real.macs) == (9.0, 12.0 + 12.0)


@pytest.mark.shared
def test_syops_counts_what_the_closed_form_counts():
    for seed in range({"torch": 4, "tensorflow": 2, "jax": 1}[BACKEND]):
        config = random_config(seed)
        model, x = wake(kspike.Spikformer(config)), images(config, 2)
        report = measured(model, x, "syops")
        assert report.total("dense") == cost.flops(config, "syops")
        assert [row.updates for row in report.rows] == [row.neurons * row.steps for row in cost.table(config)]
        if seed == 0:  # found by listening to layers, without the closed form
            bare = measured(keras.Model(model.input, model.output), x, "syops")
            assert bare.rows == report.rows


def test_spikingjelly_counts_pairs_of_spikes_in_attention():
    inputs = keras.Input((1, 3, 2))
    ssa = SSA(1, scale=1.0, qkv_bias=False, proj_bias=False, name="ssa")
    model = keras.Model(inputs, ssa(inputs))
    one = np.eye(2) * 4  # a spike for a spike
    ssa.qkv.set_weights([np.concatenate([one, one, np.diag([4.0, 0.0])], axis=1)])
    rows = {row.name: row for row in measured(model, [[[[1, 0], [1, 1], [0, 0]]]], "spikingjelly").rows}
    # channel 0: 2 spikes of q meet 2 of k; channel 1: 1 meets 1
    assert rows["ssa/qk"].acs == 5.0
    # 2 spikes of v, each for 3 tokens
    assert rows["ssa/av"].acs == 6.0


def test_neurobench_counts_nonzero_pairs(small):
    kernel = small.get_layer("a").get_weights()[0]
    assert (kernel != 0).sum() == 2  # so that each spike meets one weight
    found = cost.neurobench(small, np.asarray(SPIKES, "float32"), progress=False)
    others = found["SynapticOperations"]
    weights = np.count_nonzero(small.get_layer("b").get_weights()[0][[0, 2]])
    assert others == {"Effective_MACs": 0.0, "Effective_ACs": 3.0 + weights, "Dense": 12.0 + 6.0}
    assert found["ActivationSparsity"] == 0.5
    assert found["ConnectionSparsity"] == round(4 / 12, 4)
    # 6 + 6 weights, and gamma, beta, mean and variance of 3 channels, 4 bytes each
    assert found["Footprint"] == 4 * (12 + 12)
    assert found["Attention_ACs"] == 0


def test_neurobench_takes_signs_for_spikes_and_decides_once_or_by_call(small):
    batches = [np.array([[[1, 0], [-1, 1]]], "float32"), np.array([[[0.5, 0], [0, 0]]], "float32")]
    once = cost.measure(small, batches, "neurobench", progress=False).rows[0]
    by_call = cost.measure(small, batches, "neurobench_per_call", progress=False).rows[0]
    assert (once.acs, once.macs) == (0.0, 2.0)  # 3 and 1 pairs, over two images
    assert (by_call.acs, by_call.macs) == (1.5, 0.5)
    report = cost.measure(small, batches, "neurobench", progress=False)
    assert report.energy_mj == 0
    assert "knows no energy" in " ".join(report.advice())


def test_lemaire_charges_memory_by_its_size():
    inputs = keras.Input((1, 2))
    dense = keras.layers.Dense(3, use_bias=False)
    model = keras.Model(inputs, LIF()(dense(inputs)))
    dense.set_weights([np.array([[2.5, 0.5, 2.5], [9, 9, 9]])])
    (row,) = measured(model, [[[1, 0]]], "lemaire").rows
    # 1 spike meets 3 weights, 2 neurons fire: 3 + 2 additions; each of 3 membranes leaks by a multiplication
    assert (row.acs, row.macs) == (5.0, 3.0)
    # reads: 1 spike, 3 weights, 3 + 3 potentials; writes: 3 + 3 potentials, 2 spikes
    assert row.accesses == 1 + 3 + 6 + 6 + 2
    queue, weights, membranes = 10 * 4000 / 8192, 10 * 24 / 8192, 10 * 12 / 8192
    memory = (1 + 2) * queue + 3 * weights + 12 * membranes
    assert row.energy_uj == pytest.approx((0.1 * (5 + 3) + 3.2 * 3 + memory) * 1e-6)
    assert get("lemaire").access_pj(2**30) == 100.0


def test_every_convention_charges_time_steps_and_images_alike(small):
    x = np.array([[[1, 0], [1, 1]], [[0, 0], [0, 1]], [[0, 0], [0, 0]]])
    measurement = measured(small, x)
    for name in cost.conventions():
        report = measurement.under(name)
        assert report.convention.name == name
        for row in report.rows:
            assert sum(row.energies_uj) == pytest.approx(row.energy_uj)
            assert row.energy_low_uj <= row.energy_uj <= row.energy_high_uj
        alone = [measured(small, x[i : i + 1], name).energy_mj for i in range(3)]
        assert report.energy_mj == pytest.approx(np.mean(alone))
        assert report.energy_std_mj == pytest.approx(np.std(alone, ddof=1))
    row = measurement.rows[0]
    # additions of 3, 2 and 0 spikes... to three neurons; the first step has 1 of the 4 spikes
    assert row.energies_uj == pytest.approx([row.energy_uj / 4, row.energy_uj * 3 / 4])
    assert row.updates == 6
    assert row.accesses == pytest.approx(row.acs + 2 * 6)


@pytest.mark.shared
def test_a_supernet_is_charged_as_the_network_in_it():
    """Its inactive channels are there as zeros: nothing of them may enter sizes, fan-outs, pools or normalisations."""
    base = kspike.SpikformerConfig(
        input_shape=(6, 6, 1), num_classes=3, timesteps=2, embed_dim=16, depth=1, num_heads=2, mlp_ratio=2,
        stem_pool=(False, False, False, True),
    )  # fmt: skip
    space = kspike.space.SearchSpace(base, embed_dim=(16, 32), mlp_ratio=(1, 2), timesteps=(1, 2))
    supernet = wake(kspike.Supernet(space))
    supernet.activate(space.genome(embed_dim=16, mlp_ratio=1, timesteps=2))
    x = images(base, 3)
    supernet.calibrate([x])
    inside, alone = measured(supernet, x), measured(supernet.extract(), x)
    for name in cost.conventions():
        one, other = inside.under(name), alone.under(name)
        assert [row.dense for row in one.rows] == [row.dense for row in other.rows], name
        assert one.energy_mj == pytest.approx(other.energy_mj, rel=0.02), name  # but for a spike within rounding
        assert one.total("ac") == pytest.approx(other.total("ac"), rel=0.02), name
    with pytest.raises(ValueError, match=r"supernet.extract\(\)"):
        cost.neurobench(supernet, x)


def test_a_picture_that_is_repeated_is_multiplied_whatever_its_values():
    """All-ones inputs, which syops takes for spikes, and a counter fed with them undercounts by 4.6 / 0.9."""
    inputs = keras.Input((2, 2, 1))
    x = DirectEncoding(3)(inputs)
    model = keras.Model(inputs, LIF()(keras.layers.Dense(2, use_bias=False)(x)))
    ones = np.ones((1, 2, 2, 1))
    ours, theirs = measured(model, ones).rows[0], measured(model, ones, "syops").rows[0]
    assert (ours.acs, ours.macs) == (0.0, 3 * 4 * 2)
    assert (theirs.acs, theirs.macs) == (3 * 4 * 2 + ours.updates, 0.0)
