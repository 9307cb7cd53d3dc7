"""Weights of one network in another: what fits is taken over, channels and grids are interpolated, the rest is said."""

import keras
import numpy as np
import pytest

import kspike
from kspike.models import transfer as module
from kspike.models.transfer import transfer

CONFIG = kspike.SpikformerConfig(
    input_shape=(8, 8, 3), num_classes=4, timesteps=1, embed_dim=16, depth=2, num_heads=2, mlp_ratio=1.0,
    stem_pool=(False, False, True, True), tau=1.25, v_threshold=0.6,
)  # fmt: skip


@pytest.fixture(scope="module")
def source():
    model = kspike.Spikformer(CONFIG)
    rng = np.random.default_rng(0)
    for variable in model.weights:
        variable.assign(rng.uniform(0.1, 1.0, variable.shape))
    return model


def value(model, path):
    return keras.ops.convert_to_numpy(next(v for v in model.weights if v.path == path))


@pytest.mark.shared
def test_what_fits_is_taken_over_and_the_rest_is_said(source):
    target = kspike.Spikformer(CONFIG.replace(num_classes=7, depth=3, timesteps=2, input_shape=(16, 16, 3)))
    before = value(target, "block_2/mlp/fc1/kernel")
    report = transfer(source, target, "mine")
    assert len(report.taken) == len(source.weights) - 2 and not report.interpolated and not report.left
    assert {path.split("/")[0] for path in report.fresh} == {"block_2", "head"}
    for path in ("stem/conv_0/kernel", "block_1/attention/qkv_norm/moving_mean"):
        if path in report.taken:
            np.testing.assert_array_equal(value(target, path), value(source, path))
    np.testing.assert_array_equal(value(target, "block_2/mlp/fc1/kernel"), before)
    text = str(report)
    assert "fresh: block_2/" in text and "head" in text and "T 1 -> 2" in text and "calibrate" in text
    assert report.to_dict()["taken"] == len(report.taken) and report.to_dict()["name"] == "mine"
    shallow = transfer(source, kspike.Spikformer(CONFIG.replace(depth=1)), "mine", fresh=("head",))
    assert {path.split("/")[0] for path in shallow.left} == {"block_1"}
    assert set(shallow.fresh) == {"head/kernel", "head/bias"}


@pytest.mark.shared
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_the_first_convolution_fits_other_channels(source, channels):
    target = kspike.Spikformer(CONFIG.replace(input_shape=(8, 8, channels)))
    report = transfer(source, target, "mine")
    assert report.interpolated == ("stem/conv_0/kernel",) and not report.fresh
    old, new = value(source, "stem/conv_0/kernel"), value(target, "stem/conv_0/kernel")
    assert new.shape[2] == channels
    if channels == 2:
        np.testing.assert_allclose(new, old[:, :, :2] * 1.5, rtol=1e-6)
    if channels == 1:
        grey = np.random.default_rng(1).normal(size=(1, 8, 8, 1)).astype("float32")
        given = keras.ops.conv(grey.repeat(3, -1), old, padding="same", data_format="channels_last")
        found = keras.ops.conv(grey, new, padding="same", data_format="channels_last")
        np.testing.assert_allclose(keras.ops.convert_to_numpy(found), keras.ops.convert_to_numpy(given), atol=1e-4)


@pytest.mark.once
def test_one_number_a_token_is_interpolated_over_the_grid():
    rows, columns = np.mgrid[0:2, 0:3].astype("float32")
    plane = (10 * rows + columns).reshape(1, 6, 1)  # linear: interpolation is exact
    found = module._over_grid(plane, 1, (2, 3), (3, 5))
    want = 10 * np.linspace(0, 1, 3)[:, None] + np.linspace(0, 2, 5)
    np.testing.assert_allclose(found[0, :, 0].reshape(3, 5), want, rtol=1e-6)
    assert found.shape == (1, 15, 1) and found.dtype == "float32"
    assert module._over_grid(plane, 1, (2, 3), (1, 1)).shape == (1, 1, 1)
    one = module._over_grid(np.full((1, 4), 2.0, "float32"), 0, (1, 1), (2, 2))
    np.testing.assert_array_equal(one, np.full((4, 4), 2.0))


@pytest.mark.shared
def test_nothing_of_another_width_fits(source):
    other = kspike.Spikformer(CONFIG.replace(embed_dim=32, num_heads=4))
    report = transfer(source, other, "mine")
    assert {path for path in report.taken if path.startswith(("block", "head"))} == {"head/bias"}
    assert "head/kernel" in report.fresh
