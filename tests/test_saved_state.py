"""Every public layer and model keeps through files and clones what a user changed on the layers inside it."""

import warnings

import keras
import numpy as np
import pytest

import kspike
from kspike import layers
from tests.helpers import run, wake
from tests.test_round_trip import LAYERS, make

#: Shapes of one item; a layer is given the first that it takes.
SHAPES = ((2, 8, 8, 32), (2, 4, 32))
CONFIG = kspike.SpikformerConfig(
    input_shape=(8, 8, 1), num_classes=3, timesteps=2, embed_dim=16, depth=1, num_heads=2, mlp_ratio=2.0, scale=0.5
)


def around(layer):
    """A functional model of one layer, on a shape that it takes."""
    for shape in SHAPES:
        inputs = keras.Input(shape)
        try:
            return keras.Model(inputs, layer(inputs))
        except ValueError as error:
            refused = error
    raise refused


def inner(model):
    return [layer for layer in model._flatten_layers(include_self=False) if type(layer) is not keras.layers.InputLayer]


def freeze(model):
    """A layer, one inside another that is frozen, and a single variable."""
    found = [layer for layer in inner(model) if layer.weights]
    for layer in found[1::3]:
        layer.trainable = False
    for layer in found[2::3]:
        if not layer._layers:
            layer.trainable = True
    if len(found) > 4 and hasattr(found[3], "gamma"):
        found[3].gamma.trainable = False
    for layer in inner(model)[-1:]:
        layer.trainable = False


def lora(model):
    for layer in inner(model):
        if getattr(layer, "lora_enabled", None) is False and layer.built:
            layer.enable_lora(2, lora_alpha=3)


def policy(model):
    """Of products, which a normalisation follows: TensorFlow adds no two numbers of different types."""
    products = [layer for layer in inner(model) if layer.name != "head" and hasattr(layer, "kernel")]
    for layer in products[::2] or inner(model):
        layer.dtype_policy = "mixed_bfloat16"


def everything(model):
    lora(model)
    freeze(model)
    policy(model)


CHANGES = [freeze, lora, policy, everything]


def described(model):
    """What was made of every layer inside, and which variables train."""
    what = [
        (layer.name, layer.trainable, layer.dtype_policy.name, getattr(layer, "lora_enabled", None), layer.built)
        for layer in inner(model)
    ]
    return what, [(v.name, tuple(v.shape), v.trainable) for v in model.variables]


def check(model, x, tmp_path):
    found, expected = described(model), first(model.predict(x, verbose=0))
    path = tmp_path / "model.keras"
    model.save(path)
    loaded = keras.models.load_model(path)
    cloned = keras.models.clone_model(model)
    cloned.set_weights(model.get_weights())
    for again in (loaded, cloned):
        assert described(again) == found
        np.testing.assert_array_equal(first(again.predict(x, verbose=0)), expected)
    return loaded, cloned


def first(found):
    return np.asarray(found[0] if isinstance(found, (list, tuple)) else found)


@pytest.mark.once
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("cls", LAYERS, ids=lambda cls: cls.__name__)
def test_a_layer_keeps_what_was_changed_inside_it(cls, change, tmp_path):
    model = around(make(cls))
    change(model)
    x = np.random.default_rng(0).normal(0.5, 1.0, (2, *model.input_shape[1:])).astype("float32")
    check(model, x, tmp_path)


def spikformer(**arguments):
    return wake(kspike.Spikformer(CONFIG, **arguments))


def two_heads():
    body = spikformer(include_top=False)
    return keras.Model(body.input, [keras.layers.Dense(n, name=f"head_{n}")(body.output) for n in (2, 3)])


def part():
    model = spikformer()
    return keras.Model(model.input, model.get_layer("block_0").output)


def nested():
    inputs = keras.Input(CONFIG.input_shape)
    return keras.Model(inputs, keras.layers.Dense(2)(spikformer(include_top=False)(inputs)))


MODELS = {
    "spikformer": spikformer,
    "mixed": lambda: spikformer(dtype="mixed_bfloat16"),
    "supernet": lambda: wake(kspike.Supernet(kspike.space.SearchSpace(CONFIG, depth=(1, 2), embed_dim=(8, 16)))),
    "anytime": lambda: kspike.models.anytime(spikformer()),
    "two heads": two_heads,
    "part": part,
    "nested": nested,
}


