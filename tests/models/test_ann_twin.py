"""The ANN twin as a network."""

import keras
import numpy as np
import pytest

import kspike
from kspike.models import ann_twin
from tests.helpers import to_numpy, wake

CONFIG = kspike.SpikformerConfig(
    input_shape=(8, 8, 1), num_classes=3, embed_dim=16, depth=1, num_heads=2, mlp_ratio=1.0, timesteps=3, tau=1.5,
    v_threshold=0.6, v_reset=None, decay_input=False, surrogate="atan",
)  # fmt: skip


def test_every_neuron_is_a_relu_and_a_still_image_passes_once():
    """By hand: the first stage of the stem is max(BN(conv(x)), 0)."""
    twin = wake(ann_twin(CONFIG))
    assert twin.config.timesteps == 1 and twin.count_params() == kspike.Spikformer(CONFIG).count_params()
    images = np.random.default_rng(0).normal(0.3, 1.0, (4, 8, 8, 1)).astype("float32")
    stem = twin.get_layer("stem")
    x = stem.norm_layers[0](stem.conv_layers[0](images)[:, None], training=False)
    found = to_numpy(stem.neuron_layers[0](x))
    np.testing.assert_array_equal(found, np.maximum(to_numpy(x), 0.0))
    assert (found > 1.5).any() and (found == 0).any()
    assert np.ptp(to_numpy(twin(images)), axis=0).max() > 1e-2


@pytest.mark.shared
def test_frames_pass_one_by_one_and_meet_in_the_mean_before_the_head():
    twin = wake(ann_twin(CONFIG.replace(input_shape=(3, 8, 8, 1))))
    frames = np.random.default_rng(0).normal(0.3, 1.0, (2, 3, 8, 8, 1)).astype("float32")
    turned = to_numpy(twin(frames[:, ::-1].copy()))
    np.testing.assert_allclose(turned, to_numpy(twin(frames)), atol=1e-5)
    assert twin.config.timesteps == 3


@pytest.mark.slow
@pytest.mark.shared
def test_it_learns_saves_and_loads(tmp_path):
    keras.utils.set_random_seed(0)
    twin = ann_twin(kspike.Spikformer(CONFIG))
    rng = np.random.default_rng(0)
    labels = (np.arange(96) % 3).astype("int32")
    images = rng.normal(labels[:, None, None, None], 0.3, (96, 8, 8, 1)).astype("float32")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    twin.compile(optimizer=keras.optimizers.Adam(3e-3), loss=loss, metrics=["accuracy"])
    twin.fit(images, labels, epochs=12, batch_size=32, verbose=0)
    assert twin.evaluate(images, labels, verbose=0, return_dict=True)["accuracy"] > 0.8
    twin.save(tmp_path / "twin.keras")
    again = keras.models.load_model(tmp_path / "twin.keras")
    np.testing.assert_allclose(again.predict(images, verbose=0), twin.predict(images, verbose=0), atol=1e-5)


@pytest.mark.once
def test_it_needs_an_architecture():
    with pytest.raises(ValueError, match="ann_twin expects a SpikformerConfig or a Spikformer, got int"):
        ann_twin(3)


@pytest.mark.once
def test_a_mixer_of_several_steps_has_no_twin_without_time():
    chunked = CONFIG.replace(timesteps=2, mixer={"name": "ssa", "chunk": 2})
    with pytest.raises(ValueError, match=r"ann_twin expects.*takes 2 together \(its chunk\)"):
        ann_twin(chunked)
