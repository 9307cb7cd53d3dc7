"""Spikformer as a keras.Model: published sizes, fit, files, half precision, compiled, wrong inputs."""

import functools

import keras
import numpy as np
import pytest

from kspike import Spikformer, SpikformerConfig
from kspike.surrogate import ATan
from tests.helpers import BACKEND, run, to_numpy, wake

TINY = {
    "input_shape": (8, 8, 1),
    "num_classes": 3,
    "timesteps": 2,
    "embed_dim": 16,
    "depth": 1,
    "num_heads": 2,
    "mlp_ratio": 2.0,
    "stem_pool": (False, False, True, True),
    "scale": 0.5,  # four tokens give small counts: attention would stay silent
}
EVENTS = {"qkv_bias": False, "stem_pool": (True,) * 4}
PUBLISHED = {
    "cifar10 4-384": ({}, 9_324_730),
    "cifar10 4-256": ({"embed_dim": 256, "num_heads": 8}, 4_155_178),
    "cifar10 2-384": ({"depth": 2}, 5_765_050),
    "cifar100 4-384": ({"num_classes": 100}, 9_359_380),
    "cifar10-dvs 2-256": (
        {"input_shape": (16, 128, 128, 2), "timesteps": 16, "embed_dim": 256, "depth": 2, "num_heads": 16, **EVENTS},
        2_566_666,
    ),
    "imagenet 8-768": (
        {"input_shape": (224, 224, 3), "num_classes": 1000, "embed_dim": 768, "depth": 8, "num_heads": 12, **EVENTS},
        66_338_632,
    ),
}


@pytest.fixture
def without_values():
    """Models made here have shapes but no memory behind them."""
    with keras.StatelessScope(initialize_variables=False):
        yield
    keras.utils.clear_session()


@pytest.mark.shared
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_trainable_parameters(name, without_values):
    arguments, published = PUBLISHED[name]
    model = Spikformer(SpikformerConfig(**arguments))
    assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == published


def images(n=8, shape=(8, 8, 1)):
    return np.random.default_rng(0).normal(0.5, 1.0, (n, *shape)).astype("float32")


def compiled(model, **kwargs):
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"], **kwargs)
    return model


def test_layers_are_found_by_name():
    model = Spikformer(SpikformerConfig(**TINY))
    assert [layer.name for layer in model.layers[1:]] == ["encoding", "stem", "block_0", "decoding", "head"]
    assert model.input_shape == (None, 8, 8, 1)
    assert model.output_shape == (None, 3)
    frames = Spikformer(SpikformerConfig(**{**TINY, "input_shape": (2, 8, 8, 1)}))
    assert "encoding" not in [layer.name for layer in frames.layers]
    assert Spikformer(SpikformerConfig(**TINY), include_top=False).output_shape == (None, 16)


def test_an_image_is_its_frames_repeated():
    still = wake(Spikformer(SpikformerConfig(**TINY)))
    frames = Spikformer(SpikformerConfig(**{**TINY, "input_shape": (2, 8, 8, 1)}))
    frames.set_weights(still.get_weights())
    x = images()
    np.testing.assert_array_equal(run(frames, np.repeat(x[:, None], 2, 1)), run(still, x))


