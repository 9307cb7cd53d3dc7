"""Neuron components run step by step: as the fused LIF, by hand-worked numbers, over any T, on and on; refusals."""

import dataclasses
import itertools

import keras
import numpy as np
import pytest

import kspike
from kspike import components, layers
from kspike.layers import stepping
from kspike.models import anytime, early_exit
from tests.components.own import temporary  # noqa: F401
from tests.components.written import ALIF, SteppedLIF, SteppedPLIF
from tests.helpers import input_gradient, run, to_numpy, wake, weight_gradients

OPTIONS = [
    {"decay_input": decay, "v_reset": v_reset, "detach_reset": detach}
    for decay, v_reset, detach in itertools.product((True, False), (0.0, None, -0.5), (True, False))
]


def currents(*shape):
    """Half of them multiples of 1/8, as attention's are: those meet thresholds exactly."""
    x = np.random.default_rng(0).normal(0.6, 1.0, shape).astype("float32")
    return np.where(np.arange(shape[-1]) % 2, x, np.round(x * 8) / 8).astype("float32")


def all_of(neurons):
    """Neuron i on x[i], as one program."""
    return lambda x: keras.ops.stack([neuron(x[i]) for i, neuron in enumerate(neurons)])


@pytest.mark.parametrize("tau", [2.0, *(pytest.param(tau, marks=pytest.mark.shared) for tau in (1.5, 3.0))])
def test_the_step_of_lif_is_the_fused_lif(tau):
    assert not SteppedLIF().one_pass
    x = currents(len(OPTIONS), 3, 6, 20)
    upstream = np.random.default_rng(1).normal(size=x.shape).astype("float32")
    fused = all_of([layers.LIF(tau=tau, **options) for options in OPTIONS])
    stepped = all_of([layers.Neuron("written_lif", tau=tau, **options) for options in OPTIONS])
    (spikes, gradient), (found, other) = (input_gradient(each, x, upstream) for each in (fused, stepped))
    np.testing.assert_array_equal(found, spikes)
    np.testing.assert_allclose(other, gradient, rtol=1e-6, atol=1e-6)
    assert 0.1 < spikes.mean() < 0.9


def test_the_step_of_plif_is_the_fused_plif():
    assert not SteppedPLIF().one_pass
    x = currents(4, 6, 9)
    upstream = keras.ops.convert_to_tensor(np.random.default_rng(1).normal(size=x.shape).astype("float32"))
    found = []
    for neuron in (layers.PLIF(init_tau=3.0, groups=3), layers.Neuron("written_plif", tau=3.0, groups=3)):
        neuron.build(x.shape)
        np.testing.assert_allclose(to_numpy(neuron.w), [-np.log(2.0)] * 3, rtol=1e-6)
        neuron.w.assign([-1.0, 0.2, 0.9])
        spikes, gradients = weight_gradients(neuron, x, lambda s: keras.ops.sum(s * upstream), training=None)
        found.append((spikes, gradients[id(neuron.w)]))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    np.testing.assert_allclose(found[1][1], found[0][1], rtol=1e-5, atol=1e-6)


def test_the_fused_if_fires_as_its_step_to_the_bit():
    options = [{"v_reset": v_reset, "detach_reset": d} for v_reset in (0.0, None, -0.5) for d in (True, False)]
    x = currents(len(options), 3, 6, 40)
    upstream = np.random.default_rng(1).normal(size=x.shape).astype("float32")
    pair = [all_of([layers.Neuron(name, **each) for each in options]) for name in ("if", "written_if")]
    (spikes, gradient), (found, other) = (input_gradient(each, x, upstream) for each in pair)
    np.testing.assert_array_equal(found, spikes)
    np.testing.assert_allclose(gradient, other, rtol=1e-5, atol=1e-5)
    assert 0.1 < spikes.mean() < 0.95


def test_a_fused_neuron_starts_where_the_last_call_ended():
    x = currents(2, 6, 9)
    neuron = layers.Neuron("if", v_reset=-0.5)
    fires = lambda x: to_numpy(neuron(keras.ops.convert_to_tensor(x)))  # not compiled: it puts its potentials aside
    whole = fires(x)
    neuron.resume(neuron.start)
    parts = [fires(x[:, :4]), fires(x[:, 4:])]
    np.testing.assert_array_equal(np.concatenate(parts, 1), whole)
    neuron.resume(None)
    np.testing.assert_array_equal(fires(x), whole)


