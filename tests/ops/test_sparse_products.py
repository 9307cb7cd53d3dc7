"""Products of rows that are mostly zeros, which add up the weights of the rest alone."""

import numpy as np
import pytest

from kspike import ops
from kspike.ops import cpu_sparse as sparse
from kspike.ops import reference
from tests.helpers import BACKEND


def counts(rows, inputs, share=0.2, seed=0):
    """Spikes of a residual stream: whole numbers, mostly 0; one row has none, one is full."""
    rng = np.random.default_rng(seed)
    x = (rng.random((rows, inputs)) < share) * rng.integers(1, 4, (rows, inputs))
    x[rows // 2], x[-1] = 0, 1
    return x.astype("float32")


def weights_of(inputs, outputs, seed=1):
    return np.random.default_rng(seed).normal(size=(inputs, outputs)).astype("float32")


def product(x, weights, threads=2):
    out = np.full((len(x), weights.shape[1]), np.nan, "float32")
    sparse.product(x, weights, out, threads)
    return out


@pytest.mark.parametrize("outputs", [16, 48, 112, 128, 240, 384])
@pytest.mark.parametrize("rows, inputs", [(1, 1), (3, 37), (65, 384), (1000, 96)])
def test_it_is_the_product(rows, inputs, outputs):
    x, weights = counts(rows, inputs), weights_of(inputs, outputs)
    exact = x.astype("float64") @ weights.astype("float64")
    bound = 1e-6 * (np.abs(x) @ np.abs(weights)) + 1e-7
    assert (np.abs(product(x, weights) - exact) <= bound).all()


@pytest.mark.parametrize("size", [(1, 1), (3, 3), (2, 5), (7, 1)])
@pytest.mark.parametrize("images, height, width, outputs", [(1, 1, 1, 16), (3, 7, 5, 48), (20, 8, 8, 144)])
def test_it_is_the_convolution(images, height, width, outputs, size):
    """That keeps height and width, as Keras pads: one more below and to the right where sizes are even."""
    inputs = 24
    x = counts(images * height * width, inputs).reshape(images, height, width, inputs)
    weights = weights_of(size[0] * size[1] * inputs, outputs).reshape(*size, inputs, outputs)
    padded = np.pad(x, [(0, 0), *(((n - 1) // 2, n // 2) for n in size), (0, 0)]).astype("float64")
    exact = sum(
        padded[:, i : i + height, j : j + width] @ weights[i, j].astype("float64")
        for i in range(size[0])
        for j in range(size[1])
    )
    for threads in (1, 3):
        out = np.full(exact.shape, np.nan, "float32")
        sparse.convolve(x, weights, out, threads)
        np.testing.assert_allclose(out, exact, rtol=1e-5, atol=2e-5)


def test_numbers_need_not_be_spikes_and_nan_is_seen():
    x, weights = counts(40, 64) * np.float32(0.37), weights_of(64, 128)
    x[3] *= -1
    np.testing.assert_allclose(product(x, weights), x @ weights, rtol=1e-5, atol=1e-5)
    x[5, 7] = np.nan
    assert np.isnan(product(x, weights)).all(axis=1).tolist() == [r == 5 for r in range(40)]


def test_a_sum_does_not_depend_on_what_is_zero_beside_it_nor_on_threads():
    """What a masked supernet and the network taken out of it differ by."""
    x, weights = counts(70, 100), weights_of(100, 128)
    alone = product(x, weights)
    wide = np.concatenate([x, np.zeros((70, 400), "float32")], 1), np.concatenate([weights, weights_of(400, 128)], 0)
    assert np.array_equal(product(*wide), alone)
    assert np.array_equal(product(x, weights, threads=1), alone)


def test_it_pays_for_many_rows_of_few_spikes():
    x, weights = counts(4096, 256, share=0.1), weights_of(256, 384)
    assert sparse.pays(x, weights)
    assert not sparse.pays(counts(4096, 256, share=0.6), weights)
    assert not sparse.pays(x[:4], weights)  # as soon done by the full product
    assert not sparse.pays(x, weights_of(256, 200))  # no whole vectors
    assert not sparse.pays(x, weights_of(256, 64)) and sparse.pays(x, weights_of(256, 64 * 9).reshape(3, 3, 256, 64))


@pytest.fixture
def called(monkeypatch):
    """What the loops were called with."""
    seen = []
    for name in ("product", "convolve"):
        original = getattr(sparse, name)
        monkeypatch.setattr(
            sparse, name, lambda *args, original=original: (seen.append(args[0].shape), original(*args))
        )
    return seen


@pytest.mark.skipif(BACKEND != "torch", reason="torch calls it")
@pytest.mark.parametrize("turned", [False, True])
def test_inference_takes_it_and_training_does_not(called, turned):
    import torch

    x, kernel = counts(8 * 256, 192, share=0.1).reshape(8, 256, 192), weights_of(192, 256)
    bias = torch.from_numpy(weights_of(1, 256)[0])
    given = torch.from_numpy(np.ascontiguousarray(x.transpose(1, 0, 2))).permute(1, 0, 2) if turned else torch.tensor(x)
    with torch.no_grad():
        y = ops.linear(given, torch.from_numpy(kernel), bias)
    assert called == [(2048, 192)] and y.shape == (8, 256, 256)
    np.testing.assert_allclose(y, x @ kernel + bias.numpy(), rtol=1e-5, atol=1e-5)
    learned = torch.from_numpy(kernel).requires_grad_()
    ops.linear(given, learned, bias).sum().backward()
    assert len(called) == 1 and learned.grad is not None
    with torch.no_grad():
        ops.linear(torch.rand(2048, 192), learned, bias)  # no zeros
        ops.linear(given.bfloat16(), learned.bfloat16(), bias.bfloat16())
    assert len(called) == 1


@pytest.mark.skipif(BACKEND != "torch", reason="torch calls it")
def test_a_convolution_takes_it_too(called):
    import torch

    x = torch.from_numpy(counts(4 * 64, 48, share=0.1).reshape(4, 8, 8, 48))
    kernel = torch.from_numpy(weights_of(9 * 48, 64).reshape(3, 3, 48, 64))
    with torch.no_grad():
        y = ops.convolve(x, kernel)
        assert called == [(4, 8, 8, 48)]
        plain = reference.convolve(x, kernel)
    assert len(called) == 1
    np.testing.assert_allclose(y, plain, rtol=1e-5, atol=1e-5)
    ops.convolve(x, kernel.requires_grad_()).sum().backward()
    assert len(called) == 1 and kernel.grad is not None
