"""A GPU's kernels, run by Triton's interpreter: what the reference gives, gradients included. No GPU is needed."""

import platform
import sys

import keras
import numpy as np
import pytest

from kspike import ops
from kspike.ops import reference
from tests.helpers import BACKEND
from tests.ops.neurons import CASES, NEURON

pytestmark = [
    pytest.mark.skipif(BACKEND != "torch", reason="the kernels are torch's"),
    pytest.mark.skipif((sys.platform, platform.machine()) != ("linux", "x86_64"), reason="Triton comes for this alone"),
]


@pytest.fixture(scope="module")
def gpu():
    """(the passes, the kernels), the latter the interpreter's, as conftest.py has it."""
    from kspike.ops.gpu import autograd
    from kspike.ops.gpu import kernels as gpu_kernels

    return autograd, gpu_kernels


def tensors(*arrays):
    import torch

    return [None if a is None else torch.tensor(a, requires_grad=True) for a in arrays]


def apart(x, gamma, beta, inverse_tau, moments, neuron):
    """The reference, one operation after the other: (spikes, mean, variance)."""
    ops.use_reference(True)
    try:
        mean = variance = None
        if gamma is not None and moments is None:
            x, mean, variance = ops.batch_norm(x, gamma, beta, 1e-5)
        elif gamma is not None:
            mean, variance = moments
            x = (x - mean) * (gamma / keras.ops.sqrt(variance + 1e-5)) + beta
        times = {"inverse_tau": inverse_tau, "tau": None} if inverse_tau is not None else {}
        return ops.lif(x, **{**neuron, **times}), mean, variance
    finally:
        ops.use_reference(False)


def together(gpu, x, gamma, beta, inverse_tau, moments, neuron):
    import torch

    from kspike.ops.cpu import norm_lif

    autograd, kernels = gpu
    if inverse_tau is not None:
        neuron = {**neuron, "tau": None}
    normalised = gamma is not None
    one = norm_lif.make_spec(**neuron, epsilon=1e-5, normalised=normalised, batch=normalised and moments is None)
    return autograd.FusedLIF.apply(x, gamma, beta, inverse_tau, moments or (None, None), one, torch.float32, kernels)


def check(gpu, shape, neuron, normalised=True, stored=False, inverse_tau=None):
    import torch

    rng, channels = np.random.default_rng(0), shape[-1]
    x = rng.normal(1.0, 2.0, shape).astype("float32")
    gamma = rng.uniform(0.5, 1.5, channels).astype("float32") if normalised else None
    beta = rng.uniform(-0.5, 1.0, channels).astype("float32") if normalised else None
    moments = None
    if stored:
        moments = tuple(
            torch.tensor(a.astype("float32")) for a in (rng.normal(size=channels), rng.uniform(1.0, 4.0, channels))
        )
    grad_output = torch.tensor(rng.normal(size=shape).astype("float32"))
    found, wanted = [], []
    for results, fn in ((found, lambda *a: together(gpu, *a)), (wanted, apart)):
        leaves = tensors(x, gamma, beta, inverse_tau)
        spikes, mean, variance = fn(*leaves, moments, neuron)
        spikes.backward(grad_output)
        results += [spikes.detach(), *(a.detach() for a in (mean, variance) if normalised)]
        results += [leaf.grad for leaf in leaves if leaf is not None]
    assert 0.02 < float(found[0].mean()) < 0.98  # neurons that all rest, or all fire, would show little
    # bit for bit where nothing is normalised; else sums in another order move a number by a few of its last places
    assert torch.equal(found[0], wanted[0])
    for one, other in zip(found[1:], wanted[1:], strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=2e-4, atol=2e-5 * float(abs(other).max() + 1e-3))


@pytest.mark.parametrize("stored", [False, True], ids=["batch", "stored"])
@pytest.mark.parametrize("case", CASES)
def test_normalisation_and_neuron(gpu, case, stored):
    check(gpu, (3, 4, 5, 7), {**NEURON, **CASES[case]}, stored=stored)


@pytest.mark.parametrize("case", CASES)
def test_neuron_alone(gpu, case):
    check(gpu, (5, 3, 2, 9), {**NEURON, **CASES[case]}, normalised=False)


LARGE = [pytest.param(shape, marks=pytest.mark.proof) for shape in ((1, 16, 3, 130), (20, 2, 30, 17))]


@pytest.mark.parametrize("shape", [(2, 1, 6, 48), *LARGE, (2, 2, 1, 192)], ids=str)
def test_sizes_that_tiles_do_not_fit(gpu, shape):
    check(gpu, shape, NEURON)


