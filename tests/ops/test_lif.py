"""The neuron as an operation: SpikingJelly's numbers bit for bit, eager and compiled, and its edges."""

import functools

import keras
import numpy as np
import pytest

from kspike import ops
from kspike.ops import dispatch
from tests.golden import neurons
from tests.helpers import compiled, input_gradient, run, to_numpy
from tests.ops import reference_lif

CASES = neurons.cases()
fire_2 = functools.partial(ops.lif, tau=2.0)
GROUPS = [CASES[i::8] for i in range(8)]


FAST = dispatch.backend.lif is not None  # else the reference is all there is


@pytest.fixture(params=[False, True] if FAST else [True], ids=["fast", "reference"] if FAST else ["reference"])
def form(request):
    ops.use_reference(request.param)
    yield request.param
    ops.use_reference(False)


#: Where the reference is compiled anew for each, beside the fast form it takes a third of them.
FEWER = 3 if FAST and keras.backend.backend() != "torch" else 1
BY_FORM = [
    *(pytest.param(False, case, id=f"fast-{case.name}") for case in CASES if FAST),
    *(pytest.param(True, case, id=f"reference-{case.name}") for case in CASES[::FEWER]),
]


@pytest.mark.parametrize(("form", "case"), BY_FORM, indirect=["form"])
def test_golden_neuron(form, case):
    spikes, grad_x = input_gradient(functools.partial(ops.lif, **case.arguments), case.x, case.upstream)
    np.testing.assert_array_equal(spikes, case.spikes)
    np.testing.assert_allclose(grad_x, case.grad_x, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("group", range(len(GROUPS)))
def test_golden_neurons_fire_the_same_when_compiled(group):
    """XLA may turn a division by a constant into a product, or fuse multiply and add: neither may move a spike."""
    for case in GROUPS[group][:: 1 if keras.backend.backend() == "torch" else 4]:
        fire = compiled(functools.partial(ops.lif, **case.arguments))
        spikes = to_numpy(fire(keras.ops.convert_to_tensor(case.x)))
        np.testing.assert_array_equal(spikes, case.spikes, err_msg=case.name)


def ties(steps: int = 6) -> np.ndarray:
    """Inputs as after attention: multiples of 0.125, which meet thresholds exactly."""
    rng = np.random.default_rng(0)
    return (rng.integers(-8, 65, (16, steps, 64)) * 0.125).astype("float32")


@pytest.mark.parametrize("decay_input", [True, False])
@pytest.mark.parametrize("v_reset", [0.0, None, -0.3])
@pytest.mark.parametrize("tau", [1.25, 2.0, 3.0, 10.0])
def test_exact_ties_fire_alike_on_every_path(tau, v_reset, decay_input):
    x, nearest = ties(), []
    for v_threshold in (0.3, 0.5, 0.7):
        arguments = dict(tau=tau, v_threshold=v_threshold, v_reset=v_reset, decay_input=decay_input)
        expected, potentials = reference_lif.lif(x, **arguments)
        nearest.append(np.abs(potentials - np.float32(v_threshold)).min())
        fire = functools.partial(ops.lif, **arguments)
        np.testing.assert_array_equal(run(fire, x), expected, err_msg=f"eager, {arguments}")
        np.testing.assert_array_equal(
            to_numpy(compiled(fire)(keras.ops.convert_to_tensor(x))), expected, err_msg=f"compiled, {arguments}"
        )
    assert min(nearest) < 1e-6, "no potential came near its threshold: this test would show nothing"


def test_worked_example():
    """tau 2, threshold 1: h = v + (x - v) / 2 by hand; the second step lands exactly on the threshold and fires."""
    x = np.array([[1.0, 1.5, 1.0, 3.0, 0.0, 2.0]], "float32")
    # h:             0.5, 1.0, 0.5, 1.75, 0.0, 1.0
    np.testing.assert_array_equal(run(fire_2, x), [[0, 1, 0, 1, 0, 1]])
    # soft reset:    0.5, 1.0, 0.5, 1.75 -> 0.75, 0.375, 1.1875
    np.testing.assert_array_equal(run(functools.partial(fire_2, v_reset=None), x), [[0, 1, 0, 1, 0, 1]])
    # not divided by tau, but halved beforehand: the potentials of the first line again
    np.testing.assert_array_equal(run(functools.partial(fire_2, decay_input=False), x * 0.5), [[0, 1, 0, 1, 0, 1]])


def test_soft_reset_keeps_what_is_above_the_threshold():
    x = np.array([[4.0, 0.0, 0.0]], "float32")  # h: 2; soft 1 -> 0.5; hard 0
    np.testing.assert_array_equal(run(functools.partial(fire_2, v_threshold=0.5, v_reset=None), x), [[1, 1, 0]])
    np.testing.assert_array_equal(run(functools.partial(fire_2, v_threshold=0.5), x), [[1, 0, 0]])


def test_worked_gradient():
    """One step: dS/dx = slope(h - 1) / tau; two steps: the first input reaches the second spike through the decay."""
    slope = lambda u: 4 / (1 + np.exp(-4 * u)) * (1 - 1 / (1 + np.exp(-4 * u)))
    x = np.array([[0.6, 0.8]], "float32")
    h1, h2 = 0.3, 0.3 + (0.8 - 0.3) / 2
    _, grad = input_gradient(fire_2, x, np.array([[1.0, 1.0]], "float32"))
    np.testing.assert_allclose(grad, [[(slope(h1 - 1) + slope(h2 - 1) / 2) / 2, slope(h2 - 1) / 2]], rtol=1e-5)


def test_state_starts_at_v_reset():
    x = np.full((1, 1, 1), 0.6, "float32")  # h = v_reset + (x - 0) / 2
    fire = functools.partial(fire_2, v_threshold=0.5)
    assert run(functools.partial(fire, v_reset=0.25), x) == 1.0
    assert run(functools.partial(fire, v_reset=-0.3), x) == 0.0


def test_nothing_is_left_over_from_call_to_call():
    x = np.full((2, 3, 4), 0.9, "float32")
    np.testing.assert_array_equal(run(fire_2, x), run(fire_2, x))


@pytest.mark.parametrize("shape", [(0, 4, 3), (2, 1, 3), (2, 5), (1, 3, 2, 1, 3), (3, 4, 0), (2, 0, 3)])
def test_odd_shapes(shape, form):
    x = np.random.default_rng(0).normal(1.0, 1.0, shape).astype("float32")
    spikes, grad = input_gradient(fire_2, x, np.ones(shape, "float32"))
    assert spikes.shape == grad.shape == shape
    if x.size:
        np.testing.assert_array_equal(spikes, reference_lif.lif(x)[0])


@pytest.mark.parametrize("start, held", [(0.5, 0.5), (-1, -1.0), ("array", 0.25)])
def test_no_time_step_leaves_the_potentials_as_they_were_given(start, held):
    v = keras.ops.full((2, 3), 0.25) if start == "array" else start
    spikes, last = ops.lif(keras.ops.zeros((2, 0, 3)), tau=2.0, v=v)
    assert tuple(spikes.shape) == (2, 0, 3) and tuple(last.shape) == (2, 3)
    np.testing.assert_array_equal(to_numpy(last), np.full((2, 3), held, "float32"))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_integrated_in_float32(dtype):
    rng = np.random.default_rng(0)
    x = keras.ops.cast(keras.ops.convert_to_tensor(rng.normal(1.0, 1.0, (4, 8, 50)).astype("float32")), dtype)
    arguments = dict(tau=10.0, v_threshold=0.3)
    out = ops.lif(x, **arguments)
    assert keras.backend.standardize_dtype(out.dtype) == dtype
    np.testing.assert_array_equal(to_numpy(out), reference_lif.lif(to_numpy(x), **arguments)[0])


def test_float64_stays_float64(form):
    x = np.random.default_rng(0).normal(1.0, 1.0, (4, 8, 50))
    if keras.backend.backend() == "jax":
        pytest.skip("jax has no float64 unless it is switched on for the whole process")
    out = fire_2(keras.ops.convert_to_tensor(x))
    assert keras.backend.standardize_dtype(out.dtype) == "float64"


def test_integer_tau_is_the_float(form):
    x = np.random.default_rng(0).normal(1.0, 1.0, (4, 8, 50)).astype("float32")
    np.testing.assert_array_equal(
        run(functools.partial(ops.lif, tau=2, v_threshold=1), x), run(functools.partial(ops.lif, tau=2.0), x)
    )


def test_tau_and_threshold_may_differ_by_channel(form):
    """As the supernet needs it: tensors that broadcast over (batch, ...)."""
    x = np.random.default_rng(0).normal(1.0, 1.0, (4, 6, 3)).astype("float32")
    taus, thresholds = np.array([1.25, 2.0, 10.0], "float32"), np.array([0.5, 1.0, 0.3], "float32")
    upstream = np.random.default_rng(1).normal(size=x.shape).astype("float32")
    fire = functools.partial(
        ops.lif, tau=keras.ops.convert_to_tensor(taus), v_threshold=keras.ops.convert_to_tensor(thresholds)
    )
    spikes, grad = input_gradient(fire, x, upstream)
    for c in range(3):
        alone = functools.partial(ops.lif, tau=float(taus[c]), v_threshold=float(thresholds[c]))
        expected = input_gradient(alone, x[..., c], upstream[..., c])
        np.testing.assert_array_equal(spikes[..., c], expected[0])
        np.testing.assert_allclose(grad[..., c], expected[1], rtol=1e-5, atol=1e-6)


def test_exactly_one_of_tau_and_inverse_tau():
    x = keras.ops.ones((1, 2, 3))
    with pytest.raises(ValueError, match="exactly one"):
        ops.lif(x, tau=2.0, inverse_tau=0.5)
    with pytest.raises(ValueError, match="exactly one"):
        ops.lif(x)
