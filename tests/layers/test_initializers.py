"""Initial weights: their distributions, the same on every backend, saved by name, none where weights are loaded."""

import json

import keras
import numpy as np
import pytest

import kspike
from kspike.layers import initializers
from kspike.layers.initializers import TruncatedNormal, UniformFanIn
from tests.convert import reference
from tests.helpers import to_numpy

CONFIG = kspike.SpikformerConfig(
    input_shape=(8, 8, 1), num_classes=3, timesteps=2, embed_dim=16, depth=1, num_heads=2, mlp_ratio=2.0
)
SPACE = kspike.space.SearchSpace(CONFIG, embed_dim=(8, 16))
#: The first numbers of a network's kernels by `keras.utils.set_random_seed(7)`; every backend is held to the same.
FIRST = {
    "stem.conv_layers.1": (-0.215211, -0.1930208),
    "block_0.attention.qkv": (0.0372952, -0.0134839),
    "block_0.attention.proj": (0.0081667, 0.0133982),
    "block_0.mlp.fc1": (0.0045594, 0.0048485),
    "head": (-0.0239342, -0.0287195),
}


def of_seed(make, seed=7):
    keras.utils.set_random_seed(seed)
    return make()


def named(model, name):
    layer, _, inside = name.partition(".")
    found = model.get_layer(layer)
    for part in filter(None, inside.split(".")):
        found = found[int(part)] if part.isdigit() else getattr(found, part)
    return to_numpy(found.kernel)


def test_a_seed_gives_one_network_on_every_backend():
    model = of_seed(lambda: kspike.Spikformer(CONFIG))
    assert {name: pytest.approx(named(model, name).ravel()[:2], abs=1e-7) for name in FIRST} == FIRST
    kernels = [w for w in model.get_weights() if w.ndim > 1]
    assert len({kernel.ravel()[:4].tobytes() for kernel in kernels}) == len(kernels)  # no two start alike
    other = of_seed(lambda: kspike.Spikformer(CONFIG), seed=8)
    assert not any(np.array_equal(a, b) for a, b in zip(kernels, other.get_weights(), strict=False) if a.ndim > 1)


def test_a_supernets_too():
    supernet = of_seed(lambda: kspike.Supernet(SPACE))
    assert to_numpy(supernet.head.kernel).ravel()[:2] == pytest.approx((-0.0239342, -0.0287195), abs=1e-7)
    assert to_numpy(supernet.stem.conv_layers[0].kernel).ravel()[:2] == pytest.approx((-0.0898233, 0.2479386), abs=1e-7)


@pytest.mark.parametrize(
    ("ours", "keras_own"),
    [
        (TruncatedNormal(stddev=0.02, seed=1), keras.initializers.TruncatedNormal(stddev=0.02, seed=1)),
        (TruncatedNormal(mean=1.0, stddev=2.0, seed=1), keras.initializers.TruncatedNormal(1.0, 2.0, seed=1)),
        (UniformFanIn(seed=1), keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform", seed=1)),
    ],
)
def test_the_distributions_are_keras_own(ours, keras_own):
    shape, levels = (3, 3, 40, 100), np.linspace(0.0, 1.0, 21)
    found, expected = (np.quantile(to_numpy(each(shape)), levels) for each in (ours, keras_own))
    np.testing.assert_allclose(found, expected, atol=0.015 * (expected[-1] - expected[0]))
    assert to_numpy(ours(shape, dtype="float16")).dtype == "float32"  # of a float16 tensor, by the helper
    assert keras.backend.standardize_dtype(ours((2, 2), dtype="bfloat16").dtype) == "bfloat16"


@pytest.mark.parametrize("made", [TruncatedNormal(stddev=0.3, seed=5), UniformFanIn(seed=5), UniformFanIn()])
def test_they_are_saved_by_name(made):
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(made)))
    assert config["registered_name"] == f"kspike>{type(made).__name__}"
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(made) and again.get_config() == made.get_config()
    same = np.array_equal(to_numpy(made((4, 4))), to_numpy(again((4, 4))))
    assert same == (made.get_config()["seed"] is not None)


def test_a_seed_generator_moves_on_and_a_number_does_not():
    moving = TruncatedNormal(seed=keras.random.SeedGenerator(3))
    assert not np.array_equal(to_numpy(moving((5,))), to_numpy(moving((5,))))
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(moving))
    first = to_numpy(again((5,)))
    np.testing.assert_array_equal(first, to_numpy(TruncatedNormal(seed=keras.random.SeedGenerator(3))((5,))))
    for seed in (0, -4, 2**70):
        np.testing.assert_array_equal(*(to_numpy(TruncatedNormal(seed=seed)((5,))) for _ in range(2)))


def test_what_a_user_gives_stays_keras_own(tmp_path):
    """As in a file of an earlier version, whose head names Keras' initialiser."""
    inputs = keras.Input((4, 16))
    given = keras.initializers.TruncatedNormal(stddev=0.02)
    keras.Model(inputs, kspike.layers.products.Dense(2, kernel_initializer=given)(inputs)).save(tmp_path / "m.keras")
    layer = keras.models.load_model(tmp_path / "m.keras").layers[-1]
    assert type(layer.kernel_initializer) is keras.initializers.TruncatedNormal
    head = kspike.Spikformer(CONFIG).get_layer("head")
    again = keras.layers.Dense.from_config(head.get_config())
    assert type(again.kernel_initializer) is TruncatedNormal and again.kernel_initializer.stddev == 0.02


@pytest.mark.shared
def test_nothing_is_drawn_where_weights_are_loaded(tmp_path, monkeypatch):
    config = CONFIG.replace(num_classes=10)
    model = kspike.Spikformer(config)
    recipe = kspike.training.Recipe(epochs=1, batch_size=20)
    rng = np.random.RandomState(0)
    arrays = rng.uniform(size=(20, 8, 8, 1)).astype("float32"), rng.randint(0, 10, 20)
    kspike.training.train(model, arrays, recipe, directory=tmp_path / "run", verbose=0)
    folder = kspike.zoo.publish(model, "net", license="cc0-1.0", directory=tmp_path / "zoo")
    supernet = kspike.Supernet(SPACE)
    tensors = reference.official(reference.network(0))

    def draw(seed):
        raise AssertionError("numbers were drawn that nobody will see")

    monkeypatch.setattr(initializers, "_random", draw)
    for loaded in (kspike.training.load(tmp_path / "run"), kspike.zoo.load(folder)):
        for ours, read in zip(model.get_weights(), loaded.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, read)
    supernet.extract()
    kspike.convert.from_spikformer(tensors, num_heads=2)
    with pytest.raises(AssertionError, match="numbers were drawn"):
        kspike.zoo.load(folder, num_classes=4)  # whose head is new
    with pytest.raises(AssertionError, match="numbers were drawn"):
        kspike.Spikformer(config)