@pytest.mark.usefixtures("temporary")
def test_a_step_that_is_not_the_fused_pass_it_names_is_refused():
    @components.register("neuron", "no_lif")
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class NoLIF(SteppedLIF):
        fused = {"tau": 5.0}

    with pytest.raises(ValueError, match="no_lif.*fused"):
        components.check(NoLIF())


@pytest.mark.usefixtures("temporary")
def test_fused_constants_that_nobody_knows_are_refused():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Wrong(components.Neuron):
        fused = {"tau_": 2.0}

        def step(self, x, v, *, charge, spike):
            return spike(charge(v, x)), (v,)

    with pytest.raises(ValueError, match="'tau_'.*did you mean 'tau'"):
        components.register("neuron", "wrong_constants")(Wrong)

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class TwoStates(Wrong):
        fused = True
        states = {"v": "rest", "a": 0.0}

    with pytest.raises(ValueError, match="one state"):
        components.register("neuron", "two_states")(TwoStates)


def test_if_by_hand():
    """h: 0.5, 1 (fires, at the threshold), 0.75, 0.875, 1.125 (fires), -0.5, 0.5."""
    x = np.array([0.5, 0.5, 0.75, 0.125, 0.25, -0.5, 1.0], "float32").reshape(1, 7, 1)
    assert run(layers.Neuron("if"), x).ravel().tolist() == [0, 1, 0, 0, 1, 0, 0]
    # soft reset: h: 0.5, 1 (fires), 0.75, 0.875, 1.125 (fires), -0.375, 0.625
    assert run(layers.Neuron("if", v_reset=None), x).ravel().tolist() == [0, 1, 0, 0, 1, 0, 0]
    # rest and reset at -0.5: h: 0, 0.5, 1.25 (fires), -0.375, -0.125, -0.625, 0.375
    assert run(layers.Neuron("if", v_reset=-0.5), x).ravel().tolist() == [0, 0, 1, 0, 0, 0, 0]


def test_the_gradient_of_if_by_hand():
    def slope(u):
        z = 1 / (1 + np.exp(-4 * u))
        return 4 * z * (1 - z)

    x = np.array([[[0.5], [0.25]], [[1.0], [0.25]]], "float32")
    _, gradient = input_gradient(layers.Neuron("if"), x, np.ones_like(x))
    quiet = [slope(-0.5) + slope(-0.25), slope(-0.25)]
    fired = [slope(0.0), slope(-0.75)]  # nothing of the first step is left in the second
    np.testing.assert_allclose(gradient[..., 0], [quiet, fired], rtol=1e-5)


@pytest.mark.parametrize(("tau", "v_threshold", "an_or"), [(2.0, 0.5, True), (1.25, 0.75, True), (2.0, 0.625, False)])
def test_the_neuron_of_token_qk_is_an_or_where_a_single_spike_meets_its_threshold(tau, v_threshold, an_or):
    """Above 1 / tau it needs two spikes, or one and what is left of the step before."""
    fired = np.random.default_rng(0).random((4, 7, 20, 3)) < 0.2
    spikes = run(layers.LIF(tau=tau, v_threshold=v_threshold), fired.sum(-1).astype("float32"))
    assert np.array_equal(spikes, fired.any(-1)) is an_or
    assert 0.1 < spikes.mean() < 0.9


def test_the_gradient_of_that_neuron_reaches_back_over_silent_steps():
    x = np.array([0.0, 0.0, 1.0, 0.0], "float32").reshape(1, 4, 1)
    upstream = np.array([0.0, 0.0, 1.0, 0.0], "float32").reshape(1, 4, 1)
    _, gradient = input_gradient(layers.LIF(v_threshold=0.5), x, upstream)
    np.testing.assert_allclose(gradient.ravel(), [0.125, 0.25, 0.5, 0.0])  # of slope 1 at the threshold


