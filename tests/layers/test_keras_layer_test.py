"""Keras' own layer test for every public layer, all its checks on; and half precision where that test leaves it out."""

import keras
import numpy as np
import pytest
from absl.testing import parameterized
from keras.src import testing

from kspike import layers
from tests.helpers import BACKEND, run, to_numpy, wake

TOKENS = (2, 2, 5, 8)  # batch, time, tokens, channels
FRAMES = (2, 2, 8, 8, 2)
SMALL = {"num_heads": 2, "mlp_ratio": 2.0}

# name: (class, arguments, input shape, output shape, trainable weights, non-trainable weights)
LAYERS = {
    "lif": (layers.LIF, {}, (2, 3, 4), (2, 3, 4), 0, 0),
    "lif_soft": (
        layers.LIF,
        {
            "tau": 3,
            "v_threshold": 0.5,
            "v_reset": None,
            "decay_input": False,
            "detach_reset": False,
            "surrogate": "atan",
        },
        (2, 3, 4),
        (2, 3, 4),
        0,
        0,
    ),
    "lif_images": (layers.LIF, {"v_reset": -0.3}, (2, 1, 3, 3, 2), (2, 1, 3, 3, 2), 0, 0),
    "plif": (layers.PLIF, {}, (2, 3, 4), (2, 3, 4), 1, 0),
    "plif_groups": (layers.PLIF, {"init_tau": 3.0, "groups": 3, "v_reset": None}, (2, 3, 6), (2, 3, 6), 1, 0),
    "batch_norm": (layers.BatchNorm, {}, (2, 3, 4), (2, 3, 4), 2, 2),
    "direct_encoding": (layers.DirectEncoding, {"timesteps": 3}, (2, 4, 4, 1), (2, 3, 4, 4, 1), 0, 0),
    "rate_decoding": (layers.RateDecoding, {}, TOKENS, (2, 8), 0, 0),
    "sps": (layers.SPS, {"embed_dim": 8}, FRAMES, (2, 2, 4, 8), 15, 10),
    "sps_membrane_plif": (
        layers.SPS,
        {
            "embed_dim": 8,
            "channels": (2, 3, 4),
            "pool": (True, True, True, False),
            "residual": "membrane",
            "neuron": "plif",
        },
        FRAMES,
        (2, 2, 1, 8),
        18,
        10,
    ),
    "ssa": (layers.SSA, {"num_heads": 2}, TOKENS, TOKENS, 8, 4),
    "ssa_more_tokens_than_channels": (layers.SSA, {"num_heads": 4, "qkv_bias": False}, TOKENS, TOKENS, 7, 4),
    "ssa_membrane_plif": (
        layers.SSA,
        {"num_heads": 2, "residual": "membrane", "neuron": "plif", "v_threshold": {"attention": 0.3}},
        TOKENS,
        TOKENS,
        11,
        4,
    ),
    "neuron": (layers.Neuron, {"neuron": "if"}, (2, 3, 4), (2, 3, 4), 0, 0),
    "component": (layers.Component, {"component": "token_qk", "num_heads": 2}, TOKENS, TOKENS, 8, 4),
    "mlp": (layers.SpikingMLP, {"mlp_ratio": 2.0}, TOKENS, TOKENS, 8, 4),
    "mlp_hidden": (layers.SpikingMLP, {"hidden_dim": 5, "use_bias": False, "neuron": "plif"}, TOKENS, TOKENS, 8, 4),
    "mlp_membrane": (layers.SpikingMLP, {"mlp_ratio": 1.5, "residual": "membrane"}, TOKENS, TOKENS, 8, 4),
    "conv2d": (layers.Conv2D, {"filters": 3, "kernel_size": 3, "padding": "same"}, FRAMES, (2, 2, 8, 8, 3), 2, 0),
    "depthwise": (layers.DepthwiseConv2D, {"kernel_size": 3, "strides": 2}, FRAMES, (2, 2, 3, 3, 2), 2, 0),
    "dense": (layers.Dense, {"units": 3}, (2, 3, 4), (2, 3, 3), 2, 0),
    "max_pool": (layers.MaxPool2D, {"pool_size": (2, 3)}, FRAMES, (2, 2, 4, 2, 2), 0, 0),
    "average_pool": (layers.AveragePool2D, {"strides": 3, "padding": "same"}, FRAMES, (2, 2, 3, 3, 2), 0, 0),
    "global_average_pool": (layers.GlobalAveragePool2D, {"keepdims": True}, FRAMES, (2, 2, 1, 1, 2), 0, 0),
    "block": (layers.SpikformerBlock, SMALL, TOKENS, TOKENS, 16, 8),
    "block_membrane": (
        layers.SpikformerBlock,
        {**SMALL, "residual": "membrane", "neuron": "plif", "tau": {"qkv": 1.5, "fc1": 3.0}, "surrogate": "atan"},
        TOKENS,
        TOKENS,
        21,
        8,
    ),
}


#: Every public layer once, each variant somewhere: each costs a backend that compiles several seconds.
PUBLIC = (
    "lif_soft",
    "plif_groups",
    "batch_norm",
    "direct_encoding",
    "rate_decoding",
    "neuron",
    "component",
    "conv2d",
    "sps",
    "ssa",
    "mlp_hidden",
    "block_membrane",
)


#: Keras' own over time, of which "conv2d" above stands for all on every backend.
OVER_TIME = ("depthwise", "dense", "max_pool", "average_pool", "global_average_pool")


