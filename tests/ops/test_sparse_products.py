"""Sparse products and convolutions, and grad_kernel."""

import keras
import numpy as np
import pytest

from kspike import ops
from kspike.ops import reference
from kspike.ops.cpu import sparse, sparse_gradient
from kspike.ops.cpu import threads as cpu_threads
from tests.helpers import BACKEND, narrow, to_numpy, wide


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
    whole = np.concatenate([x, np.zeros((70, 400), "float32")], 1), np.concatenate([weights, weights_of(400, 128)], 0)
    assert np.array_equal(product(*whole), alone)
    assert np.array_equal(product(x, weights, threads=1), alone)


@pytest.mark.parametrize("outputs", [16, 144])
def test_bfloat16_is_added_up_in_float32_and_rounded_once(outputs):
    x, weights = counts(130, 200), wide(narrow(weights_of(200, outputs)))
    bias = weights_of(1, outputs)[0]
    out = np.zeros((130, outputs), "uint16")
    sparse.product(narrow(x), narrow(weights), out, 2, bias)
    in_float32 = np.zeros((130, outputs), "float32")
    sparse.product(x, weights, in_float32, 2, bias)
    np.testing.assert_array_equal(out, narrow(in_float32))
    image, kernel = x[:128].reshape(2, 8, 8, 200), weights_of(9 * 200, outputs).reshape(3, 3, 200, outputs)
    out, in_float32 = np.zeros((2, 8, 8, outputs), "uint16"), np.zeros((2, 8, 8, outputs), "float32")
    sparse.convolve(narrow(image), narrow(kernel), out, 2)
    sparse.convolve(image, wide(narrow(kernel)), in_float32, 2)
    np.testing.assert_array_equal(out, narrow(in_float32))