def test_a_neuron_with_a_soft_reset_of_its_own_by_hand():
    """tau 2, x 1.5: h: 0.75, 1.125 (fires), 0.8125, 1.15625 (fires), 0.828125."""
    x = np.full((1, 5, 1), 1.5, "float32")
    assert run(layers.Neuron("written_soft"), x).ravel().tolist() == [0, 1, 0, 1, 0]
    np.testing.assert_array_equal(run(layers.LIF(v_reset=None), currents(3, 6, 20)),
                                  run(layers.Neuron("written_soft"), currents(3, 6, 20)))  # fmt: skip


def test_alif_by_hand():
    """tau 2, x 3: h 1.5 fires at 1, then at 1.5 (beta 0.5; not below), then h 2.25 does not meet 1.9."""
    neuron = layers.Neuron({"name": "written_alif", "beta": 0.5, "decay": 0.5})
    x = np.array([3.0, 3.0, 3.0, 3.0, 1.0], "float32").reshape(1, 5, 1)
    # a before each step: 0, 1, 1.5, 0.75, 1.375; thresholds 1, 1.5, 1.75, 1.375, 1.6875; h 1.5, 1.5, 1.5, 2.25, 0.5
    assert run(neuron, x).ravel().tolist() == [1, 1, 0, 1, 0]


def counted(function, calls):
    def call(*args, **kwargs):
        calls.append(args)
        return function(*args, **kwargs)

    return call


@pytest.mark.parametrize("neuron", ["written_alif", "written_plif"])
def test_a_long_time_is_a_scan_of_the_same_numbers(neuron, monkeypatch):
    monkeypatch.setattr(stepping, "WRITTEN_OUT", 8)  # XLA takes long over forty steps written out
    x = currents(2, 12, 6)
    upstream = np.random.default_rng(1).normal(size=x.shape).astype("float32")
    scans = []
    monkeypatch.setattr(keras.ops, "scan", counted(keras.ops.scan, scans))
    scanned = input_gradient(layers.Neuron(neuron, tau=3.0), x, upstream)
    assert scans
    scans.clear()
    monkeypatch.setattr(stepping, "WRITTEN_OUT", x.shape[1])
    written = input_gradient(layers.Neuron(neuron, tau=3.0), x, upstream)
    assert not scans
    np.testing.assert_array_equal(scanned[0], written[0])
    np.testing.assert_allclose(scanned[1], written[1], rtol=1e-5, atol=1e-6)
    assert 0.05 < scanned[0].mean() < 0.95


def test_more_steps_than_are_written_out_are_scanned(monkeypatch):
    scans = []
    monkeypatch.setattr(keras.ops, "scan", counted(keras.ops.scan, scans))
    for steps in (stepping.WRITTEN_OUT, stepping.WRITTEN_OUT + 1):
        run(layers.Neuron("written_alif"), currents(1, steps, 2))
        run(layers.Neuron("written_stateless"), currents(1, steps, 2))  # its steps are one
    assert len(scans) == 1


def test_time_may_be_unknown_when_the_model_is_made():
    inputs = keras.Input((None, 6))
    neuron = layers.Neuron("written_alif")
    model = keras.Model(inputs, neuron(inputs))
    assert model.output_shape == (None, None, 6)
    for steps in (5, 3):
        x = currents(2, 5, 6)[:, :steps]
        np.testing.assert_array_equal(model.predict(x, verbose=0), run(neuron, x))


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    return wake(kspike.Spikformer(config(neuron=ALIF(beta=0.3), timesteps=4, v_reset=-0.1)))


def config(**changes):
    return kspike.SpikformerConfig(
        **{
            "input_shape": (8, 8, 1), "num_classes": 4, "embed_dim": 16, "depth": 1, "num_heads": 2,
            "timesteps": 2, "stem_pool": (False, False, True, True), **changes,
        }
    )  # fmt: skip


def test_early_exit_goes_on_from_all_states(network):
    x = np.random.default_rng(0).normal(0.5, 1.0, (8, 8, 8, 1)).astype("float32")  # one batch: one shape to compile
    found = early_exit(network, x, 1.0, batch_size=8)
    assert (found.steps == 4).all()
    np.testing.assert_allclose(found.logits, network.predict(x, verbose=0), atol=1e-5)
    readings = anytime(network).predict(x, verbose=0)
    left = early_exit(network, x, 0.0)
    assert (left.steps == 1).all()
    np.testing.assert_allclose(left.logits, readings[:, 0], atol=1e-5)
    assert np.abs(readings[:, 0] - readings[:, -1]).max() > 1e-3