@pytest.mark.parametrize("decay_input", [True, False])
@pytest.mark.parametrize("normalised", [True, False])
@pytest.mark.parametrize("each", [False, True], ids=["one", "one a channel"])
def test_learned_time_constants(gpu, each, normalised, decay_input):
    inverse_tau = np.linspace(0.2, 0.9, 7, dtype="float32") if each else np.array(0.7, "float32")
    neuron = {**NEURON, "decay_input": decay_input, "v_threshold": 0.6}
    check(gpu, (3, 4, 5, 7), neuron, normalised, inverse_tau=inverse_tau)


def test_ties_at_the_threshold_fire_as_everywhere(gpu):
    import torch

    x = (np.random.default_rng(0).integers(-40, 60, (64, 4, 33)) * 0.125).astype("float32")
    for tau in (2.0, 1.7, 3.0):
        found, wanted = (fn(*tensors(x), None, None, None, None, {**NEURON, "tau": tau})[0]
                         for fn in (lambda *a: together(gpu, *a), apart))  # fmt: skip
        assert torch.equal(found, wanted)


def test_bfloat16_is_integrated_in_float32(gpu):
    import torch

    from kspike.ops.cpu import norm_lif

    autograd, kernels = gpu
    x = torch.tensor(np.random.default_rng(0).normal(1.0, 2.0, (3, 4, 5, 24)), dtype=torch.bfloat16)
    one = norm_lif.make_spec(**NEURON)
    spikes = autograd.FusedLIF.apply(x, None, None, None, (None, None), one, torch.bfloat16, kernels)[0]
    assert spikes.dtype == torch.bfloat16
    assert torch.equal(spikes.float(), apart(x.float(), None, None, None, None, NEURON)[0])


@pytest.mark.parametrize("tokens, heads, head_dim", [(64, 3, 32), (20, 2, 8), (5, 2, 4)])
def test_attention(gpu, tokens, heads, head_dim):
    import torch

    autograd, kernels = gpu
    rng, shape = np.random.default_rng(0), (2, 3, tokens, 3 * heads * head_dim)
    spikes = (rng.random(shape) < 0.4).astype("float32")
    grad_output = torch.tensor(rng.normal(size=(2, 3, tokens, heads * head_dim)).astype("float32"))
    results = []
    for fn in (lambda *a: autograd.Attend.apply(*a, kernels), reference.attend):
        (qkv,) = tensors(spikes)
        y = fn(*(a.reshape(2, 3, tokens, heads, head_dim) for a in qkv.split(heads * head_dim, -1)))
        y.backward(grad_output)
        results.append((y.detach(), qkv.grad))
    (y, grad), (wanted, wanted_grad) = results
    assert torch.equal(y, wanted)  # counts
    np.testing.assert_allclose(grad.numpy(), wanted_grad.numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "shape",
    [(3, 8, 8, 48), (2, 7, 5, 20), (1, 1, 1, 3), pytest.param((2, 4, 9, 200), marks=pytest.mark.proof)],
    ids=str,
)
@pytest.mark.parametrize("values", ["spikes", "potentials"])
def test_pool(gpu, shape, values):
    import torch

    autograd, kernels = gpu
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape).astype("float32")
    x = (x > 0).astype("float32") if values == "spikes" else x
    results, grad_output = [], None
    for fn in (lambda a: autograd.MaxPool.apply(a, kernels), ops.max_pool):
        (leaf,) = tensors(x)
        y = fn(leaf)
        grad_output = (
            torch.tensor(rng.normal(size=tuple(y.shape)).astype("float32")) if grad_output is None else grad_output
        )
        y.backward(grad_output)
        results.append((y.detach(), leaf.grad))
    assert torch.equal(results[0][0], results[1][0])
    np.testing.assert_allclose(results[0][1].numpy(), results[1][1].numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("neuron", [{}, {"v_reset": None}], ids=["hard", "soft"])
def test_nan_goes_through_the_neuron_from_its_step_on(gpu, neuron):
    x = np.random.default_rng(0).normal(1.0, 1.0, (3, 4, 5, 7)).astype("float32")
    args = (None, None, None, None, {**NEURON, **neuron})
    wanted = together(gpu, *tensors(x), *args)[0].detach().numpy()
    x[1, 1, 2, 3] = np.nan
    wanted[1, 1:, 2, 3] = np.nan
    np.testing.assert_array_equal(together(gpu, *tensors(x), *args)[0].detach().numpy(), wanted)


def test_nan_goes_through_the_pool(gpu):
    autograd, kernels = gpu
    for row, column in ((0, 0), (2, 3), (3, 3), (5, 6)):
        x = np.random.default_rng(0).integers(0, 2, (1, 6, 7, 3)).astype("float32")
        x[0, row, column, 1] = np.nan
        y = np.isnan(autograd.MaxPool.apply(*tensors(x), kernels).detach().numpy())
        near = [[abs(row - 2 * i) < 2 and abs(column - 2 * j) < 2 for j in range(4)] for i in range(3)]
        assert y[0, :, :, 1].tolist() == near and y.sum() == np.sum(near)
