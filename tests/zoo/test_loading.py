import keras
import numpy as np
import pytest

import kspike


def _says(model, images):
    """What the model returns, without compiling it."""
    return keras.ops.convert_to_numpy(model(images, training=False))


def _weights(model):
    return [np.asarray(keras.ops.convert_to_numpy(variable)) for variable in model.weights]


def test_a_loaded_model_says_what_the_published_one_said(released, model, digits):
    loaded = kspike.zoo.load(released)
    assert isinstance(loaded, kspike.Spikformer) and loaded.config == model.config
    for one, other in zip(_weights(loaded), _weights(model), strict=True):
        np.testing.assert_array_equal(one, other)
    images = digits.test[0][0]
    np.testing.assert_array_equal(_says(loaded, images), _says(model, images))


@pytest.mark.shared
def test_a_name_a_folder_and_the_folder_without_version_are_one_entry(released):
    parent = released.parent
    ways = [
        kspike.zoo.load("tiny_digits", directory=parent),
        kspike.zoo.load(str(parent / "tiny_digits")),
        kspike.zoo.load(released),
    ]
    for loaded in ways[1:]:
        for one, other in zip(_weights(loaded), _weights(ways[0]), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.shared
def test_without_weights_it_is_the_architecture_fresh(released, model):
    fresh = kspike.zoo.load(released, weights=False)
    assert fresh.config == model.config
    kernels = [(a, b) for a, b in zip(_weights(fresh), _weights(model), strict=True) if a.ndim > 1]
    assert all(np.any(a != b) for a, b in kernels)


def test_a_new_head_keeps_the_rest(released, model):
    loaded = kspike.zoo.load(released, num_classes=3)
    assert loaded.output_shape == (None, 3) and loaded.config.num_classes == 3
    _equal_but_head(loaded, model)
    assert loaded.get_layer("head").kernel.shape == (16, 3)


@pytest.mark.shared
def test_a_new_head_of_the_same_size_is_new_all_the_same(released, model):
    kernel = kspike.zoo.load(released, num_classes=10).get_layer("head").kernel
    assert np.any(keras.ops.convert_to_numpy(kernel) != keras.ops.convert_to_numpy(model.get_layer("head").kernel))


def test_without_the_head_it_gives_features(released, model, digits):
    loaded = kspike.zoo.load(released, include_top=False)
    assert loaded.output_shape == (None, 16)
    _equal_but_head(loaded, model)
    images = digits.test[0][0][:4]
    features = keras.Model(model.input, model.get_layer("decoding").output)
    np.testing.assert_array_equal(_says(loaded, images), _says(features, images))


def _equal_but_head(loaded, model):
    compared = 0
    for layer in loaded.layers:
        if layer.name != "head":
            for one, other in zip(_weights(layer), _weights(model.get_layer(layer.name)), strict=True):
                np.testing.assert_array_equal(one, other)
                compared += 1
    assert compared == len(model.weights) - 2


@pytest.mark.shared
@pytest.mark.parametrize(
    "options", [{"num_classes": 0}, {"num_classes": 2.5}, {"num_classes": 3, "include_top": False}]
)
def test_options_that_make_no_sense_are_refused(released, options):
    with pytest.raises(ValueError, match="Expected num_classes"):
        kspike.zoo.load(released, **options)


def test_another_t_and_size_keep_every_weight_and_say_what_else_holds(released, model, capsys):
    loaded = kspike.zoo.load(released, timesteps=3, input_shape=(16, 24, 1))
    assert loaded.config == model.config.replace(timesteps=3, input_shape=(16, 24, 1))
    for one, other in zip(_weights(loaded), _weights(model), strict=True):
        np.testing.assert_array_equal(one, other)
    assert "T 2 -> 3" in capsys.readouterr().out and not loaded.transfer.fresh
    assert loaded.origin["name"] == "tiny_digits.v1" and len(loaded.origin["weights_sha256"]) == 64
    assert loaded.predict(np.zeros((1, 16, 24, 1), "float32"), verbose=0).shape == (1, 10)


@pytest.mark.shared
def test_colour_takes_the_grey_kernels(released, model, capsys):
    loaded = kspike.zoo.load(released, input_shape=(8, 8, 3), num_classes=2, verbose=0)
    assert capsys.readouterr().out == ""
    assert loaded.transfer.interpolated == ("stem/conv_0/kernel",)
    assert set(loaded.transfer.fresh) == {"head/kernel", "head/bias"}
    grey = np.random.default_rng(0).uniform(0, 1, (2, 8, 8, 1)).astype("float32")
    one, other = (
        keras.ops.convert_to_numpy(each.get_layer("stem").conv_layers[0](x))
        for each, x in ((loaded, grey.repeat(3, -1)), (model, grey))
    )
    np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.shared
def test_a_dtype_of_ones_own(released, model):
    loaded = kspike.zoo.load(released, dtype="mixed_bfloat16")
    assert loaded.policy.name == "mixed_bfloat16" and loaded.get_layer("head").dtype_policy.name == "float32"
    for one, other in zip(_weights(loaded), _weights(model), strict=True):
        np.testing.assert_array_equal(one, other)
    changed = kspike.zoo.load(released, dtype="mixed_bfloat16", timesteps=1, weights=False)
    assert changed.policy.name == "mixed_bfloat16" and changed.config.timesteps == 1


@pytest.mark.shared
@pytest.mark.parametrize(
    "options, said",
    [
        ({"timesteps": 0}, "Expected timesteps"),
        ({"timesteps": True}, "Expected timesteps"),
        ({"input_shape": (8, 8)}, "Expected input_shape"),
        ({"input_shape": (8, 8.0, 1)}, "Expected input_shape"),
        ({"input_shape": 8}, "Expected input_shape"),
        ({"input_shape": (2, 8, 8, 1)}, "Expected input_shape"),
    ],
)
def test_changes_that_make_no_sense_are_refused(released, options, said):
    with pytest.raises(ValueError, match=said):
        kspike.zoo.load(released, **options)
