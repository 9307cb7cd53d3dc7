"""Surrogate gradients: each the derivative of its own smooth step, found by name, and exact 0 or 1 forwards."""

import json
import math

import keras
import numpy as np
import pytest

from kspike import ops, surrogate
from tests.helpers import input_gradient, to_numpy

U = np.linspace(-2.0, 2.0, 81).astype("float64") + 0.0123

# The smooth step that each replaces the hard one by: its derivative, taken numerically, is the surrogate.
STEPS = {
    "sigmoid": lambda u, a: 1 / (1 + np.exp(-a * u)),
    "atan": lambda u, a: np.arctan(np.pi / 2 * a * u) / np.pi + 0.5,
    "soft_sign": lambda u, a: 0.5 * (a * u / (1 + np.abs(a * u)) + 1),
    "super_spike": lambda u, a: a * u / (1 + np.abs(u)),
    "fast_sigmoid": lambda u, a: u / (1 + a * np.abs(u)),
    "erf": lambda u, a: np.vectorize(lambda x: 0.5 * math.erfc(-a * x))(u),
    "piecewise_quadratic": lambda u, a: np.where(
        np.abs(u) < 1 / a, -0.5 * a**2 * np.abs(u) * u + a * u + 0.5, (u > 0).astype(float)
    ),
    "piecewise_exp": lambda u, a: np.where(u < 0, 0.5 * np.exp(a * u), 1 - 0.5 * np.exp(-a * u)),
    "rectangular": lambda u, a: np.clip(a * u + 0.5, 0, 1),
}
PEAKS = {"sigmoid": 1.0, "atan": 1.0, "super_spike": 1.0, "fast_sigmoid": 1.0, "piecewise_quadratic": 1.0}


def derivative(of, u):
    return to_numpy(of.derivative(keras.ops.convert_to_tensor(np.asarray(u, "float32"))))


@pytest.mark.shared
def test_names():
    assert sorted(STEPS) == surrogate.names()
    assert {"sigmoid", "atan"} < set(surrogate.names())


@pytest.mark.parametrize("alpha", [None, 0.7, 3.0])
@pytest.mark.parametrize("name", STEPS)
def test_is_the_derivative_of_its_step(name, alpha):
    of = surrogate.get(name) if alpha is None else surrogate.get({"name": name, "alpha": alpha})
    away = np.abs(np.abs(U) - 0.5 / of.alpha) > 1e-3  # the box jumps there
    u, eps = U[away], 1e-6
    expected = (STEPS[name](u + eps, of.alpha) - STEPS[name](u - eps, of.alpha)) / (2 * eps)
    np.testing.assert_allclose(derivative(of, u), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", STEPS)
def test_shape(name):
    of = surrogate.get(name)
    values = derivative(of, [-1.0, -0.1, 0.0, 0.1, 1.0])
    assert values[2] == values.max() > 0
    np.testing.assert_allclose(values, values[::-1], rtol=1e-5)
    assert (values >= 0).all()
    if name in PEAKS:
        assert values[2] == pytest.approx(PEAKS[name], rel=1e-6)
    assert np.isfinite(derivative(of, [-1e4, 1e4, -1e30, 1e30])).all()


@pytest.mark.parametrize("name", STEPS)
def test_backwards_the_surrogate_forwards_the_step(name):
    u = np.array([-1.0, -0.3, -1e-30, 0.0, 1e-30, 0.2, 2.0], "float32")
    of = surrogate.get(name)
    spikes, grad = input_gradient(lambda x: ops.spike(x, name), u, np.full_like(u, 3.0))
    np.testing.assert_array_equal(spikes, [0, 0, 0, 1, 1, 1, 1])  # equality fires
    np.testing.assert_allclose(grad, 3.0 * derivative(of, u), rtol=1e-6)


def test_an_object_carries_its_own_slope():
    u = np.array([0.1], "float32")
    _, narrow = input_gradient(lambda x: ops.spike(x, surrogate.ATan(alpha=8.0)), u, np.ones_like(u))
    np.testing.assert_allclose(narrow, 4.0 / (1.0 + (np.pi / 2 * 0.8) ** 2), rtol=1e-5)


@pytest.mark.shared
@pytest.mark.parametrize("alpha", [0, -1.0, math.inf, math.nan, "4", True])
def test_slope_out_of_range(alpha):
    with pytest.raises(ValueError, match="alpha of the sigmoid surrogate"):
        surrogate.Sigmoid(alpha=alpha)


@pytest.mark.shared
def test_unknown_name_names_the_known_and_the_nearest():
    with pytest.raises(ValueError, match=r"'attan'.*did you mean 'atan'.*known: atan, erf"):
        surrogate.get("attan")
    with pytest.raises(ValueError, match="known: atan"):
        surrogate.get(None)
    with pytest.raises(ValueError, match="'atan' does not take"):
        surrogate.get({"name": "atan", "slope": 2.0})


@pytest.mark.shared
@pytest.mark.parametrize("name", STEPS)
def test_json_round_trip(name):
    default, other = surrogate.get(name), surrogate.get({"name": name, "alpha": 1.7})
    assert surrogate.serialize(default) == name
    for of in (default, other):
        assert surrogate.get(json.loads(json.dumps(surrogate.serialize(of)))) == of
    assert default != other
    assert len({default, other, surrogate.get(name)}) == 2


def test_a_surrogate_of_ones_own():
    class Flat(surrogate.Surrogate):
        name = "flat"

        def derivative(self, u):
            return keras.ops.full_like(u, self.alpha)

    u = np.array([-5.0, 5.0], "float32")
    spikes, grad = input_gradient(lambda x: ops.spike(x, Flat(alpha=0.5)), u, np.ones_like(u))
    np.testing.assert_array_equal(spikes, [0, 1])
    np.testing.assert_array_equal(grad, [0.5, 0.5])
    with pytest.raises(ValueError, match="register"):
        surrogate.serialize(Flat())
    with pytest.raises(ValueError, match="name of its own"):
        surrogate.register(type("Sigmoid2", (Flat,), {"name": "sigmoid"}))