def test_features_then_head_are_the_logits():
    model = wake(Spikformer(SpikformerConfig(**TINY)))
    features = Spikformer(SpikformerConfig(**TINY), include_top=False)
    features.set_weights(model.get_weights()[: len(features.weights)])
    for ours, theirs in zip(features.weights, model.weights, strict=False):
        assert ours.path.split("/")[1:] == theirs.path.split("/")[1:]
    head = model.get_layer("head")
    expected = run(features, images()) @ to_numpy(head.kernel) + to_numpy(head.bias)
    np.testing.assert_allclose(run(model, images()), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("policy", "arguments"),
    [
        pytest.param("float32", {}, marks=pytest.mark.shared),
        pytest.param(
            "mixed_bfloat16",
            {"residual": "membrane", "neuron": "plif", "surrogate": ATan(alpha=3.0), "v_reset": None},
            marks=[pytest.mark.proof] if BACKEND == "tensorflow" else [],  # XLA takes 20 s
        ),
    ],
    ids=["add", "membrane_mixed_bfloat16"],
)
def test_fit_and_files(policy, arguments, tmp_path):
    config = SpikformerConfig(**{**TINY, **arguments})
    model = compiled(wake(Spikformer(config, dtype=policy)), jit_compile=BACKEND != "torch")
    x, y = images(), np.arange(8) % 3
    before = [to_numpy(v) for v in model.trainable_variables]
    history = model.fit(x, y, batch_size=4, epochs=1, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    changed = [not np.array_equal(b, to_numpy(v)) for b, v in zip(before, model.trainable_variables, strict=True)]
    assert all(changed), [v.path for v, c in zip(model.trainable_variables, changed, strict=True) if not c]

    logits = model.predict(x, verbose=0)
    assert logits.dtype == "float32"
    assert len(np.unique(logits.round(4), axis=0)) > 1
    model.save(tmp_path / "model.keras")
    back = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(back, Spikformer)
    assert back.config == config
    assert {layer.dtype_policy.name for layer in back._flatten_layers() if layer.weights} == {policy, "float32"} | (
        {policy} if policy == "float32" else set()
    )
    np.testing.assert_array_equal(back.predict(x, verbose=0), logits)

    model.save_weights(tmp_path / "model.weights.h5")
    fresh = compiled(Spikformer(config, dtype=policy), jit_compile=BACKEND != "torch")
    fresh.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(fresh.predict(x, verbose=0), logits)


def test_the_same_weights_in_half_precision_and_back(tmp_path):
    """Weights are kept in float32 by the mixed policy: a trip through a mixed model changes no spike."""
    config = SpikformerConfig(**TINY)
    model = wake(Spikformer(config))
    expected = run(model, images())
    model.save_weights(tmp_path / "full.weights.h5")
    mixed = Spikformer(config, dtype="mixed_bfloat16")
    mixed.load_weights(tmp_path / "full.weights.h5")
    half = run(mixed, images())
    assert half.shape == expected.shape
    np.testing.assert_allclose(half, expected, atol=1.0)  # spikes near their threshold move
    mixed.save_weights(tmp_path / "mixed.weights.h5")
    back = Spikformer(config)
    back.load_weights(tmp_path / "mixed.weights.h5")
    np.testing.assert_array_equal(run(back, images()), expected)


def test_compiled_and_eager_agree():
    """What predict compiles (jax.jit, XLA under TensorFlow) is what an eager call gives."""
    model = wake(Spikformer(SpikformerConfig(**TINY)))
    compiled(model, jit_compile=BACKEND != "torch")
    x = images(16)
    agree = np.abs(model.predict(x, verbose=0) - run(model, x)).max(axis=1) < 1e-5
    assert agree.mean() >= 0.9, "a flipped spike moves an image, but not many of them"


def test_seeded_twice_trained_alike():
    weights = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        model = compiled(Spikformer(SpikformerConfig(**TINY)))
        model.fit(images(), np.arange(8) % 3, batch_size=4, verbose=0)
        weights.append(model.get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_images_do_not_see_each_other():
    model = wake(Spikformer(SpikformerConfig(**TINY)))
    x = images()
    np.testing.assert_allclose(run(model, x[2:3]), run(model, x)[2:3], atol=1e-5)


@pytest.mark.shared
def test_every_block_has_its_own_heads_ratio_and_neurons():
    config = SpikformerConfig(
        **{
            **TINY,
            "depth": 2,
            "num_heads": (2, 4),
            "mlp_ratio": (2, 1.5),
            "tau": (2, 3),
            "v_threshold": {"fc1": (1, 0.7)},
        }
    )
    model = Spikformer(config)
    one, two = model.get_layer("block_0"), model.get_layer("block_1")
    assert (one.attention.num_heads, two.attention.num_heads) == (2, 4)
    assert (one.mlp.fc1.units, two.mlp.fc1.units) == (32, 24)
    assert (one.mlp.fc1_neuron.tau, two.mlp.fc1_neuron.tau) == (2.0, 3.0)
    assert (one.mlp.fc1_neuron.v_threshold, two.mlp.fc1_neuron.v_threshold) == (1.0, 0.7)
    assert two.attention.attention_neuron.v_threshold == 0.5
    assert model.get_layer("stem").neuron_layers[0].tau == 2.0


@pytest.mark.parametrize("shape", [(2, 16, 16, 1), (2, 8, 8, 3), (2, 2, 8, 8, 1)], ids=["size", "channels", "frames"])
def test_images_of_another_shape_are_refused(shape):
    model = Spikformer(SpikformerConfig(**TINY))
    with pytest.raises(ValueError, match="shape"):
        model.predict(np.zeros(shape, "float32"), verbose=0)


def test_wrong_time_is_refused():
    model = Spikformer(SpikformerConfig(**{**TINY, "input_shape": (2, 8, 8, 1)}))
    with pytest.raises(ValueError, match="shape"):
        model.predict(np.zeros((2, 3, 8, 8, 1), "float32"), verbose=0)


@pytest.mark.shared
def test_a_config_is_wanted():
    with pytest.raises(ValueError, match="SpikformerConfig, got int"):
        Spikformer(384)
    assert Spikformer(SpikformerConfig(**TINY).to_dict()).config == SpikformerConfig(**TINY)


@pytest.mark.slow
@pytest.mark.skipif(BACKEND != "torch", reason="torch.compile is PyTorch's")
@pytest.mark.parametrize("part", ["attention", "mlp"])
def test_torch_compile_of_a_part(part):
    """What a whole network is made of, traced whole forwards and backwards; `make proof` takes the network and fit."""
    import torch

    layer = getattr(wake(Spikformer(SpikformerConfig(**TINY))).get_layer("block_0"), part)
    spikes = (np.random.default_rng(0).random((4, 2, 4, 16)) < 0.4).astype("float32")
    found = []
    for call in (layer, torch.compile(layer, backend="aot_eager", fullgraph=True)):
        x = torch.tensor(spikes, requires_grad=True)
        y = call(x, training=True)
        (y * torch.arange(y.numel()).reshape(y.shape)).sum().backward()
        found.append((to_numpy(y), to_numpy(x.grad)))
    assert 0 < found[0][0].mean() < 1 and np.abs(found[0][1]).max() > 0
    np.testing.assert_allclose(found[1][0], found[0][0], atol=1e-5)
    np.testing.assert_allclose(found[1][1], found[0][1], rtol=1e-4, atol=1e-3)


@pytest.mark.proof
@pytest.mark.skipif(BACKEND != "torch", reason="torch.compile is PyTorch's")
def test_torch_compile(monkeypatch):
    """Traced whole, forwards and backwards; the code that is made of it (minutes of a C++ compiler) is PyTorch's."""
    import torch

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    monkeypatch.setattr(torch._dynamo.config, "suppress_errors", False)
    model = wake(Spikformer(SpikformerConfig(**TINY)))
    x, y = images(), np.arange(8) % 3
    expected = run(model, x)
    with torch.no_grad():
        whole = torch.compile(model, fullgraph=True)  # an error where it would be cut into pieces
        np.testing.assert_allclose(to_numpy(whole(keras.ops.convert_to_tensor(x))), expected, atol=1e-5)
    losses = []
    for jit_compile in (False, True):
        model = compiled(wake(Spikformer(SpikformerConfig(**TINY))), jit_compile=jit_compile)
        losses.append(model.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0).history["loss"])
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)


@pytest.mark.skipif(BACKEND == "torch", reason="torch runs eagerly: there is nothing to compile")
def test_compiles_once_for_training_and_once_for_inference_of_a_batch_size():
    traced = []

    class Counted(Spikformer):
        def call(self, inputs, training=None, mask=None):
            traced.append((tuple(inputs.shape), training))
            return super().call(inputs, training=training, mask=mask)

    model = Counted(SpikformerConfig(**TINY))
    compiled(model)
    x, y = images(8), np.zeros(8, "int64")
    model.fit(x, y, batch_size=4, verbose=0)
    model.predict(x, batch_size=4, verbose=0)
    traced.clear()
    for _ in range(2):
        model.fit(x + 1, y, batch_size=4, epochs=2, verbose=0)
        model.predict(x - 1, batch_size=4, verbose=0)
    assert not traced
    model.predict(images(5), batch_size=5, verbose=0)
    model.predict(images(5), batch_size=5, verbose=0)
    assert len(traced) == 1
