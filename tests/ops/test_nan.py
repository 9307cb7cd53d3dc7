"""NaN goes through every operation's forward pass: where it is, everywhere it reaches, and nowhere else."""

import functools

import keras
import numpy as np
import pytest

from kspike import layers, ops
from tests.helpers import BACKEND, compiled, eager, to_numpy
from tests.ops.neurons import CASES, NEURON

NAN = float("nan")
NEURONS = ("spikformer", "soft reset", "reset to another", "input not divided")


@pytest.fixture(params=[False, True], ids=["fast", "reference"])
def form(request):
    ops.use_reference(request.param)
    yield request.param
    ops.use_reference(False)


def ways():
    """Eager, and as a user's own compiled code has it; torch has the former alone."""
    return [
        pytest.param(lambda fn: fn, id="eager"),
        *([] if BACKEND == "torch" else [pytest.param(compiled, id="xla")]),
    ]


def found(fn, x, dtype="float32"):
    with eager():
        return to_numpy(fn(keras.ops.cast(keras.ops.convert_to_tensor(x), dtype)))


@pytest.mark.parametrize("compile_", ways())
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("case", NEURONS)
def test_a_potential_that_is_nan_makes_spikes_that_are_from_its_step_on(case, dtype, compile_, form):
    fire = compile_(functools.partial(ops.lif, **{**NEURON, **CASES[case]}))
    x = np.random.default_rng(0).normal(1.0, 1.0, (3, 4, 5, 6)).astype("float32")
    whole = found(fire, x, dtype)
    assert set(np.unique(whole)) == {0.0, 1.0}
    x[1, 1, 2, 3] = NAN
    whole[1, 1:, 2, 3] = NAN
    np.testing.assert_array_equal(found(fire, x, dtype), whole)


def test_a_learned_time_constant_and_a_start_keep_nan_too(form):
    x = np.random.default_rng(0).normal(1.0, 1.0, (2, 3, 4)).astype("float32")
    x[0, 1, 2] = NAN
    fire = functools.partial(ops.lif, inverse_tau=keras.ops.convert_to_tensor([0.3, 0.4, 0.5, 0.6]))
    assert np.argwhere(np.isnan(found(fire, x))).tolist() == [[0, 1, 2], [0, 2, 2]]
    onwards = functools.partial(ops.lif, tau=2.0, v=0.0)
    spikes, v = (found(lambda x, i=i: onwards(x)[i], x) for i in range(2))
    assert np.isnan(spikes[0, 1:, 2]).all() and np.isnan(spikes).sum() == 2
    assert np.isnan(v).tolist() == [[False, False, True, False], [False] * 4]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_normalisation_with_the_neuron_after_it_keeps_nan(dtype, form):
    """By stored moments where it is; by the batch's own in its whole channel."""
    x = np.random.default_rng(0).normal(1.0, 1.0, (2, 3, 4, 5)).astype("float32")
    x[0, 1, 2, 3] = NAN
    norm, neuron = layers.BatchNorm(dtype=dtype), layers.LIF(dtype=dtype)
    norm.build(x.shape)
    stored = found(lambda x: norm.then_fire(neuron, x, training=False), x, dtype)
    assert np.argwhere(np.isnan(stored)).tolist() == [[0, 1, 2, 3], [0, 2, 2, 3]]
    trained = found(lambda x: norm.then_fire(neuron, x, training=True), x, dtype)
    for every in (np.all, np.any):
        assert every(np.isnan(trained), (0, 1, 2)).tolist() == [False, False, False, True, False]


@pytest.mark.parametrize("compile_", ways())
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("channels", [1, 5])
def test_the_pool_gives_nan_for_every_window_that_holds_one(channels, dtype, compile_, form):
    pool = compile_(ops.max_pool)
    spikes = np.random.default_rng(0).integers(0, 2, (1, 6, 7, channels)).astype("float32")
    for row, column in np.ndindex(6, 7):
        x = spikes.copy()
        x[0, row, column, -1] = NAN
        near = [[abs(row - 2 * i) < 2 and abs(column - 2 * j) < 2 for j in range(4)] for i in range(3)]
        y = found(pool, x, dtype)
        assert np.isnan(y[0, :, :, -1]).tolist() == near
        assert np.isnan(y).sum() == np.sum(near)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kernel", [(80, 32), (3, 3, 80, 32)], ids=["product", "convolution"])
def test_products_count_a_spike_that_is_nan_as_one(kernel, dtype, form):
    x = (np.random.default_rng(0).random((2, 4, 4, 80)) < 0.1).astype("float32")
    x[0, 0, 0, 77] = NAN
    weights = np.random.default_rng(1).normal(size=kernel).astype("float32")

    def product(x):
        with ops.ordered_sums():  # by the loops over what is not 0
            return (ops.linear if len(kernel) == 2 else ops.convolve)(x, keras.ops.convert_to_tensor(weights, x.dtype))

    near = np.zeros((2, 4, 4), bool)
    near[(0, 0, 0) if len(kernel) == 2 else (0, slice(2), slice(2))] = True
    y = np.isnan(found(product, x, dtype))
    assert (y.all(-1) == near).all() and (y.any(-1) == near).all()


@pytest.mark.parametrize("tokens", [4, 32], ids=["queries and keys first", "keys and values first"])
def test_attention_keeps_nan_in_its_frame_and_head(tokens, form):
    x = np.random.default_rng(0).integers(0, 2, (3, 2, 2, tokens, 2, 8)).astype("float32")
    for part in range(3):
        bad = x.copy()
        bad[part, 1, 0, 1, 1, 2] = NAN
        y = np.isnan(found(lambda x: ops.attend(x[0], x[1], x[2]), bad))
        assert y[1, 0, :, 8:].any() and y.sum() == y[1, 0, :, 8:].sum()
