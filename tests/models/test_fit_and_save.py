"""A Spikformer is an ordinary keras.Model: it fits, saves and loads, in float32 and in mixed precision."""

import keras
import numpy as np
import pytest

import kspike

CONFIG = {
    "input_shape": (8, 8, 1),
    "num_classes": 4,
    "timesteps": 2,
    "embed_dim": 16,
    "depth": 1,
    "num_heads": 2,
    "stem_pool": (False, False, True, True),
}
VARIANTS = {
    "spikformer": {},
    "membrane plif": {"residual": "membrane", "neuron": "plif"},
    "soft reset, atan, by kind": {
        "v_reset": None,
        "surrogate": "atan",
        "tau": {"qkv": 1.5, "stem": 1.25},
        "v_threshold": {"fc1": 0.8},
    },
    "pool before the neuron": {"pool_after": "norm"},
}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    return rng.normal(0.5, 1, (16, 8, 8, 1)).astype("float32"), np.arange(16) % 4


def fitted(config, data, dtype=None, **compile_arguments):
    keras.utils.set_random_seed(0)
    model = kspike.Spikformer(config, dtype=dtype)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(1e-2), loss, **compile_arguments)
    history = model.fit(*data, batch_size=8, epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    return model


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_saved_model_loads_with_the_same_logits(variant, data, tmp_path):
    model = fitted(kspike.SpikformerConfig(**CONFIG, **VARIANTS[variant]), data)
    logits = model.predict(data[0], verbose=0)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert loaded.config == model.config
    np.testing.assert_array_equal(loaded.predict(data[0], verbose=0), logits)
    model.save_weights(tmp_path / "m.weights.h5")
    fresh = kspike.Spikformer(model.config)
    fresh.load_weights(tmp_path / "m.weights.h5")
    np.testing.assert_array_equal(fresh.predict(data[0], verbose=0), logits)


def test_training_moves_every_weight(data):
    config = kspike.SpikformerConfig(**CONFIG, v_threshold={"stem": 0.3, "qkv": 0.3, "attention": 0.1, "fc1": 0.3})
    keras.utils.set_random_seed(0)
    before = [np.array(keras.ops.convert_to_numpy(v)) for v in kspike.Spikformer(config).trainable_variables]
    after = fitted(config, data).trainable_variables
    still = [
        v.path
        for v, b in zip(after, before, strict=True)
        # a bias before a normalisation has no gradient in exact arithmetic
        if np.array_equal(keras.ops.convert_to_numpy(v), b) and not v.path.endswith("bias")
    ]
    assert not still


def test_mixed_precision_keeps_weights_and_logits_in_float32(data, tmp_path):
    model = fitted(kspike.SpikformerConfig(**CONFIG), data, dtype="mixed_bfloat16")
    assert {v.dtype for v in model.trainable_variables} == {"float32"}
    assert model.get_layer("block_0").attention.qkv.compute_dtype == "bfloat16"
    assert model.output.dtype == "float32"
    logits = model.predict(data[0], verbose=0)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert loaded.get_layer("stem").compute_dtype == "bfloat16"
    np.testing.assert_array_equal(loaded.predict(data[0], verbose=0), logits)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="torch.compile is a test of its own")
def test_it_trains_compiled(data):
    fitted(kspike.SpikformerConfig(**CONFIG), data, jit_compile=True)


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "torch", reason="torch alone has torch.compile")
def test_torch_compile_does_not_break_it(data):
    import torch

    model = kspike.Spikformer(kspike.SpikformerConfig(**CONFIG))
    images = keras.ops.convert_to_tensor(data[0])
    with torch.no_grad():
        expected = model(images)
        compiled = torch.compile(model)(images)
    same = np.isclose(keras.ops.convert_to_numpy(compiled), keras.ops.convert_to_numpy(expected), atol=1e-5).all(1)
    assert same.mean() >= 0.9


def test_the_headless_model_gives_the_features_of_the_whole(data):
    model = fitted(kspike.SpikformerConfig(**CONFIG), data)
    features = kspike.Spikformer(model.config, include_top=False)
    assert features.output_shape == (None, 16)
    with pytest.raises(ValueError, match="expects a SpikformerConfig"):
        kspike.Spikformer("spikformer")
