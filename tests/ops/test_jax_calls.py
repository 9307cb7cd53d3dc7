"""What JAX's programs call: the compiled loops, on XLA's own memory, and when they do not."""

import keras
import numpy as np
import pytest

if keras.backend.backend() != "jax":
    pytest.skip("jax alone", allow_module_level=True)

import jax
import jax.numpy as jnp

import kspike
from kspike import ops
from kspike.ops.cpu import kernels
from kspike.ops.jax import calls

CONFIG = kspike.SpikformerConfig(
    input_shape=(16, 16, 3), num_classes=4, timesteps=2, embed_dim=16, depth=1, num_heads=2
)
IMAGES = np.random.default_rng(0).random((3, 16, 16, 3)).astype("float32")


@pytest.fixture
def fired(monkeypatch):
    """Shapes of what the neurons' loops were called with."""
    assert calls.calls_loops()
    seen, original = [], kernels.fire
    monkeypatch.setattr(kernels, "fire", lambda x, *args, **kw: (seen.append(x.shape), original(x, *args, **kw)))
    return seen


def doubled(args, results):
    results[0][:] = 2 * args[0]
    results[1][...] = args[0].size


def double(x):
    return calls.call(doubled, "test", (x,), [(x.shape, x.dtype), ((), "int32")])


def test_a_program_calls_a_function_of_arrays():
    y, size = jax.jit(double)(jnp.arange(6, dtype="float32").reshape(2, 3))
    assert y.tolist() == [[0, 2, 4], [6, 8, 10]] and size == 6
    assert jax.vmap(lambda x: double(x)[0])(jnp.ones((2, 3))).tolist() == [[2, 2, 2]] * 2
    assert double(jnp.ones((0, 3)))[0].shape == (0, 3)


def test_bfloat16_comes_as_it_lies_in_memory():
    def bits(args, results):
        results[0][:] = args[0]

    x = jnp.asarray([1.0, -2.5, 3e38], "bfloat16")
    found = jax.jit(lambda x: calls.call(bits, "test", (x,), [(x.shape, x.dtype)])[0])(x)
    assert found.dtype == "bfloat16" and (found == x).all()


def test_what_a_function_raises_is_an_error_of_the_program():
    def failing(args, results):
        raise KeyError("so it is")

    with pytest.raises(Exception, match="KeyError: 'so it is'"):
        jax.jit(lambda x: calls.call(failing, "test", (x,), [((1,), "float32")])[0])(jnp.ones(1)).block_until_ready()
    assert double(jnp.ones(2))[0].tolist() == [2, 2]


def test_models_call_the_loops_and_the_reference_agrees(fired):
    model = kspike.Spikformer(CONFIG)
    quick = model.predict(IMAGES, verbose=0)
    assert len(fired) == 10
    with ops.portable():
        model.compile()
        np.testing.assert_allclose(model.predict(IMAGES, verbose=0), quick, atol=1e-5)
    assert len(fired) == 10 and not ops.uses_reference()


@pytest.mark.parametrize("batch", [None, 3])
def test_what_is_exported_calls_nothing_of_this_process(fired, batch, tmp_path):
    tf = pytest.importorskip("tensorflow")
    model = kspike.Spikformer(CONFIG)
    expected = model.predict(IMAGES, verbose=0)
    before = list(fired)
    signature = [keras.InputSpec(shape=(batch, 16, 16, 3), dtype="float32")]
    model.export(tmp_path / "exported", format="tf_saved_model", verbose=False, input_signature=signature)
    loaded = tf.saved_model.load(tmp_path / "exported")
    np.testing.assert_allclose(loaded.serve(IMAGES), expected, atol=1e-5)
    assert fired == before and not ops.uses_reference()


def test_sizes_that_are_symbols_are_not_taken(fired):
    (batch,) = jax.export.symbolic_shape("batch")
    exported = jax.export.export(jax.jit(lambda x: ops.lif(x, tau=2.0)))(jax.ShapeDtypeStruct((batch, 3, 4), "float32"))
    x = np.random.default_rng(0).normal(1.0, 1.0, (2, 3, 4)).astype("float32")
    found = exported.call(x)
    assert not fired
    np.testing.assert_array_equal(found, ops.lif(jnp.asarray(x), tau=2.0))
    assert fired


def test_a_jax_that_cannot_call_them_is_said_once_and_does_without(fired, monkeypatch):
    monkeypatch.setattr(jax.ffi, "register_ffi_target", lambda *_, **__: (_ for _ in ()).throw(RuntimeError("too old")))
    monkeypatch.setattr(calls, "_handlers", {})
    calls._works.cache_clear()
    x = np.random.default_rng(0).normal(1.0, 1.0, (2, 3, 4)).astype("float32")
    try:
        with pytest.warns(UserWarning, match="too old"):
            found = ops.lif(jnp.asarray(x), tau=2.0)
        ops.lif(jnp.asarray(x), tau=2.0)
        assert not fired and set(np.unique(found)) == {0.0, 1.0}
    finally:
        calls._works.cache_clear()
