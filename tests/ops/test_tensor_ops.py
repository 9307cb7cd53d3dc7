"""The other operations: pooling, normalisation by the batch's moments, compiled functions over variables."""

import keras
import numpy as np
import pytest

from kspike import ops
from tests.helpers import BACKEND, input_gradient, narrow, run, to_numpy, wide


@pytest.fixture(params=[False, True], ids=["fast", "reference"])
def form(request):
    ops.use_reference(request.param)
    yield request.param
    ops.use_reference(False)


def both_forms(fn, x: np.ndarray, grad_output: np.ndarray) -> list:
    """(output, gradient) of the fast form and of the reference."""
    found = []
    for reference in (False, True):
        ops.use_reference(reference)
        try:
            found.append(input_gradient(fn, x, grad_output))
        finally:
            ops.use_reference(False)
    return found


def pooled(x: np.ndarray) -> np.ndarray:
    """The pool written out in NumPy."""
    n, h, w, c = x.shape
    padded = np.full((n, h + 2, w + 2, c), -np.inf, "float32")
    padded[:, 1:-1, 1:-1] = x
    rows = [
        [padded[:, i : i + 3, j : j + 3].max((1, 2)) for j in range(0, 2 * -(-w // 2), 2)]
        for i in range(0, 2 * -(-h // 2), 2)
    ]
    return np.stack([np.stack(row, 1) for row in rows], 1)


@pytest.mark.parametrize("shape", [(2, 8, 6, 3), (1, 7, 5, 1), (2, 1, 1, 2)])
def test_max_pool(shape, form):
    x = np.random.default_rng(0).normal(-5.0, 1.0, shape).astype("float32")  # negative: padding by zero would show
    out, grad = input_gradient(ops.max_pool, x, np.ones(pooled(x).shape, "float32"))
    np.testing.assert_array_equal(out, pooled(x))
    assert grad.sum() == out.size  # each window hands its gradient to one place


def test_max_pool_hands_the_gradient_of_equal_values_to_the_first(form):
    """Spikes tie all the time; PyTorch, and so the official code, takes the first in row order."""
    x = np.ones((1, 4, 4, 1), "float32")
    _, grad = input_gradient(ops.max_pool, x, np.array([[1, 2], [3, 4]], "float32").reshape(1, 2, 2, 1))
    expected = np.zeros((4, 4))
    # windows begin at rows and columns -1 and 1, of which -1 is padding
    expected[0, 0], expected[0, 1], expected[1, 0], expected[1, 1] = 1, 2, 3, 4
    np.testing.assert_array_equal(grad[0, :, :, 0], expected)


@pytest.mark.skipif(BACKEND != "torch", reason="of the compiled loops")
@pytest.mark.parametrize("shape", [(1, 5, 5, 2), (2, 4, 4, 3)])
def test_max_pool_of_nothing_but_minus_infinity_keeps_its_gradient_inside(shape):
    out, grad = input_gradient(ops.max_pool, np.full(shape, -np.inf, "float32"), np.ones(pooled(np.zeros(shape)).shape))
    assert np.isneginf(out).all() and grad.sum() == out.size


@pytest.mark.parametrize("shape", [(2, 8, 6, 3), (3, 7, 5, 2), (1, 1, 3, 1), (0, 4, 4, 2), (2, 6, 7, 40)])
def test_the_fast_pool_is_the_references_on_spikes_and_on_no_images(shape):
    rng = np.random.default_rng(0)
    x = (rng.random(shape) < 0.3).astype("float32")
    grad_output = rng.normal(size=(shape[0], -(-shape[1] // 2), -(-shape[2] // 2), shape[3])).astype("float32")
    for fast, plain in zip(*both_forms(ops.max_pool, x, grad_output), strict=True):
        np.testing.assert_allclose(fast, plain, rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [(3, 3), (1, 1), (2, 5)])
@pytest.mark.parametrize("shape", [(3, 6, 5, 4), (1, 1, 2, 3), (0, 4, 4, 2)])
def test_convolve_and_both_its_gradients(shape, size):
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape).astype("float32")
    kernel = rng.normal(size=(*size, shape[-1], 6)).astype("float32")
    grad_output = rng.normal(size=(*shape[:-1], 6)).astype("float32")
    by_x = both_forms(lambda x: ops.convolve(x, keras.ops.convert_to_tensor(kernel)), x, grad_output)
    by_kernel = both_forms(lambda k: ops.convolve(keras.ops.convert_to_tensor(x), k), kernel, grad_output)
    for fast, plain in [*zip(*by_x, strict=True), *zip(*by_kernel, strict=True)]:
        assert fast.shape == plain.shape
        np.testing.assert_allclose(fast, plain, rtol=0, atol=2e-5)


# jax has no float64 unless told
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"] + ["float64"] * (BACKEND != "jax"))
@pytest.mark.parametrize("shape", [(3, 2, 5, 7), (4, 7), (0, 2, 5, 7), (1, 1, 1, 7)])
def test_linear_and_all_its_gradients(shape, dtype):
    rng = np.random.default_rng(0)
    given = {"x": rng.normal(size=shape), "kernel": rng.normal(size=(7, 3)), "bias": rng.normal(size=3)}
    given = {name: value.astype("float32") for name, value in given.items()}
    grad_output = rng.normal(size=(*shape[:-1], 3)).astype("float32")
    for name in given:

        def product(value, name=name):
            parts = {**{k: keras.ops.convert_to_tensor(v) for k, v in given.items()}, name: value}
            y = ops.linear(**{k: keras.ops.cast(v, dtype) for k, v in parts.items()})
            assert keras.backend.standardize_dtype(y.dtype) == dtype
            return keras.ops.cast(y, "float32")

        for fast, plain in zip(*both_forms(product, given[name], grad_output), strict=True):
            np.testing.assert_allclose(fast, plain, rtol=0, atol=0.1 if dtype == "bfloat16" else 1e-5)


def test_linear_takes_a_transposed_input_and_no_bias(form):
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(6, 3, 4)).astype("float32"), rng.normal(size=(6, 5)).astype("float32")
    out = run(lambda x: ops.linear(keras.ops.transpose(x, (2, 1, 0)), keras.ops.convert_to_tensor(kernel)), x)
    np.testing.assert_allclose(out, x.transpose(2, 1, 0) @ kernel, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "shape",
    [(2, 3, 9, 2, 4), (1, 1, 3, 1, 5), (0, 2, 9, 2, 4), (2, 1, 33, 1, 28), (1, 2, 8, 3, 20), (2, 1, 6, 2, 12)],
)
def test_attend_and_its_gradients(shape, dtype):
    """With more tokens than channels in a head and with fewer, on parts of one tensor, as SSA takes them.

    28 channels are vectors of 16, 8 and 4; 9, 33 and 6 tokens are not taken four at a time to the end.
    """
    rng = np.random.default_rng(0)
    spikes = (rng.random((*shape[:3], 3, *shape[3:])) < 0.4).astype("float32")
    grad_output = rng.normal(size=(*shape[:3], shape[3] * shape[4])).astype("float32")

    def attended(x):
        q, k, v = (keras.ops.cast(x[:, :, :, i], dtype) for i in range(3))
        return ops.attend(q, k, v)

    (fast, fast_gradient), (plain, plain_gradient) = both_forms(attended, spikes, grad_output)
    q, k, v = (spikes[:, :, :, i] for i in range(3))
    expected = np.einsum("btnhd,btmhd,btmhe->btnhe", q, k, v).reshape(fast.shape)
    np.testing.assert_array_equal(fast, expected)
    np.testing.assert_array_equal(plain, expected)
    largest = np.abs(plain_gradient).max(initial=0.1)
    np.testing.assert_allclose(
        fast_gradient, plain_gradient, rtol=0, atol=(1e-6 if dtype == "float32" else 0.01) * largest
    )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("tokens", "dims", "active"), [(9, (3, 4, 8), 12), (5, (2, 6), 12), (3, (5,), 10)])
def test_heads_of_a_width_picked_by_an_index_attend_as_heads_of_that_width(tokens, dims, active, dtype):
    """Twelve channels, which 8 and 5 do not divide: what lies beyond the active ones is zero, as in a supernet."""
    rng = np.random.default_rng(0)
    spikes = (rng.random((2, 3, tokens, 3, 12)) < 0.4).astype("float32")
    grad_output = rng.normal(size=(2, 3, tokens, 12)).astype("float32")

    for index, dim in enumerate(dims):
        size = active // dim * dim
        spikes[..., size:] = grad_output[..., size:] = 0

        def chosen(x, index=index):
            q, k, v = (keras.ops.cast(x[:, :, :, i], dtype) for i in range(3))
            return ops.attend_chosen(q, k, v, dims, keras.ops.convert_to_tensor(index, dtype="int32"))

        def alone(x, size=size, dim=dim):
            q, k, v = (keras.ops.reshape(x[:, :, :, i, :size], (2, 3, tokens, -1, dim)) for i in range(3))
            return keras.ops.pad(ops.attend(q, k, v), [(0, 0)] * 3 + [(0, 12 - size)])

        expected, gradient = input_gradient(alone, spikes, grad_output)
        for out, found in both_forms(chosen, spikes, grad_output):
            np.testing.assert_array_equal(out, expected)
            atol = (1e-6 if dtype == "float32" else 0.01) * np.abs(gradient).max()
            np.testing.assert_allclose(found[..., :size], gradient[..., :size], rtol=0, atol=atol)


@pytest.mark.parametrize("chosen", [False, True])
@pytest.mark.parametrize("tokens", [3, 33])
def test_values_may_have_more_channels_than_queries_and_keys(tokens, chosen):
    """Heads of 4 channels, of 12 in v; with k^T v first (33 tokens) and with q k^T first."""
    rng = np.random.default_rng(0)
    x = (rng.random((2, 2, tokens, 2, 4 + 4 + 12)) < 0.4).astype("float32")
    grad_output = rng.normal(size=(2, 2, tokens, 24)).astype("float32")

    def attended(x):
        parts = x[..., :4], x[..., 4:8], x[..., 8:]
        if not chosen:
            return ops.attend(*parts)
        parts = (keras.ops.reshape(a, (2, 2, tokens, -1)) for a in parts)
        return ops.attend_chosen(*parts, (2, 4), keras.ops.convert_to_tensor(1, dtype="int32"))

    q, k, v = np.split(x, [4, 8], axis=-1)
    upstream = grad_output.reshape(v.shape)
    scores = np.einsum("btnhd,btmhd->bthnm", q, k)
    of_scores = np.einsum("btnhe,btmhe->bthnm", upstream, v)
    gradient = np.concatenate(
        [
            np.einsum("bthnm,btmhd->btnhd", of_scores, k),
            np.einsum("bthnm,btnhd->btmhd", of_scores, q),
            np.einsum("bthnm,btnhe->btmhe", scores, upstream),
        ],
        axis=-1,
    )
    for out, found in both_forms(attended, x, grad_output):
        np.testing.assert_array_equal(out, np.einsum("bthnm,btmhe->btnhe", scores, v).reshape(out.shape))
        np.testing.assert_allclose(found, gradient, rtol=0, atol=1e-5 * np.abs(gradient).max())


@pytest.mark.skipif(BACKEND == "jax", reason="of the compiled loops")
@pytest.mark.parametrize(("dim", "compiled"), [(4, True), (12, True), (10, False)])
def test_attention_runs_in_the_loops_where_heads_are_whole_vectors(dim, compiled, monkeypatch):
    from kspike.ops.cpu import attention

    called, own = [], attention.attend
    monkeypatch.setattr(attention, "attend", lambda *args: called.append(1) or own(*args))
    q = keras.ops.ones((2, 3, 16, 2, dim))
    ops.attend(q, q, q)
    ops.use_reference(True)
    try:
        ops.attend(q, q, q)
    finally:
        ops.use_reference(False)
    assert len(called) == compiled


@pytest.mark.skipif(BACKEND != "torch", reason="of the compiled loops")
@pytest.mark.parametrize(("tokens", "dim"), [(64, 16), (16, 32)])
def test_attention_does_not_depend_on_the_number_of_threads(tokens, dim):
    from kspike.ops.cpu import attention

    rng = np.random.default_rng(0)
    size, found = 96 * tokens * 2 * dim, []
    parts = [((rng.random(size) < 0.3).astype("float32"), 2 * dim) for _ in range(3)]
    grad_output = rng.normal(size=size).astype("float32")
    for threads in (1, 2, 5):
        out = [np.full(size, np.nan, "float32") for _ in range(4)]
        attention.attend(*parts, tokens, 2, dim, out[0], threads)
        attention.attend_backward(*parts, tokens, 2, dim, grad_output, tuple(out[1:]), threads)
        found.append(out)
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)


@pytest.mark.parametrize("mean", [0.0, 50.0])
def test_batch_norm_moments_are_those_of_float64(mean, form):
    """Rounding in the moments flips spikes: sums of 40,000 rows must not lose digits, nor an offset cancel them."""
    rng = np.random.default_rng(0)
    x = rng.normal(mean, 2.0, (4, 2, 5000, 3)).astype("float32")
    gamma, beta = np.array([1.0, 0.5, 2.0], "float32"), np.array([0.0, 1.0, -1.0], "float32")
    grad_output = rng.normal(size=x.shape).astype("float32")
    moments = {}

    def normalise(x):
        y, moments["mean"], moments["variance"] = ops.batch_norm(
            x, keras.ops.convert_to_tensor(gamma), keras.ops.convert_to_tensor(beta), 1e-5
        )
        if BACKEND == "jax":
            moments.clear()  # tracers
        return y

    y, grad = input_gradient(normalise, x, grad_output)
    x64 = x.astype("float64")
    m, v = x64.mean((0, 1, 2)), x64.var((0, 1, 2))
    inverse = 1 / np.sqrt(v + 1e-5)
    xhat = (x64 - m) * inverse
    np.testing.assert_allclose(y, xhat * gamma + beta, rtol=0, atol=1e-5 if mean == 0 else 1e-4)
    u = grad_output * gamma
    expected = inverse * (u - u.mean((0, 1, 2)) - xhat * (u * xhat).mean((0, 1, 2)))
    np.testing.assert_allclose(grad, expected, rtol=0, atol=1e-5 if mean == 0 else 1e-4)
    if moments:
        np.testing.assert_allclose(to_numpy(moments["mean"]), m, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(to_numpy(moments["variance"]), v, rtol=1e-5)


def test_batch_norm_of_bfloat16_is_that_of_float32_rounded_once(form):
    rng = np.random.default_rng(0)
    x, grad_output = (wide(narrow(rng.normal(1.0, 3.0, (4, 2, 50, 48)).astype("float32"))) for _ in range(2))
    gamma, beta = (keras.ops.convert_to_tensor(rng.normal(size=48).astype("float32")) for _ in range(2))

    def normalise(x, dtype):
        return keras.ops.cast(ops.batch_norm(keras.ops.cast(x, dtype), gamma, beta, 1e-5)[0], "float32")

    full, short = (input_gradient(lambda x, d=d: normalise(x, d), x, grad_output) for d in ("float32", "bfloat16"))
    for expected, found in zip(full, short, strict=True):
        np.testing.assert_allclose(found, expected, rtol=2.0**-8, atol=1e-6)  # half a unit of the last place


def test_batch_norm_of_a_constant(form):
    ones, zeros = keras.ops.ones(2), keras.ops.zeros(2)
    out = run(lambda x: ops.batch_norm(x, ones, zeros, 1e-5)[0], np.full((3, 2, 2), 7.0, "float32"))
    np.testing.assert_allclose(out, 0.0, atol=1e-3)


def test_jit_reads_and_assigns_variables_and_compiles_once():
    factor = keras.Variable(np.float32(2.0))
    count = keras.Variable(np.zeros((), "int32"), trainable=False, dtype="int32")

    def fn(x):
        count.assign(count + 1)
        return {"y": x * factor, "n": [count + 0]}

    compiled = ops.jit(fn, [factor, count])
    before = ops.compilation_counter()
    x = np.array([1.0, 2.0], "float32")
    first = compiled(x)
    np.testing.assert_array_equal(to_numpy(first["y"]), [2, 4])
    factor.assign(3.0)
    second = compiled(x)
    np.testing.assert_array_equal(to_numpy(second["y"]), [3, 6])
    assert int(to_numpy(second["n"][0])) == 2
    assert int(to_numpy(count)) == 2
    traced = ops.compilation_counter() - before
    assert traced == (0 if BACKEND == "torch" else 1)


@pytest.mark.parametrize("side, strides", [(3, (2, 2)), (7, (4, 4)), (3, (1, 1)), (1, (2, 2))])
def test_convolutions_without_zeros_around_and_both_their_gradients(side, strides):
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(2, 9, 8, 4)).astype("float32"), rng.normal(size=(side, side, 4, 6)).astype("float32")
    wide, tensor = kernel[..., :1], keras.ops.convert_to_tensor
    out = [(size - side) // stride + 1 for size, stride in zip((9, 8), strides, strict=True)]
    for form, weights, channels in ((ops.convolve_inside, kernel, 6), (ops.depthwise, wide, 4)):
        grad_output = rng.normal(size=(2, *out, channels)).astype("float32")
        by_x = both_forms(lambda x, f=form, w=weights: f(x, tensor(w), strides), x, grad_output)
        by_kernel = both_forms(lambda k, f=form: f(tensor(x), k, strides), weights, grad_output)
        for fast, plain in [*zip(*by_x, strict=True), *zip(*by_kernel, strict=True)]:
            assert fast.shape == plain.shape
            np.testing.assert_allclose(fast, plain, rtol=0, atol=5e-5)


@pytest.mark.parametrize("side", [2, 3, 5])
def test_depthwise_convolution_that_keeps_height_and_width(side):
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(2, 5, 4, 3)).astype("float32"), rng.normal(size=(side, side, 3, 1)).astype("float32")
    form = lambda x: ops.depthwise(x, keras.ops.convert_to_tensor(kernel), padding="same")
    for fast, plain in zip(*both_forms(form, x, rng.normal(size=x.shape).astype("float32")), strict=True):
        np.testing.assert_allclose(fast, plain, rtol=0, atol=2e-5)


def test_a_convolution_in_a_branch_is_that_outside():
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(2, 5, 4, 3)).astype("float32"), rng.normal(size=(3, 3, 3, 6)).astype("float32")

    def inside(x):
        with ops.branch():
            return ops.convolve(x, keras.ops.convert_to_tensor(kernel))

    grad_output = rng.normal(size=(2, 5, 4, 6)).astype("float32")
    for fast, plain in zip(*both_forms(inside, x, grad_output), strict=True):
        np.testing.assert_allclose(fast, plain, rtol=0, atol=2e-5)