@pytest.mark.shared
def test_anytime_reads_the_shorter_networks(network):
    x = np.random.default_rng(0).normal(0.5, 1.0, (4, 8, 8, 1)).astype("float32")
    found = anytime(network).predict(x, verbose=0)
    for steps in (2, 4):
        shorter = kspike.Spikformer(network.config.replace(timesteps=steps))
        shorter.set_weights(network.get_weights())
        np.testing.assert_allclose(found[:, steps - 1], shorter.predict(x, verbose=0), atol=1e-5)


@pytest.mark.parametrize(
    "neuron, message",
    [
        ("written_forgetful", r"must return .* the states it declares, \('v', 'a'\), as a tuple; it returned 1"),
        ("written_bare", r"must return .* the states it declares, \('v',\), as a tuple; it returned no tuple"),
        ("written_mean", r"must give the shape it takes: for \(2, 3\), v came as \(2, 1\)"),
    ],
)
def test_other_states_than_declared_are_refused_where_a_layer_is_made(neuron, message):
    for make in (
        lambda: layers.Neuron(neuron),
        lambda: kspike.Spikformer(config(neuron=neuron)),
        lambda: kspike.Supernet(kspike.tuners.SearchSpace(config(), neuron=("lif", neuron), depth=(1,))),
        lambda: kspike.Supernet(kspike.tuners.SearchSpace(config(neuron=neuron), depth=(1,))),
    ):
        with pytest.raises(ValueError, match=f"The step of neuron {neuron} {message}"):
            make()


@pytest.mark.once
@pytest.mark.parametrize(
    "fields, named",
    [
        ({"neuron": "if", "tau": 3.0}, "if does not read tau, got 3.0"),
        ({"neuron": "if", "tau": {"stem": 1.5}}, "if does not read tau, got 1.5"),
        ({"neuron": "if", "decay_input": False}, "if does not read decay_input, got False"),
        ({"neuron": "written_soft", "v_reset": None}, "written_soft does not read v_reset, got None"),
        ({"neuron": "written_soft", "v_reset": -0.5}, "written_soft does not read v_reset, got -0.5"),
        ({"neuron": "written_soft", "detach_reset": False}, "written_soft does not read detach_reset"),
        ({"neuron": "written_soft", "decay_input": False}, "written_soft does not read decay_input"),
        ({"neuron": {"name": "if", "tau": 2.0}}, "neuron 'if' has no setting 'tau'"),
        ({"neuron": "alfi"}, "Unknown neuron 'alfi'"),
    ],
)
def test_what_a_neuron_does_not_read_is_refused(fields, named):
    with pytest.raises(ValueError, match=named):
        config(**fields)


@pytest.mark.once
def test_what_a_neuron_reads_is_taken():
    assert config(neuron="if", v_reset=None, detach_reset=False).v_reset is None
    assert config(neuron="written_soft", tau=3.0).tau.stem == 2.0
    assert config(neuron=ALIF(beta=0.3), tau=1.5, v_reset=-0.5, decay_input=False, detach_reset=False).tau.fc1 == (1.5,)


def test_membranes_are_float32_in_half_precision():
    """Rounding them to bfloat16 would move spikes."""
    x = currents(4, 8, 100)
    options = {"tau": 10.0, "v_threshold": 0.1}
    expected = run(layers.Neuron("written_alif", **options), x)
    for given in (x, keras.ops.cast(keras.ops.convert_to_tensor(x), "bfloat16")):
        neuron = layers.Neuron("written_alif", dtype="mixed_bfloat16", **options)
        neuron.resume(neuron.start)  # keeps the states after the call
        out = neuron(keras.ops.convert_to_tensor(given))
        assert keras.backend.standardize_dtype(out.dtype) == "bfloat16"
        assert [keras.backend.standardize_dtype(state.dtype) for state in neuron.states()] == ["float32"] * 2
        wide = run(layers.Neuron("written_alif", **options), to_numpy(given))
        np.testing.assert_array_equal(to_numpy(out), wide)
    assert 0.05 < expected.mean() < 0.95