def test_either_zero_of_bfloat16_is_none():
    x, weights = np.zeros((100, 64), "float32"), np.full((64, 16), np.inf, "float32")
    x[::2] = -0.0
    out = np.ones((100, 16), "uint16")
    sparse.product(narrow(x), narrow(weights), out, 1)
    assert not out.any()


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (3, 3), (1, 5), (2, 2)])
@pytest.mark.parametrize(
    "images, height, width, inputs, outputs",
    [(1, 1, 1, 1, 16), (700, 1, 1, 70, 48), (23, 8, 8, 24, 144), (3, 40, 30, 5, 32), (2, 9, 7, 130, 240)],
)
def test_the_kernels_gradient(images, height, width, inputs, outputs, size, half):
    """Of single images' parts, of whole images and of many images at a time."""
    x = counts(images * height * width, inputs).reshape(images, height, width, inputs)
    grad_output = weights_of(images * height * width, outputs, seed=2).reshape(images, height, width, outputs)
    grad_output = wide(narrow(grad_output)) if half else grad_output
    padded = np.pad(x, [(0, 0), *(((n - 1) // 2, n // 2) for n in size), (0, 0)]).astype("float64")
    around = np.lib.stride_tricks.sliding_window_view(padded, size, axis=(1, 2))
    exact = np.einsum("nyxcij,nyxo->ijco", around, grad_output.astype("float64"), optimize=True)
    given = (narrow(x), narrow(grad_output)) if half else (x, grad_output)
    found = [sparse_gradient.kernel_gradient(*given, size, threads) for threads in (1, 3)]
    np.testing.assert_allclose(found[0], exact, rtol=1e-5, atol=2e-5 * np.abs(exact).max())
    assert np.array_equal(*found)
    if size == (1, 1):  # a product's kernel has no size
        assert np.array_equal(sparse_gradient.kernel_gradient(*given, (), 2), found[0][0, 0])


def test_it_pays_for_many_sparse_rows(processor):
    processor()
    x, weights = counts(4096, 256, share=0.1), weights_of(256, 384)
    assert sparse.pays(x, weights) and sparse.pays(narrow(x), narrow(weights))
    assert not sparse.pays(counts(4096, 256, share=0.6), weights)
    assert not sparse.pays(x[:4], weights)  # too small
    assert not sparse.pays(x, weights_of(256, 200))  # no whole vectors
    few = weights_of(256, 64)
    assert sparse.pays(x, few) and not sparse.pays(x, few[:, :16])
    assert not sparse.pays(narrow(x), narrow(few)) and sparse.pays(narrow(x), narrow(few).reshape(1, 1, 256, 64))


def test_it_pays_less_where_bfloat16_has_amx(processor):
    x, weights = counts(4096, 256, share=0.1), weights_of(256, 384)
    processor(**{"amx-bf16": True})
    assert sparse.pays(x, weights) and not sparse.pays(narrow(x), narrow(weights))
    assert sparse.pays(narrow(counts(4096, 256, share=0.03)), narrow(weights))
    # JAX's dense product does not use AMX
    assert (
        sparse.density_threshold("bfloat16", False, x.size * 384, 384, amx=False)
        == sparse.DENSITY_THRESHOLDS["bfloat16"][0][0]
    )


def test_it_pays_as_float32_does_where_dense_products_of_bfloat16_are_in_float32(processor):
    x, few = counts(4096, 256, share=0.1), weights_of(256, 64)
    processor(avx512f=True)
    assert sparse.pays(x, few) and not sparse.pays(narrow(x), narrow(few))
    processor(avx512f=False)
    assert sparse.pays(x, few) and sparse.pays(narrow(x), narrow(few))


@pytest.fixture
def called(monkeypatch, processor):
    """What the loops were called with, on a processor that reports no feature but the lack of AVX-512."""
    lacks = {k: v for k, v in sparse.binding.get_host_cpu_features().items() if k == "avx512f" and not v}
    seen = []
    for module, name in ((sparse, "product"), (sparse, "convolve"), (sparse_gradient, "kernel_gradient")):
        original = getattr(module, name)
        monkeypatch.setattr(
            module, name, lambda *args, original=original: (seen.append(args[0].shape), original(*args))[1]
        )
    processor(**lacks)
    return seen


@pytest.mark.skipif(BACKEND != "torch", reason="torch calls it")
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
def test_products_take_it_forward_and_backward(called, turned, kind):
    import torch

    x, kernel, bias = counts(8 * 256, 192, share=0.05), weights_of(192, 384), weights_of(1, 384)[0]
    x = x.reshape(8, 256, 192)
    given = torch.from_numpy(np.ascontiguousarray(x.transpose(1, 0, 2))).permute(1, 0, 2) if turned else torch.tensor(x)
    tensors = [a.to(getattr(torch, kind)).requires_grad_() for a in (given, torch.tensor(kernel), torch.tensor(bias))]
    with torch.no_grad():
        ops.linear(*tensors)
    assert called == [(8, 256, 192)]
    y = ops.linear(*tensors)
    grad_output = torch.from_numpy(weights_of(2048, 384, seed=3)).reshape(y.shape).to(y.dtype)
    y.backward(grad_output)
    assert called == [(8, 256, 192)] * 3
    assert y.dtype == grad_output.dtype and y.shape == (8, 256, 384)
    plain = [a.detach().float().requires_grad_() for a in tensors]
    (exact := plain[0] @ plain[1] + plain[2]).backward(grad_output.float())
    near = {"rtol": 1e-2 if kind == "bfloat16" else 1e-5}
    for a, b in zip([y, *(t.grad for t in tensors)], [exact, *(t.grad for t in plain)], strict=True):
        a, b = a.detach().float(), b.detach()
        np.testing.assert_allclose(a, b, **near, atol=near["rtol"] * b.abs().max())


@pytest.mark.skipif(BACKEND != "torch", reason="torch calls it")
@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
def test_convolutions_take_it_forward_and_backward(called, kind):
    import torch

    x = torch.from_numpy(counts(8 * 64, 48, share=0.05).reshape(8, 8, 8, 48))
    kernel = torch.from_numpy(weights_of(9 * 48, 96).reshape(3, 3, 48, 96))
    tensors = [a.to(getattr(torch, kind)).requires_grad_() for a in (x, kernel)]
    with torch.no_grad():
        ops.convolve(*tensors)
    y = ops.convolve(*tensors)
    grad_output = torch.from_numpy(weights_of(512, 96, seed=3)).reshape(y.shape).to(y.dtype)
    y.backward(grad_output)
    assert called == [(8, 8, 8, 48)] * 3 and y.dtype == grad_output.dtype
    plain = [a.detach().float().requires_grad_() for a in tensors]
    (exact := reference.convolve(*plain)).backward(grad_output.float())
    near = {"rtol": 1e-2 if kind == "bfloat16" else 1e-5}
    for a, b in zip([y, *(t.grad for t in tensors)], [exact, *(t.grad for t in plain)], strict=True):
        a, b = a.detach().float(), b.detach()
        np.testing.assert_allclose(a, b, **near, atol=near["rtol"] * b.abs().max())


@pytest.mark.skipif(BACKEND != "torch", reason="torch calls it")
def test_dense_products_are_taken_where_they_are_faster(called):
    import torch

    kernel = torch.from_numpy(weights_of(192, 256)).requires_grad_()
    ops.linear(torch.rand(2048, 192), kernel, None).sum().backward()  # no zeros
    ops.convolve(torch.rand(8, 8, 8, 48), torch.rand(3, 3, 48, 96))
    spikes = torch.from_numpy(counts(512, 48, share=0.05).reshape(8, 8, 8, 48))
    ops.convolve(spikes, torch.rand(2, 2, 48, 96))  # of even size
    ops.linear(spikes.bfloat16(), torch.rand(48, 256), None)  # of two precisions
    assert not called and kernel.grad is not None


@pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow calls it")
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
@pytest.mark.parametrize("around", [False, True])
@pytest.mark.parametrize("share, times", [(0.05, 1), (0.6, 0)])
def test_tensorflow_takes_it_where_the_input_is_sparse(called, compiled, kind, around, share, times):
    """Decided at run time, in traced code too."""
    import tensorflow as tf

    x = counts(4096, 96, share).reshape((64, 8, 8, 96) if around else (64, 64, 96))
    kernel = weights_of(9 * 96, 384).reshape(3, 3, 96, 384) if around else weights_of(96, 384)
    bias = weights_of(1, 384)[0]
    grad_output = weights_of(4096, 384, seed=3).reshape(*x.shape[:-1], 384)

    def both(x, kernel, bias, grad_output):
        with tf.GradientTape() as tape:
            tape.watch([x, kernel, bias])
            y = ops.convolve(x, kernel) if around else ops.linear(x, kernel, bias)
        given = (x, kernel) if around else (x, kernel, bias)
        return y, *tape.gradient(y, given, output_gradients=grad_output)

    def of(dtype):
        return [tf.cast(tf.convert_to_tensor(a), dtype) for a in (x, kernel, bias, grad_output)]

    found = (ops.jit(both) if compiled else both)(*of(kind))
    assert len(called) == 2 * times
    ops.use_reference()
    try:
        exact = both(*[tf.cast(a, "float32") for a in of(kind)])
    finally:
        ops.use_reference(False)
    near = 2e-2 if kind == "bfloat16" else 1e-5
    for a, b in zip(found, exact, strict=True):
        assert a.dtype == kind and a.shape == b.shape
        np.testing.assert_allclose(tf.cast(a, "float32"), b, rtol=near, atol=near * np.abs(b).max())


@pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow calls it")
def test_a_function_of_a_users_own_holds_no_call_into_python(called):
    import tensorflow as tf

    x, kernel = counts(4096, 384, 0.05), weights_of(384, 384)
    found = tf.function(ops.linear)(tf.constant(x), tf.constant(kernel))
    assert not called
    np.testing.assert_allclose(found, ops.linear(tf.constant(x), tf.constant(kernel)), rtol=1e-5, atol=1e-5)
    assert called == [(4096, 384)]


@pytest.mark.parametrize("outputs", [10, 128])
def test_sums_in_order_are_of_one_order_whatever_is_zero_beside(outputs):
    """A sparse product whatever the density: the same terms in a wider network are summed in the same order."""
    x, weights = counts(4096, 96, share=0.9), weights_of(96, outputs)
    zeros = np.zeros((4096, 160), "float32")
    beside = np.concatenate([x, zeros], 1), np.concatenate([weights, weights_of(160, outputs)], 0)
    with ops.ordered_sums():
        linear = ops.jit(lambda x, kernel: ops.linear(x, kernel, None))
        alone, wide_ = (to_numpy(linear(*map(keras.ops.convert_to_tensor, pair))) for pair in ((x, weights), beside))
    np.testing.assert_array_equal(alone, wide_)
    np.testing.assert_array_equal(alone, product(x, weights))
    assert not cpu_threads.ordered


@pytest.mark.parametrize("outputs", [1, 10, 40])
def test_outputs_that_fill_no_vectors(outputs):
    """The classifier's: only sums in order ask for them."""
    x, weights, bias = counts(130, 48), weights_of(48, outputs), weights_of(1, outputs)[0]
    out = np.full((130, outputs), np.nan, "float32")
    sparse.product(x, weights, out, 2, bias)
    np.testing.assert_allclose(out, x @ weights + bias, rtol=1e-5, atol=1e-5)
    image, kernel = x[:128].reshape(2, 8, 8, 48), weights[None, None]
    found = np.full((2, 8, 8, outputs), np.nan, "float32")
    sparse.convolve(image, kernel, found, 2)
    np.testing.assert_allclose(found, image @ weights, rtol=1e-5, atol=1e-5)
    gradient = sparse_gradient.kernel_gradient(image, found, (1, 1), 2)
    exact = x[:128].T.astype("float64") @ found.reshape(128, outputs)
    np.testing.assert_allclose(gradient[0, 0], exact, rtol=1e-5, atol=1e-5 * np.abs(exact).max())
