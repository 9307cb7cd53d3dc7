"""Normalisation and neuron in one pass: what the two do one after the other, gradients included."""

import concurrent.futures
import functools
import importlib
import sys

import keras
import numpy as np
import pytest

from kspike import layers, ops
from kspike.ops import dispatch
from tests.helpers import BACKEND, pullback, run, to_numpy
from tests.ops.neurons import CASES, NEURON

pytestmark = pytest.mark.skipif(dispatch.backend.norm_lif is None, reason="this backend has no such pass")

LEARNED = {
    "one for all": (np.array([0.7], "float32"), {}),
    "one a channel": (np.linspace(0.1, 0.9, 7, dtype="float32"), {}),
    "input not divided": (np.linspace(0.1, 0.9, 7, dtype="float32"), {"decay_input": False, "v_reset": None}),
    "reset to another": (np.linspace(0.1, 0.9, 7, dtype="float32"), {"v_reset": -0.3, "detach_reset": False}),
}


def apart(x, gamma, beta, moments, **neuron):
    """The reference, in float32: one operation after the other."""
    ops.use_reference(True)
    try:
        if moments is None:
            y, mean, variance = ops.batch_norm(x, gamma, beta, 1e-5)
        else:
            mean, variance = moments
            y = (x - mean) * (gamma / keras.ops.sqrt(variance + 1e-5)) + beta
        return ops.lif(y, **neuron), mean, variance
    finally:
        ops.use_reference(False)


def inputs(shape, seed=0):
    rng = np.random.default_rng(seed)
    channels = shape[-1]
    return (
        rng.normal(1.0, 2.0, shape).astype("float32"),
        rng.uniform(0.5, 1.5, channels).astype("float32"),
        rng.uniform(-0.5, 1.0, channels).astype("float32"),
        rng.normal(size=shape).astype("float32"),
    )


def outcome(fn, x, gamma, beta, grad_output):
    """Spikes, statistics, and the gradients of x, gamma and beta."""
    out, gradients = pullback(fn, (x, gamma, beta), grad_output)
    return [*out, *gradients]


@pytest.mark.parametrize("stored", [False, True], ids=["batch", "stored"])
@pytest.mark.parametrize("case", CASES)
def test_it_is_what_the_two_do_apart(case, stored):
    neuron = {**NEURON, **CASES[case]}
    x, gamma, beta, grad_output = inputs((3, 4, 5, 2, 7))
    moments = None
    if stored:
        moments = tuple(keras.ops.convert_to_tensor(a) for a in (x.mean((0, 1, 2, 3)) + 0.1, x.var((0, 1, 2, 3)) * 2))
    together = functools.partial(ops.norm_lif, moments=moments, epsilon=1e-5, dtype="float32", **neuron)
    found = outcome(together, x, gamma, beta, grad_output)
    expected = outcome(functools.partial(apart, moments=moments, **neuron), x, gamma, beta, grad_output)
    assert 0.02 < expected[0].mean() < 0.98
    np.testing.assert_array_equal(found[0], expected[0])
    for a, b, atol in zip(found[1:], expected[1:], (1e-6, 1e-5, 1e-5, 1e-4, 1e-4), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=atol)


@pytest.mark.parametrize("case", LEARNED)
@pytest.mark.parametrize("normalised", [True, False])
def test_a_learned_time_constant(case, normalised):
    inverse, options = LEARNED[case]
    neuron = {**{k: v for k, v in NEURON.items() if k != "tau"}, "v_threshold": 0.6, **options}
    x, gamma, beta, grad_output = inputs((3, 4, 5, 2, 7))

    def gradients(reference):
        def fire(a, k, *affine):
            if reference and normalised:
                return apart(a, *affine, None, inverse_tau=k, **neuron)
            if normalised:
                return ops.norm_lif(a, *affine, None, 1e-5, dtype="float32", inverse_tau=k, **neuron)
            ops.use_reference(reference)
            try:
                return (ops.lif(a, inverse_tau=k, **neuron),)
            finally:
                ops.use_reference(False)

        out, found = pullback(fire, (x, inverse, gamma, beta)[: 4 if normalised else 2], grad_output)
        return found, out[0]

    (found, spikes), (expected, same) = gradients(False), gradients(True)
    assert 0.02 < same.mean() < 0.98
    np.testing.assert_array_equal(spikes, same)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(BACKEND == "torch", reason="runs eagerly, on slices of x")