#: What is saved is of one code path; a plain network and a supernet show that a backend's variables go through it.
SAVED = [n if n in ("spikformer", "supernet") else pytest.param(n, marks=pytest.mark.shared) for n in MODELS]


@pytest.mark.parametrize("name", SAVED)
def test_a_model_keeps_what_was_changed_inside_it(name, tmp_path):
    model = MODELS[name]()
    plain = described(model)
    everything(model)
    assert described(model) != plain
    x = np.random.default_rng(0).normal(0.5, 1.0, (4, *CONFIG.input_shape)).astype("float32")
    loaded, _ = check(model, x, tmp_path)
    assert type(loaded) is type(model)


def test_a_frozen_stem_and_the_optimizer_go_on_after_loading(tmp_path):
    x = np.random.default_rng(0).normal(0.5, 1.0, (8, *CONFIG.input_shape)).astype("float32")
    y = np.arange(8) % 3
    model = spikformer()
    model.get_layer("stem").trainable = False
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # Keras says so where it drops an optimizer's state
        loaded = keras.models.load_model(tmp_path / "model.keras")
    for one, other in zip(loaded.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(one), keras.ops.convert_to_numpy(other))
    before = loaded.get_layer("stem").get_weights()
    head = loaded.get_layer("head").get_weights()[0]
    loaded.fit(x, y, verbose=0)
    for one, other in zip(loaded.get_layer("stem").get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(loaded.get_layer("head").get_weights()[0], head)


def test_mixed_float16_trains_with_loss_scaling(tmp_path):
    for model in (spikformer(dtype="mixed_float16"), MODELS["supernet"]()):
        if model.dtype_policy.name == "float32":
            model = kspike.Supernet(model.space, dtype="mixed_float16")
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
        assert model.dtype_policy.name == "mixed_float16"
        assert model.get_layer("head").compute_dtype == "float32"


@pytest.mark.once
def test_a_config_of_an_earlier_version_still_loads():
    """Written by 0.1: one `trainable` for all, nothing of the layers inside."""
    written = {
        "config": CONFIG.to_dict(),
        "include_top": True,
        "spike_regularizer": None,
        "dtype": {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}},
        "name": "spikformer",
        "trainable": False,
    }
    model = kspike.Spikformer.from_config(written)
    assert model.config == CONFIG
    assert not model.trainable_variables
    assert set(spikformer(name="spikformer").get_config()) == set(written)


@pytest.mark.once
def test_what_was_written_for_another_network_is_refused():
    config = spikformer().get_config()
    with pytest.raises(ValueError, match="'block_9'.*another network"):
        kspike.Spikformer.from_config({**config, "layer_state": {"block_9": {"trainable": False}}})
    with pytest.raises(ValueError, match="no variable 'weight'"):
        kspike.Spikformer.from_config({**config, "layer_state": {"head": {"variables": {"weight": False}}}})


@pytest.mark.once
def test_a_composite_that_is_frozen_from_the_start_is_frozen_whole():
    block = layers.SpikformerBlock(2, trainable=False)
    block.build((None, 2, 4, 16))
    assert not block.attention.qkv_norm.trainable
    assert not any(v.trainable for v in block.variables)


@pytest.mark.once
def test_quantize_is_refused_and_changes_nothing():
    model = spikformer()
    for refuses in (model, MODELS["supernet"](), model.get_layer("block_0"), model.get_layer("stem")):
        weights = refuses.get_weights()
        with pytest.raises(ValueError, match="kspike's own.*kspike.quantize.*mixed_bfloat16"):
            refuses.quantize("int8")
        for one, other in zip(refuses.get_weights(), weights, strict=True):
            np.testing.assert_array_equal(one, other)
    assert {layer.dtype_policy.quantization_mode for layer in model._flatten_layers()} == {None}
    model.compile("sgd", "mse")
    model.fit(np.zeros((2, *CONFIG.input_shape), "float32"), np.zeros((2, 3), "float32"), verbose=0)


@pytest.mark.slow
@pytest.mark.once
def test_a_head_quantised_through_another_model_is_saved_and_loaded(tmp_path):
    model = spikformer()
    model.get_layer("head").quantize("int8")
    x = np.random.default_rng(0).normal(0.5, 1.0, (4, *CONFIG.input_shape)).astype("float32")
    expected = run(model, x)
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(run(keras.models.load_model(tmp_path / "model.keras"), x), expected)
