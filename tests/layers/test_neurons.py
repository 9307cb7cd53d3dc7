"""LIF and PLIF as layers: what a user sees, learned time constants, what is refused."""

import functools

import keras
import numpy as np
import pytest

from kspike import layers, surrogate
from tests.golden import neurons
from tests.helpers import run, to_numpy, weight_gradients

ONE_OF_EACH = {
    (c.arguments["v_reset"], c.arguments["decay_input"], c.arguments["surrogate"]): c for c in neurons.cases()
}


@pytest.mark.parametrize("case", ONE_OF_EACH.values(), ids=lambda case: case.name)
def test_the_layer_is_spikingjellys_neuron(case):
    np.testing.assert_array_equal(run(layers.LIF(**case.arguments), case.x), case.spikes)


def test_shapes_and_time_are_the_inputs_own():
    lif = layers.LIF(tau=2)
    x = np.random.default_rng(0).normal(0.5, 1, (3, 6, 2, 2)).astype("float32")
    whole = run(lif, x)
    np.testing.assert_array_equal(run(lif, x[:, :4]), whole[:, :4])  # another T, and nothing stale
    np.testing.assert_array_equal(run(lif, x[1:2]), whole[1:2])
    np.testing.assert_array_equal(run(lif, x[:, :, 0, 0]), whole[:, :, 0, 0])


def test_time_may_be_unknown_when_the_model_is_made():
    inputs = keras.Input((None, 11))
    model = keras.Model(inputs, layers.LIF(tau=3.0, v_reset=None)(inputs))
    assert model.output_shape == (None, None, 11)
    case = next(c for c in neurons.cases() if c.arguments["v_reset"] is None)
    model = keras.Model(inputs, layers.LIF(**case.arguments)(inputs))
    np.testing.assert_array_equal(model.predict(case.x, verbose=0), case.spikes)
    np.testing.assert_array_equal(model.predict(case.x[:, :3], verbose=0), case.spikes[:, :3])


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_keeps_the_spikes_of_float32(dtype):
    """The membrane stays in float32: rounding it to bfloat16 would move a spike in twenty."""
    x = np.random.default_rng(0).normal(0.5, 1, (8, 6, 100)).astype("float32")
    out = layers.LIF(tau=10.0, v_threshold=0.1, dtype=dtype)(keras.ops.convert_to_tensor(x))
    assert keras.backend.standardize_dtype(out.dtype) == dtype[len("mixed_") :]
    np.testing.assert_array_equal(to_numpy(out), run(layers.LIF(tau=10.0, v_threshold=0.1), x))


def plif_gradient(x, upstream, w, v_threshold=1.0):
    """d sum(spikes * upstream) / dw of a hard-reset PLIF, forward mode in float64 (reset detached)."""
    k = 1 / (1 + np.exp(-w))
    v = dv = np.zeros_like(x[:, 0])
    total = 0.0
    for t in range(x.shape[1]):
        h = v + (x[:, t] - v) * k
        dh = dv + (x[:, t] - v) - dv * k  # d h / d k
        s = (h >= v_threshold).astype("float64")
        z = 1 / (1 + np.exp(-4 * (h - v_threshold)))
        total += (upstream[:, t] * 4 * z * (1 - z) * dh).sum()
        v, dv = (1 - s) * h, (1 - s) * dh
    return total * k * (1 - k)


@pytest.mark.parametrize("steps", [1, 5])
def test_plif_gradient_of_tau(steps):
    rng = np.random.default_rng(0)
    x, upstream = rng.normal(1, 1, (4, steps, 6)), rng.normal(size=(4, steps, 6))
    plif = layers.PLIF(init_tau=3.0, groups=3)
    plif.build(x.shape)
    plif.w.assign([-1.0, 0.2, 0.9])
    weights = keras.ops.convert_to_tensor(upstream.astype("float32"))
    _, gradients = weight_gradients(plif, x.astype("float32"), lambda s: keras.ops.sum(s * weights), training=None)
    expected = [
        plif_gradient(x[..., 2 * i : 2 * i + 2], upstream[..., 2 * i : 2 * i + 2], w)
        for i, w in enumerate([-1, 0.2, 0.9])
    ]
    np.testing.assert_allclose(gradients[id(plif.w)], expected, rtol=1e-4, atol=1e-5)


def test_plif_starts_as_the_lif_of_its_tau():
    plif = layers.PLIF(init_tau=2.0)  # sigmoid(0) is exactly a half
    x = np.random.default_rng(0).normal(0.5, 1, (3, 6, 9)).astype("float32")
    np.testing.assert_array_equal(run(plif, x), run(layers.LIF(tau=2.0), x))
    np.testing.assert_allclose(to_numpy(layers_tau(5.0)), [5.0], rtol=1e-5)


def layers_tau(init_tau):
    plif = layers.PLIF(init_tau=init_tau)
    plif.build((None, 4, 2))
    return plif.tau


def test_plif_groups_are_neurons_of_their_own():
    x = np.random.default_rng(0).normal(0.5, 1, (3, 6, 9)).astype("float32")
    whole = layers.PLIF(groups=3)
    whole.build(x.shape)
    values = [-1.0, 0.0, 1.5]
    whole.w.assign(values)
    for i, w in enumerate(values):
        part = layers.PLIF()
        part.build((3, 6, 3))
        part.w.assign([w])
        np.testing.assert_array_equal(run(whole, x)[..., 3 * i : 3 * i + 3], run(part, x[..., 3 * i : 3 * i + 3]))


def test_plif_learns_its_tau_in_fit():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4, 3))
    plif = layers.PLIF()
    model = keras.Model(inputs, keras.layers.Flatten()(plif(inputs)))
    model.compile(keras.optimizers.SGD(0.5), "mse")
    x = np.random.default_rng(0).normal(1, 1, (16, 4, 3)).astype("float32")
    model.fit(x, np.zeros((16, 12), "float32"), epochs=1, verbose=0)
    assert float(to_numpy(plif.tau)[0]) > 2.05  # fewer spikes are wanted: a slower membrane


REFUSED = {
    "tau_1": (functools.partial(layers.LIF, tau=1.0), "tau must be a finite number above 1"),
    "tau_text": (functools.partial(layers.LIF, tau="2"), "tau"),
    "init_tau": (functools.partial(layers.PLIF, init_tau=0.5), "init_tau must be a finite number above 1"),
    "threshold": (functools.partial(layers.LIF, v_threshold=0), "v_threshold must be a finite number above 0"),
    "reset": (functools.partial(layers.LIF, v_reset=1.0), "v_reset must lie below v_threshold"),
    "surrogate": (functools.partial(layers.LIF, surrogate="sigmoidal"), "did you mean 'sigmoid'"),
    "groups": (functools.partial(layers.PLIF, groups=0), "groups must be a whole number"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    make, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        make()


def test_names_are_keyword_only_and_known():
    with pytest.raises(TypeError):
        layers.LIF(2.0)
    with pytest.raises((TypeError, ValueError), match="surrogate_function"):
        layers.LIF(surrogate_function="atan")


def test_an_input_without_time_is_refused():
    with pytest.raises(ValueError, match=r"\(batch, time, \.\.\.\)"):
        layers.LIF()(np.ones((3,), "float32"))
    with pytest.raises(ValueError, match=r"groups \(3\) must divide"):
        layers.PLIF(groups=3)(np.ones((2, 3, 4), "float32"))


def test_a_surrogate_object_travels_with_the_layer():
    lif = layers.LIF(surrogate=surrogate.ATan(alpha=3.0))
    assert layers.LIF.from_config(lif.get_config()).surrogate == surrogate.ATan(alpha=3.0)
