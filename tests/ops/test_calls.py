"""Where TensorFlow calls compiled loops: in Keras' steps and in `ops.jit`, not in what XLA compiles or a file keeps."""

import keras
import numpy as np
import pytest

from kspike import Spikformer, SpikformerConfig, ops
from kspike.ops.cpu import norm_lif
from tests.helpers import BACKEND, wake

pytestmark = pytest.mark.skipif(BACKEND != "tensorflow", reason="of TensorFlow's graphs")

TINY = SpikformerConfig(input_shape=(8, 8, 3), timesteps=2, embed_dim=32, depth=1, num_heads=4, num_classes=3)
IMAGES = np.random.default_rng(0).normal(0.5, 1.0, (4, 8, 8, 3)).astype("float32")
LABELS = np.arange(4) % 3


@pytest.fixture
def calls(monkeypatch):
    """How often loops ran forward and backward."""
    counts = {"forward": 0, "backward": 0}

    def counted(name):
        original = getattr(norm_lif, name)

        def fn(*args, **kwargs):
            counts[name] += 1
            return original(*args, **kwargs)

        return fn

    for name in counts:
        monkeypatch.setattr(norm_lif, name, counted(name))
    return counts


def compiled(jit_compile="auto", **kwargs):
    model = wake(Spikformer(TINY))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, jit_compile=jit_compile, **kwargs)
    return model


@pytest.mark.parametrize("how", [{}, {"run_eagerly": True}, {"steps_per_execution": 2}], ids=str)
def test_fit_evaluate_and_predict_call_them(calls, how):
    model, neurons = compiled(**how), 10
    model.fit(IMAGES, LABELS, batch_size=2, verbose=0)
    assert calls == {"forward": 2 * neurons, "backward": 2 * neurons}
    model.evaluate(IMAGES, LABELS, batch_size=2, verbose=0)
    assert calls["forward"] == 4 * neurons
    quick = model.predict(IMAGES, batch_size=2, verbose=0)
    assert calls["forward"] == 6 * neurons
    ops.use_reference(True)
    try:
        model.compile(jit_compile=False)
        np.testing.assert_allclose(model.predict(IMAGES, verbose=0), quick, atol=1e-5)
    finally:
        ops.use_reference(False)
    assert calls["forward"] == 6 * neurons


def test_a_step_that_xla_compiles_does_not(calls):
    model = compiled(jit_compile=True)
    model.predict_on_batch(IMAGES)
    assert calls == {"forward": 0, "backward": 0}


def test_what_is_saved_calls_nothing_of_this_process(calls, tmp_path):
    import tensorflow as tf

    model = compiled()
    expected = model.predict(IMAGES, verbose=0)
    before = dict(calls)
    model.export(tmp_path / "exported", format="tf_saved_model", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "exported")
    np.testing.assert_allclose(loaded.serve(IMAGES), expected, atol=1e-5)
    graph = loaded.signatures["serving_default"].graph.as_graph_def()
    kinds = {node.op for f in graph.library.function for node in f.node_def} | {node.op for node in graph.node}
    assert not {kind for kind in kinds if "PyFunc" in kind}
    assert calls == before


def test_a_function_of_a_users_own_does_not(calls):
    import tensorflow as tf

    model = compiled()
    tf.function(model)(IMAGES)
    assert calls["forward"] == 0
    model(IMAGES)
    assert calls["forward"] > 0


def test_a_time_constant_and_a_threshold_that_are_tensors(calls):
    """A supernet's are chosen by its genome: they are known when the graph runs, and one graph serves them all."""
    tau, threshold = keras.Variable(np.float32(2.0)), keras.Variable(np.float32(1.0))
    x = np.random.default_rng(0).normal(1.0, 1.0, (2, 3, 4)).astype("float32")
    chosen = lambda: {"tau": keras.ops.convert_to_tensor(tau), "v_threshold": keras.ops.convert_to_tensor(threshold)}
    fire = ops.jit(lambda x: ops.lif(x, **chosen()), [tau, threshold])
    before = ops.compilation_counter()
    for values in ((2.0, 1.0), (1.25, 0.6)):
        tau.assign(np.float32(values[0]))
        threshold.assign(np.float32(values[1]))
        calls["forward"] = 0
        found = fire(x)
        assert calls["forward"] == 1
        np.testing.assert_array_equal(found, ops.lif(x, tau=values[0], v_threshold=values[1]))
        assert 0 < np.mean(found) < 1
    assert ops.compilation_counter() == before + 1