class LayerTest(testing.TestCase):
    def check(self, name):
        layer_cls, arguments, input_shape, output_shape, trainable, non_trainable = LAYERS[name]
        self.run_layer_test(
            layer_cls,
            init_kwargs=arguments,
            input_shape=input_shape,
            expected_output_shape=output_shape,
            expected_num_trainable_weights=trainable,
            expected_num_non_trainable_weights=non_trainable,
            expected_num_seed_generators=0,
            expected_num_losses=0,
            expected_output_dtype="float32",
        )


class KerasLayerTest(LayerTest):
    @parameterized.named_parameters((name, name) for name in PUBLIC)
    def test_keras_layer_test(self, name):
        self.check(name)


@pytest.mark.shared
class KerasLayerTestOverTime(LayerTest):
    @parameterized.named_parameters((name, name) for name in OVER_TIME)
    def test_keras_layer_test(self, name):
        self.check(name)


def test_every_public_layer_is_tested():
    assert {LAYERS[name][0] for name in (*PUBLIC, *OVER_TIME)} == {getattr(layers, name) for name in layers.__all__}


@pytest.mark.parametrize("name", LAYERS)
def test_weights_shapes_and_configuration(name):
    layer_cls, arguments, input_shape, output_shape, trainable, non_trainable = LAYERS[name]
    layer = layer_cls(**arguments)
    layer.build(input_shape)
    assert len(layer.trainable_weights) == trainable
    assert len(layer.non_trainable_weights) == non_trainable
    assert tuple(layer.compute_output_shape((None, *input_shape[1:]))) == (None, *output_shape[1:])
    testing.TestCase().run_class_serialization_test(layer_cls(**arguments))


def spread(name: str) -> np.ndarray:
    return np.random.default_rng(0).normal(0.5, 1.0, LAYERS[name][2]).astype("float32")


#: Each layer class once, with what is special about it: compiling every variant on every backend would take minutes.
EACH = ("lif", "plif_groups", "conv2d", "batch_norm", "direct_encoding", "rate_decoding", "sps", "block_membrane")
SPIKING = ("lif", "plif_groups", "sps", "block")
POLICIES = ["mixed_bfloat16"]
if BACKEND != "jax":  # which has no float64 unless it is switched on for the whole process
    POLICIES.append("float64")
if BACKEND == "torch":  # whose CPU Keras' own test leaves out
    POLICIES += ["mixed_float16", "bfloat16"]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", EACH)
def test_dtype_policy(name, policy):
    """Dtypes are what the policy says, in every inner layer, trained or not."""
    layer_cls, arguments, input_shape, *_ = LAYERS[name]
    layer = layer_cls(**arguments, dtype=policy)
    x = keras.ops.convert_to_tensor(spread(name))
    for training in (False, True) if "training" in layer._call_signature.parameters else (None,):
        out = layer(x) if training is None else layer(x, training=training)
        assert keras.backend.standardize_dtype(out.dtype) == layer.compute_dtype
        assert np.isfinite(to_numpy(out)).all()
    spec = layer.compute_output_spec(keras.KerasTensor(input_shape, dtype=layer.compute_dtype))
    assert (tuple(spec.shape), spec.dtype) == (tuple(out.shape), layer.compute_dtype)
    for inner in layer._flatten_layers():
        assert inner.dtype_policy.name == layer.dtype_policy.name, inner.path
    # Learned time constants and normalisation stay in float32 where the policy would store them in half precision.
    assert all(v.dtype == "float32" for v in layer.weights if v.dtype != layer.variable_dtype)


@pytest.mark.parametrize("name", ["lif_soft", "plif_groups", "ssa", "mlp_hidden"])
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_spikes_are_exactly_0_or_1(name, policy):
    layer_cls, arguments, *_ = LAYERS[name]
    layer = layer_cls(**arguments, dtype=policy)
    layer.build(LAYERS[name][2])
    spikes = run(wake(layer), 3 * spread(name))
    assert set(np.unique(spikes)) == {0.0, 1.0}


@pytest.mark.parametrize("name", SPIKING)
def test_no_step_sees_the_future(name):
    layer_cls, arguments, *_ = LAYERS[name]
    layer = layer_cls(**arguments)
    layer.build(LAYERS[name][2])
    wake(layer)
    x = spread(name)
    changed = x.copy()
    changed[:, -1] = np.random.default_rng(1).normal(0.5, 3.0, x[:, -1].shape)
    before, after = run(layer, x), run(layer, changed)
    np.testing.assert_array_equal(before[:, :-1], after[:, :-1])
    assert (before[:, -1] != after[:, -1]).any(), "the changed step changed nothing: this test would show nothing"


@pytest.mark.parametrize("name", [*SPIKING, "conv2d", "rate_decoding"])
def test_time_and_batch_may_be_unknown_until_it_runs(name):
    layer_cls, arguments, (_, _, *rest), *_ = LAYERS[name]
    inputs = keras.Input((None, *rest))
    layer = layer_cls(**arguments)
    model = keras.Model(inputs, layer(inputs))
    wake(model)
    x = np.random.default_rng(0).normal(0.5, 1.0, (2, 2, *rest)).astype("float32")
    for steps in (2, 1) if name == "lif" else (2,):
        np.testing.assert_allclose(model.predict(x[:, :steps], verbose=0), run(layer, x[:, :steps]), atol=1e-5)


@pytest.mark.parametrize("name", [*SPIKING, "conv2d", "max_pool", "batch_norm", "direct_encoding", "rate_decoding"])
def test_an_empty_batch_gives_an_empty_result(name):
    layer_cls, arguments, (_, *rest), (_, *out), *_ = LAYERS[name]
    assert run(layer_cls(**arguments), np.zeros((0, *rest), "float32")).shape == (0, *out)