@pytest.mark.parametrize("stored", [False, True], ids=["batch", "stored"])
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_under_a_time_mask_the_first_steps_alone_run(steps, stored):
    """Spikes, moments and gradients are those of the first steps; the others have none, and enter nothing."""
    x, gamma, beta, grad_output = inputs((3, 4, 5, 2, 7))
    moments = None
    if stored:
        moments = tuple(keras.ops.convert_to_tensor(np.full(7, a, "float32")) for a in (0.5, 2.0))
    pass_ = functools.partial(ops.norm_lif, moments=moments, epsilon=1e-5, dtype="float32", **NEURON)
    mask = keras.ops.convert_to_tensor((np.arange(4) < steps).astype("float32"))
    found = outcome(functools.partial(pass_, time_mask=mask), x, gamma, beta, grad_output)
    expected = outcome(pass_, x[:, :steps], gamma, beta, grad_output[:, :steps])
    assert expected[0].any()
    for a, b in zip(found, expected, strict=True):
        if a.ndim == 5:
            assert not a[:, steps:].any()
            a = a[:, :steps]
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 1, 3), (5, 3, 1, 1), (1, 16, 70, 33), (2, 2, 3, 3, 64)])
def test_odd_shapes(shape):
    x, gamma, beta, grad_output = inputs(shape)
    gamma = gamma * 3
    moments = tuple(keras.ops.convert_to_tensor(np.full(shape[-1], a, "float32")) for a in (0.5, 2.0))
    together = functools.partial(ops.norm_lif, moments=moments, epsilon=1e-5, dtype="float32", **NEURON)
    found = outcome(together, x, gamma, beta, grad_output)
    expected = outcome(functools.partial(apart, moments=moments, **NEURON), x, gamma, beta, grad_output)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(BACKEND != "torch", reason="arrays of the others are contiguous")
