"""Neuron programs: what a step is traced to, and compiled, spikes to the bit and gradients as the step's own."""

import dataclasses

import keras
import numpy as np
import pytest

from kspike import components, layers
from kspike.layers import stepping
from kspike.ops import dispatch
from kspike.ops.cpu.norm_lif import kernels
from tests.components.written import ALIF
from tests.helpers import BACKEND, input_gradient


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arithmetic(components.Neuron):
    """Every operation that a program has, two spikes a step, and a state that is handed on as it came."""

    name = "arithmetic"
    states = {"v": "rest", "a": 0.0, "before": 0.25}

    def step(self, x, v, a, before, *, charge, reset, spike, tau, v_threshold):
        h = charge(v, x) + 0.5 * before - before / tau
        early = spike(0.5 - h * a)
        s = spike(h - v_threshold - 0.25 * early)
        return s, (reset(h, s), -a + (1.0 - s) * x, a)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compares(ALIF):
    """Asks a value for what a program does not know."""

    name = "compares"
    how: str = "equal"

    def step(self, x, v, a, **named):
        if self.how == "equal" and x is not None and (x == 0.0) is True:
            return x, (v, a)
        if self.how == "ops":
            x = keras.ops.minimum(x, 3.0)
        if self.how == "shape":
            x = x * float(len(x.shape) > 0)
        return ALIF.step(self, x, v, a, **{name: named[name] for name in ALIF.named_in_step})


# given by name, as `step` above takes any
Compares.named_in_step = ALIF.named_in_step

OPTIONS = [{}, {"v_reset": None}, {"v_reset": -0.5, "tau": 1.5}, {"decay_input": False, "tau": 3.0, "v_threshold": 0.7}]


def membrane(neuron, **options):
    return layers.Neuron(neuron, **options).membrane(8) if neuron.name in components.names("neuron") else None


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Tensors of a test are large enough."""
    if kernels() is not None:
        monkeypatch.setattr("kspike.ops.cpu.program.FEWEST", 1)


@pytest.fixture(scope="module", autouse=True)
def known():
    from tests.components import own

    back = own.forget()
    for cls in (Arithmetic, Compares):
        components.register("neuron", cls.name)(cls)
    yield
    back()


def test_a_program_is_what_the_step_does():
    found = membrane(ALIF(beta=0.5)).program
    assert [o.name for o in found.operations] == ["charge", "sub", "mul", "sub", "fire", "reset", "mul", "add"]
    assert [o.b for o in found.operations if isinstance(o.b, float)] == [1.0, 0.5, 0.9]
    assert (found.states, found.spikes, found.after) == (2, 7, (8, 10))


@pytest.mark.parametrize("how", ["equal", "ops", "shape"])
def test_a_step_that_does_more_than_arithmetic_is_no_program(how):
    assert membrane(Compares(how=how)).program is None


def test_learned_weights_and_a_reset_with_a_gradient_are_no_program():
    learned = layers.Neuron("plif")
    learned.build((1, 1, 8))
    assert learned.membrane(8).program is None
    assert membrane(ALIF(), detach_reset=False).program is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("neuron", "options"),
    [
        (Arithmetic(), {"v_reset": -0.5, "tau": 1.5}),
        # each is compiled, seconds of numba's
        *(pytest.param(ALIF(beta=0.3), options, marks=pytest.mark.slow) for options in OPTIONS),
        *(pytest.param(Arithmetic(), options, marks=pytest.mark.slow) for options in OPTIONS),
    ],
)
def test_compiled_it_fires_as_the_step_and_has_its_gradient(neuron, options):
    if BACKEND == "jax":
        pytest.skip("XLA compiles the step itself")
    layer = layers.Neuron(neuron, **options)
    x = np.random.default_rng(0).normal(0.6, 1.2, (3, 5, 7, 40)).astype("float32")
    x[0, 1, 2, 3] = np.nan
    upstream = np.random.default_rng(1).normal(size=x.shape).astype("float32")
    ran = []
    original = dispatch.backend.run_program
    patched = dataclasses.replace(
        dispatch.backend, run_program=lambda *a, **k: ran.append(original(*a, **k)) or ran[-1]
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dispatch, "backend", patched)
        spikes, gradient = input_gradient(layer, x, upstream)
    assert ran and all(each is not None for each in ran)
    step = lambda x: stepping.run(layer.membrane(40), x, None, "float32")[0]
    wanted, expected = input_gradient(step, x, upstream)
    np.testing.assert_array_equal(spikes, wanted)
    assert 0.02 < np.nanmean(wanted) < 0.98
    seen = ~np.isnan(expected)
    np.testing.assert_allclose(gradient[seen], expected[seen], rtol=1e-5, atol=1e-5)


@pytest.mark.slow  # it compiles
@pytest.mark.skipif(BACKEND != "torch", reason="of torch alone")
def test_second_derivatives_are_those_of_the_step():
    import torch

    x = torch.randn(2, 3, 40, generator=torch.Generator().manual_seed(0)).requires_grad_()
    layer = layers.Neuron(ALIF())
    found = []
    for call in (layer, lambda x: stepping.run(layer.membrane(40), x, None, "float32")[0]):
        (first,) = torch.autograd.grad((call(x) ** 2).sum(), x, create_graph=True)
        found.append(torch.autograd.grad((first**2).sum(), x)[0])
    assert found[1].abs().max() > 1e-3
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)
