"""Dense products and convolutions by the compiled loops, and grad_x."""

import numpy as np
import pytest

from kspike import ops
from kspike.ops.cpu import dense, moments
from tests.helpers import BACKEND, narrow, to_numpy, wide

KINDS = ["float32", pytest.param("bfloat16", marks=pytest.mark.skipif(
    not dense._supported("bfloat16"), reason="the processor has no instruction for it"
))]  # fmt: skip


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def numeric(a):
    return wide(a) if a.dtype == np.uint16 else a


def exact(x, kernel, backward=False):
    """The convolution that keeps height and width in float64, or its transpose; and the sum of what it adds up."""
    size = kernel.shape[:2]
    if backward:
        kernel = kernel[::-1, ::-1].swapaxes(2, 3)
    around = [(n // 2, (n - 1) // 2) if backward else ((n - 1) // 2, n // 2) for n in size]
    x = np.pad(x.astype("float64"), [(0, 0), *around, (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(x, size, axis=(1, 2))
    return [np.einsum("nyxcij,ijco->nyxo", f(windows), f(kernel.astype("float64"))) for f in (np.asarray, np.abs)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (3, 3), (2, 4), (7, 1)])
@pytest.mark.parametrize(
    "images, height, width, inputs, outputs",
    [(1, 1, 1, 2, 16), (3, 7, 5, 20, 70), (2, 40, 13, 48, 24), (5, 8, 8, 130, 112), (0, 4, 4, 6, 16)],
)
def test_it_is_the_convolution(images, height, width, inputs, outputs, size, backward, kind):
    """That keeps height and width; with one row and column for each it is a product of rows."""
    x = numbers(images, height, width, outputs if backward else inputs)
    kernel = numbers(*size, inputs, outputs, seed=1)
    if kind == "bfloat16":
        x, kernel = narrow(x), narrow(kernel)
    found = []
    for threads in (1, 3):
        out = np.full((images, height, width, inputs if backward else outputs), 0x7FC0, x.dtype)  # nan in bfloat16
        dense.product(x, kernel, out, threads, backward=backward)
        found.append(out)
    y, size_of = exact(numeric(x), numeric(kernel), backward)
    bound = 1e-6 * size_of + (2**-8 * np.abs(y) if kind == "bfloat16" else 0)
    assert (np.abs(numeric(found[0]) - y) <= bound).all()
    assert np.array_equal(*found)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows, inputs, outputs", [(1, 2, 1), (13, 64, 10), (1000, 96, 144), (0, 8, 16)])
def test_the_bias_is_added_before_the_sum_is_rounded(rows, inputs, outputs, kind):
    x, kernel, bias = numbers(rows, inputs), numbers(inputs, outputs, seed=1), 100 * numbers(outputs, seed=2)
    if kind == "bfloat16":
        x, kernel = narrow(x), narrow(kernel)
    out = np.zeros((rows, outputs), x.dtype)
    dense.product(x, kernel, out, 2, bias)
    y = numeric(x).astype("float64") @ numeric(kernel) + bias
    np.testing.assert_allclose(numeric(out), y, rtol=2**-8 if kind == "bfloat16" else 1e-5, atol=1e-4)


def test_a_sum_does_not_depend_on_what_is_zero_beside_it():
    """What a masked supernet and the network taken out of it differ by."""
    x, kernel, out = numbers(70, 100), numbers(100, 128, seed=1), np.empty((2, 70, 128), "float32")
    dense.product(x, kernel, out[0], 2)
    beside = np.concatenate([x, np.zeros((70, 400), "float32")], 1), np.concatenate([kernel, numbers(400, 128)], 0)
    dense.product(*beside, out[1], 1)
    assert np.array_equal(*out)


def test_nan_is_seen_where_it_is_added_and_nowhere_else():
    x, kernel, out = numbers(2, 6, 9, 8), numbers(3, 3, 8, 16, seed=1), np.empty((2, 6, 9, 16), "float32")
    x[1, 0, 8, 3] = np.nan
    dense.product(x, kernel, out, 2)
    seen = np.isnan(out).all(-1)
    assert seen[1, :2, 7:].all() and seen.sum() == 4 == np.isnan(out).any(-1).sum()


def test_it_pays_where_there_is_enough_to_do(monkeypatch):
    have = {"avx512f": True, "avx512bf16": True}
    monkeypatch.setattr(dense.binding, "get_host_cpu_features", lambda: have)
    dense._supported.cache_clear()
    try:
        assert dense.pays("float32", (96, 384), 4096) and not dense.pays("float32", (96, 384), 64)
        assert dense.pays("bfloat16", (3, 3, 96, 27), 4096)
        assert not dense.pays("bfloat16", (3, 3, 96, 27), 4096, backward=True)  # no whole pairs
        have.pop("avx512bf16")
        dense._supported.cache_clear()
        assert dense.pays("float32", (96, 384), 4096) and not dense.pays("bfloat16", (96, 384), 4096)
        monkeypatch.setattr(dense.numba.config, "CPU_NAME", "generic")
        dense._supported.cache_clear()
        assert not dense.pays("float32", (96, 384), 4096)
    finally:
        dense._supported.cache_clear()


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("rows, channels", [(1, 1), (1000, 3), (65, 48), (20000, 8), (3000, 384)])
def test_sums_by_channel(rows, channels, half):
    x = numbers(rows, channels)
    x = narrow(x) if half else x
    found = [moments.sums(x, threads) for threads in (1, 3)]
    y = numeric(x).astype("float64")
    np.testing.assert_allclose(found[0], y.sum(0), atol=1e-6 * np.abs(y).sum(0).max())
    assert np.array_equal(*found)


@pytest.mark.skipif(BACKEND != "jax", reason="JAX calls it: XLA's own are slower")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("around", [False, True])
@pytest.mark.parametrize("share", [0.05, 0.6])
def test_jax_takes_it_where_the_input_is_not_sparse_and_for_grad_x(share, around, kind, monkeypatch):
    import jax
    import jax.numpy as jnp

    called, original = [], dense.product
    monkeypatch.setattr(dense, "product", lambda *args, **named: (called.append(named), original(*args, **named)))
    monkeypatch.setattr(dense, "_supported", lambda kind: True)
    x = (np.random.default_rng(0).random((4096, 96)) < share).astype("float32")
    x = x.reshape((64, 8, 8, 96) if around else (64, 64, 96))
    kernel = numbers(3, 3, 96, 384, seed=1) if around else numbers(96, 384, seed=1)
    grad_output = numbers(*x.shape[:-1], 384, seed=3)
    given = [jnp.asarray(a, kind) for a in (x, kernel, *([] if around else [numbers(384, seed=2)]))]

    @jax.jit
    def both(given, grad_output):
        y, backward = jax.vjp(ops.convolve if around else ops.linear, *given)
        return y, *backward(grad_output)

    found = both(given, jnp.asarray(grad_output, kind))
    jax.block_until_ready(found)
    assert sorted(map(len, called)) == ([0, 1] if share > 0.5 else [1])  # forward, backward
    ops.use_reference()
    try:
        exact = jax.jit(both.__wrapped__)(
            [a.astype("float32") for a in given], jnp.asarray(grad_output, kind).astype("float32")
        )
    finally:
        ops.use_reference(False)
    near = 2e-2 if kind == "bfloat16" else 1e-5
    for a, b in zip(found, exact, strict=True):
        assert a.dtype == kind and a.shape == b.shape
        a, b = to_numpy(a.astype("float32")), to_numpy(b)
        np.testing.assert_allclose(a, b, rtol=near, atol=near * np.abs(b).max())