def test_memory_in_another_order():
    x, gamma, beta, grad_output = inputs((3, 4, 6, 5))
    turned = np.ascontiguousarray(x.transpose(3, 0, 2, 1)).transpose(1, 3, 2, 0)
    together = functools.partial(ops.norm_lif, moments=None, epsilon=1e-5, dtype="float32", **NEURON)
    for a, b in zip(
        outcome(together, turned, gamma, beta, grad_output), outcome(together, x, gamma, beta, grad_output), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_half_precision_is_computed_in_float32():
    """bfloat16 is how x comes and how spikes and gradients go; what lies between is float32."""
    x, gamma, beta, grad_output = inputs((4, 4, 9, 48))
    half = keras.ops.cast(keras.ops.convert_to_tensor(x), "bfloat16")
    exact = to_numpy(half)
    expected = outcome(functools.partial(apart, moments=None, **NEURON), exact, gamma, beta, grad_output)
    dtypes = []

    def fire(x, gamma, beta):
        out = ops.norm_lif(x, gamma, beta, None, 1e-5, dtype="bfloat16", **NEURON)
        dtypes.append(keras.backend.standardize_dtype(out[0].dtype))
        return out

    found = outcome(fire, half, gamma, beta, keras.ops.cast(grad_output, "bfloat16"))
    assert dtypes == ["bfloat16"]
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_allclose(found[3], expected[3], atol=0.02)
    np.testing.assert_allclose(found[4], expected[4], rtol=0.02, atol=0.3)


def test_no_images():
    x, gamma, beta, _ = inputs((3, 4, 5, 8))
    found = outcome(functools.partial(first_of, **NEURON), x[:0], gamma, beta, np.zeros((0, 4, 5, 8), "float32"))
    assert found[0].shape == found[3].shape == (0, 4, 5, 8)
    assert np.isfinite(np.concatenate([found[1], found[2], *found[4:]])).all()


def first_of(x, gamma, beta, **neuron):
    """The pass, or what layers do where there is none (torch, of no images)."""
    out = ops.norm_lif(x, gamma, beta, None, 1e-5, dtype="float32", **neuron)
    if out is not None:
        return out
    y, mean, variance = ops.batch_norm(x, gamma, beta, 1e-5)
    return ops.lif(y, **neuron), mean, variance


def test_the_moments_do_not_depend_on_the_number_of_threads_and_lose_no_digits():
    from kspike.ops.cpu import kernels

    x = np.random.default_rng(0).normal(50.0, 2.0, (70_001, 3)).astype("float32")
    found = [kernels.moments(x, threads) for threads in (1, 2, 5)]
    for mean, variance in found:
        np.testing.assert_array_equal(mean, found[0][0])
        np.testing.assert_array_equal(variance, found[0][1])
    np.testing.assert_allclose(found[0][0], x.astype("float64").mean(0), rtol=1e-8)
    np.testing.assert_allclose(found[0][1], x.astype("float64").var(0), rtol=1e-6)


@pytest.mark.parametrize("case", ["spikformer", "soft reset"])
def test_spikes_and_gradients_do_not_depend_on_the_number_of_threads(case):
    """Six chunks of work, for one, two and five threads; their sums are added in the chunks' order."""
    from kspike.ops.cpu import norm_lif

    x, gamma, beta, grad_output = inputs((8, 2, 64, 96))
    one = norm_lif.make_spec(**{**NEURON, **CASES[case]}, epsilon=1e-5, normalised=True, batch=True)
    none, found = np.empty(0, "float32"), []
    for threads in (1, 2, 5):
        spikes, grad = np.empty_like(x), np.empty_like(x)
        moments = norm_lif.forward(one, x, gamma, beta, none, none, none, spikes, threads)
        sums = norm_lif.backward(one, grad_output, x, gamma, beta, *moments, none, grad, threads)
        found.append([spikes, grad, *sums[:2]])
    assert 0.02 < found[0][0].mean() < 0.98
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_several_threads_of_a_program_may_call_it_at_once():
    x, gamma, beta, _ = inputs((8, 4, 64, 32))
    tensors = [keras.ops.convert_to_tensor(a) for a in (x, gamma, beta)]

    def once(_):
        return to_numpy(ops.norm_lif(*tensors, None, 1e-5, dtype="float32", **NEURON)[0])

    expected = once(0)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for found in pool.map(once, range(16)):
            np.testing.assert_array_equal(found, expected)


def test_layers_use_it_unless_somebody_listens(monkeypatch):
    calls = []
    original = dispatch.norm_lif

    def counted(*args, **kwargs):
        calls.append(1)
        return original(*args, **kwargs)

    monkeypatch.setattr("kspike.layers.norm.norm_lif", counted)
    mlp = layers.SpikingMLP(2.0)
    x = keras.ops.convert_to_tensor(np.random.default_rng(0).integers(0, 2, (2, 3, 4, 8)).astype("float32"))
    quick = run(mlp, x, training=True)
    assert len(calls) == 2
    seen = []
    own = mlp.fc1_neuron.call
    mlp.fc1_neuron.call = lambda x: seen.append(x) or own(x)
    slow = run(mlp, x, training=True)
    assert len(calls) == 3 and len(seen) == 1
    np.testing.assert_array_equal(slow, quick)


@pytest.mark.skipif(BACKEND != "torch", reason="the others have no hooks")
def test_a_hook_hears_what_the_neuron_is_given():
    mlp, seen = layers.SpikingMLP(2.0), []
    x = keras.ops.convert_to_tensor(np.random.default_rng(0).integers(0, 2, (2, 3, 4, 8)).astype("float32"))
    quick = run(mlp, x, training=True)
    mlp.fc1_neuron.register_forward_hook(lambda module, args, out: seen.append(out))
    np.testing.assert_array_equal(run(mlp, x, training=True), quick)
    assert len(seen) == 1


def test_without_numba_neurons_run_step_by_step_and_say_so_once(monkeypatch):
    from kspike.ops.cpu import norm_lif

    x = keras.ops.convert_to_tensor(np.random.default_rng(0).normal(1.0, 1.0, (2, 3, 4)).astype("float32"))
    expected = to_numpy(ops.lif(x, tau=2.0))
    monkeypatch.setitem(sys.modules, "numba", None)
    for module in ("kernels", "compiling", "neuron", "neuron_gradient", "moments"):
        monkeypatch.delitem(sys.modules, f"kspike.ops.cpu.{module}", raising=False)
        monkeypatch.delattr(f"kspike.ops.cpu.{module}", raising=False)
    norm_lif.kernels.cache_clear()
    try:
        with pytest.warns(UserWarning, match="pip install numba"):
            np.testing.assert_array_equal(to_numpy(ops.lif(x, tau=2.0)), expected)
        np.testing.assert_array_equal(to_numpy(ops.lif(x, tau=2.0)), expected)  # a second warning would be an error
        ops.use_reference(True)
        norm_lif.kernels.cache_clear()
        np.testing.assert_array_equal(to_numpy(ops.lif(x, tau=2.0)), expected)
    finally:
        ops.use_reference(False)
        norm_lif.kernels.cache_clear()


def test_loops_kept_on_the_disk_are_compiled_again_when_any_of_their_files_changes(tmp_path, monkeypatch):
    """numba would look at the function's own file alone, and go on with what it had from another."""
    from kspike.ops.cpu import compiling

    (tmp_path / "one.py").write_text("def one(x):\n    return x + 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    one = importlib.import_module("one").one

    def hits() -> int:
        loop = compiling.compiled(one)
        assert loop(1) == 2
        return sum(loop.stats.cache_hits.values())

    assert [hits(), hits()] == [0, 1]
    monkeypatch.setattr(compiling, "sources", lambda: "of another version")
    assert [hits(), hits()] == [0, 1]


@pytest.mark.once
def test_the_stamp_of_what_is_kept_is_of_every_file_beside(tmp_path, monkeypatch):
    from kspike.ops.cpu import compiling

    monkeypatch.setattr(compiling, "__file__", str(tmp_path / "compiling.py"))
    stamps = []
    for name, text in (("compiling.py", "1"), ("neuron.py", "1"), ("neuron.py", "2")):
        (tmp_path / name).write_text(text)
        stamps.append(compiling.sources.__wrapped__())
    assert len(set(stamps)) == 3


#: Elsewhere a network is four programs.
PROOF = () if BACKEND == "torch" else pytest.mark.proof


@pytest.mark.parametrize("residual", ["membrane", pytest.param("add", marks=PROOF)])
def test_a_whole_network_has_the_gradients_of_the_reference(residual):
    from kspike import Spikformer, SpikformerConfig
    from tests.helpers import wake, weight_gradients

    config = SpikformerConfig(
        input_shape=(8, 8, 3), timesteps=3, embed_dim=32, depth=1, num_heads=4, mlp_ratio=2.0, scale=1.0
    )
    x = np.random.default_rng(0).normal(0.5, 1.0, (4, 8, 8, 3)).astype("float32")
    model = wake(Spikformer(config.replace(residual=residual)))
    found, expected = {}, {}
    for gradients, reference in ((found, False), (expected, True)):
        ops.use_reference(reference)
        try:
            gradients.update(weight_gradients(model, x, lambda logits: keras.ops.sum(keras.ops.square(logits)))[1])
        finally:
            ops.use_reference(False)
    assert set(found) == set(expected)
    largest = max(np.abs(g).max() for g in expected.values())
    assert largest > 0
    for name, gradient in expected.items():
        np.testing.assert_allclose(found[name], gradient, rtol=1e-3, atol=1e-4 * largest)
