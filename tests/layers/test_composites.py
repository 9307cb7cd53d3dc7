"""SPS, SSA, SpikingMLP, SpikformerBlock, BatchNorm and the codings: what each promises beyond Keras' own test."""

import keras
import numpy as np
import pytest

from kspike import layers
from kspike.models.anytime import AnytimeDecoding
from tests.helpers import run, to_numpy, traced, wake, weight_gradients


def spikes(shape, rate=0.5, seed=0):
    return (np.random.default_rng(seed).random(shape) < rate).astype("float32")


def counts(q, k, v):
    """q k^T v in whole numbers."""
    q, k, v = (a.astype("int64") for a in (q, k, v))
    out = np.einsum("btnhd,btmhd,btmhe->btnhe", q, k, v)
    return out.reshape(*out.shape[:3], -1)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize(("tokens", "head_dim"), [(70, 8), (8, 70)], ids=["kv_first", "qk_first"])
def test_attention_counts_are_exact_past_256_in_either_order(tokens, head_dim, dtype):
    attention = layers.SSA(num_heads=2, scale=0.125, dtype=dtype)
    shape = (2, 1, tokens, 2, head_dim)
    q, k, v = (spikes(shape, 0.95, seed) for seed in range(3))
    expected = counts(q, k, v)
    assert expected.max() > 256
    assert (expected[expected > 256] % 2).any()  # bfloat16 has no odd number above 256
    tensors = [keras.ops.cast(keras.ops.convert_to_tensor(a), attention.compute_dtype) for a in (q, k, v)]
    np.testing.assert_array_equal(to_numpy(attention.attend(*tensors)), expected * 0.125)


def test_attention_in_bfloat16_reaches_its_neuron_unrounded():
    """The layer's own path: odd counts above 256 arrive at the neuron as they are."""
    attention = layers.SSA(num_heads=1, dtype="mixed_bfloat16")
    attention.build((1, 1, 40, 16))
    # Normalisation that always fires: q, k and v are all ones, so every count is tokens * head_dim - except that the
    # first channel of q stays silent.
    attention.qkv_norm.gamma.assign(np.zeros(48))
    attention.qkv_norm.beta.assign(np.r_[0.0, np.full(47, 5.0)])
    _, seen = traced(attention, {"attention": attention.attention_neuron}, spikes((1, 1, 40, 16)))
    np.testing.assert_array_equal(seen["attention"][0], np.full((1, 1, 40, 16), 15 * 40 * 0.125))


def test_attention_does_not_mix_time_or_images():
    attention = layers.SSA(num_heads=2)
    q, k, v = (spikes((3, 2, 5, 2, 4), seed=seed) for seed in range(3))
    whole = run(lambda _: attention.attend(q, k, v), q)
    for b in range(3):
        for t in range(2):
            alone = run(lambda _: attention.attend(*(a[b : b + 1, t : t + 1] for a in (q, k, v))), q)  # noqa: B023
            np.testing.assert_array_equal(whole[b, t], alone[0, 0])


def test_attention_treats_tokens_alike():
    attention = layers.SSA(num_heads=2)
    attention.build((None, 2, 6, 8))
    wake(attention)
    x, order = spikes((2, 2, 6, 8)), np.random.default_rng(1).permutation(6)
    np.testing.assert_array_equal(run(attention, x)[:, :, order], run(attention, x[:, :, order]))


def test_heads_must_divide_the_channels():
    with pytest.raises(ValueError, match="num_heads must divide the channels: 3 heads, 8 channels"):
        layers.SSA(num_heads=3)(spikes((1, 1, 2, 8)))
    with pytest.raises(ValueError, match="num_heads must be a whole number"):
        layers.SSA(num_heads=0)
    with pytest.raises(ValueError, match=r"SSA expects \(batch, time, tokens, channels\)"):
        layers.SSA(num_heads=2)(spikes((1, 2, 8)))


def test_thresholds_and_taus_by_kind():
    block = layers.SpikformerBlock(2, 2.0, tau={"qkv": 3}, v_threshold=0.8)
    assert (block.attention.qkv_neuron.tau, block.attention.proj_neuron.tau) == (3.0, 2.0)
    assert block.attention.attention_neuron.v_threshold == 0.5
    assert block.mlp.fc1_neuron.v_threshold == block.attention.qkv_neuron.v_threshold == 0.8
    block = layers.SpikformerBlock(2, 2.0, v_threshold={"attention": 0.3, "fc2": 1.5})
    assert block.attention.attention_neuron.v_threshold == 0.3
    assert (block.mlp.fc1_neuron.v_threshold, block.mlp.fc2_neuron.v_threshold) == (1.0, 1.5)
    with pytest.raises(ValueError, match="unknown neuron kind 'attn'"):
        layers.SpikformerBlock(2, 2.0, v_threshold={"attn": 0.3})
    with pytest.raises(ValueError, match="did you mean 'membrane'"):
        layers.SpikformerBlock(2, 2.0, residual="membran")


def test_block_adds_what_its_parts_give():
    x = spikes((2, 2, 5, 8)) + spikes((2, 2, 5, 8), seed=1)
    for residual in ("add", "membrane"):
        block = layers.SpikformerBlock(2, 2.0, residual=residual)
        block.build(x.shape)
        wake(block)
        out, seen = traced(block, {"attention": block.attention, "mlp": block.mlp}, x)
        np.testing.assert_array_equal(seen["mlp"][0], x + seen["attention"][1])
        np.testing.assert_array_equal(out, seen["mlp"][0] + seen["mlp"][1])
        whole = (out == np.round(out)).all()
        assert whole == (residual == "add")  # a stream of whole numbers, or of potentials
        assert seen["mlp"][1].any()
        assert seen["attention"][1].any()


@pytest.mark.parametrize(
    ("pool", "grid"),
    [((False,) * 4, 35), ((False, False, True, True), 4), ((True,) * 4, 1), ((True, False, False, False), 12)],
)
def test_stem_pools_where_told(pool, grid):
    stem = layers.SPS(8, pool=pool)
    x = np.random.default_rng(0).normal(size=(1, 2, 5, 7, 3)).astype("float32")
    stem.build(x.shape)
    out = run(wake(stem), x)
    assert out.shape == (1, 2, grid, 8)
    assert set(np.unique(out)) <= {0.0, 1.0, 2.0}  # tokens and their positions, both spikes
    assert out.any()


def test_stem_pools_after_the_neuron():
    """In the official order the next convolution sees pooled spikes, not spikes of pooled potentials."""
    stem = layers.SPS(8, pool=(True, False, False, False))
    x = np.random.default_rng(0).normal(size=(1, 2, 6, 6, 3)).astype("float32")
    stem.build(x.shape)
    wake(stem)
    _, seen = traced(stem, {"neuron": stem.neuron_layers[0], "next": stem.conv_layers[1]}, x)
    fired = seen["neuron"][1]
    assert fired.shape == (1, 2, 6, 6, 1)
    padded = np.pad(fired, ((0, 0), (0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.stack([padded[:, :, i : i + 6 : 2, j : j + 6 : 2] for i in range(3) for j in range(3)])
    np.testing.assert_array_equal(seen["next"][0].reshape(1, 2, 3, 3, 1), windows.max(0))
    assert 0 < fired.mean() < 1


def test_membrane_stem_ends_in_potentials():
    stem = layers.SPS(8, residual="membrane")
    assert len(stem.neuron_layers) == 3
    assert stem.rpe_neuron is None
    x = np.random.default_rng(0).normal(size=(1, 2, 8, 8, 3)).astype("float32")
    stem.build(x.shape)
    out = run(wake(stem), x)
    assert (out != np.round(out)).any()


def test_stem_refuses():
    with pytest.raises(ValueError, match="multiple of 8"):
        layers.SPS(12)
    with pytest.raises(ValueError, match="three numbers"):
        layers.SPS(16, channels=(2, 4))
    with pytest.raises(ValueError, match="four truth values"):
        layers.SPS(16, pool=(True,))
    with pytest.raises(ValueError, match=r"SPS expects \(batch, time, height, width, channels\)"):
        layers.SPS(16)(np.ones((1, 8, 8, 3), "float32"))


def test_hidden_width_rounds_down():
    mlp = layers.SpikingMLP(3.5)
    mlp.build((None, 2, 4, 10))
    assert mlp.fc1.units == 35
    mlp = layers.SpikingMLP(2.55)
    mlp.build((None, 2, 4, 10))
    assert mlp.fc1.units == 25
    with pytest.raises(ValueError, match="mlp_ratio must be above 0"):
        layers.SpikingMLP(0)
    with pytest.raises(ValueError, match="hidden_dim must be a whole number"):
        layers.SpikingMLP(hidden_dim=2.5)


def test_normalisation_is_over_batch_and_time_together():
    norm = layers.BatchNorm()
    x = np.random.default_rng(0).normal(3.0, 2.0, (4, 5, 6, 3)).astype("float32")
    out = to_numpy(norm(keras.ops.convert_to_tensor(x), training=True))
    np.testing.assert_allclose(out, (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-5), atol=1e-4)
    np.testing.assert_allclose(to_numpy(norm.moving_mean), 0.1 * x.mean((0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(to_numpy(norm.moving_variance), 0.9 + 0.1 * x.var((0, 1, 2)), rtol=1e-4)
    still = to_numpy(norm(keras.ops.convert_to_tensor(x)))
    mean, variance = to_numpy(norm.moving_mean), to_numpy(norm.moving_variance)
    np.testing.assert_allclose(still, (x - mean) / np.sqrt(variance + 1e-5), atol=1e-4)


@pytest.mark.parametrize("options", [{"renorm": True}, {"synchronized": True}, {"axis": 1}, {"center": False}])
def test_what_the_normalisation_does_not_do_is_refused(options):
    with pytest.raises(ValueError, match=f"has {next(iter(options))}=.* alone"):
        layers.BatchNorm(**options)


def test_frozen_normalisation_keeps_its_statistics():
    norm = layers.BatchNorm()
    norm.build((None, 2, 3))
    norm.trainable = False
    x = np.random.default_rng(0).normal(3.0, 2.0, (4, 2, 3)).astype("float32")
    np.testing.assert_allclose(run(norm, x, training=True), x / np.sqrt(1 + 1e-5), rtol=1e-5)
    np.testing.assert_array_equal(to_numpy(norm.moving_mean), 0)


def test_normalisation_is_keras_own():
    """The same numbers and gradients as keras.layers.BatchNormalization, whose fused forms it replaces."""
    ours, theirs = layers.BatchNorm(), keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)
    x = np.random.default_rng(0).normal(1.0, 2.0, (4, 5, 3)).astype("float32")
    upstream = keras.ops.convert_to_tensor(np.random.default_rng(1).normal(size=x.shape).astype("float32"))
    results = []
    for norm in (ours, theirs):
        norm.build(x.shape)
        norm.gamma.assign([1.0, 0.5, 2.0])
        out, gradients = weight_gradients(norm, x, lambda y: keras.ops.sum(y * upstream))
        results.append((out, gradients[id(norm.gamma)], gradients[id(norm.beta)]))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_direct_encoding_repeats():
    x = np.random.default_rng(0).normal(size=(2, 3, 3, 1)).astype("float32")
    out = run(layers.DirectEncoding(timesteps=4), x)
    np.testing.assert_array_equal(out, np.repeat(x[:, None], 4, 1))
    for wrong in (0, 2.5, True):
        with pytest.raises(ValueError, match="timesteps must be a whole number"):
            layers.DirectEncoding(timesteps=wrong)


def test_rate_decoding_averages_in_float32():
    x = np.random.default_rng(0).integers(0, 9, (2, 4, 300, 8)).astype("float32")
    np.testing.assert_allclose(run(layers.RateDecoding(), x), x.mean((1, 2)), rtol=1e-6)
    half = run(layers.RateDecoding(dtype="mixed_bfloat16"), x)
    np.testing.assert_allclose(half, x.mean((1, 2)), rtol=2**-8)


@pytest.mark.parametrize("decoding", [layers.RateDecoding(), AnytimeDecoding()], ids=lambda layer: type(layer).__name__)
@pytest.mark.parametrize("places", [(), (5,), (3, 2)], ids=["none", "tokens", "pixels"])
def test_decoding_averages_all_between_time_and_channels(decoding, places):
    x = np.random.default_rng(0).random((2, 4, *places, 6)).astype("float32")
    expected = x.reshape(2, 4, -1, 6).mean(axis=2)
    if isinstance(decoding, layers.RateDecoding):
        expected = expected.mean(axis=1)
    else:
        expected = np.cumsum(expected, axis=1) / np.arange(1, 5)[:, None]
    np.testing.assert_allclose(run(decoding, x), expected, atol=1e-6)
    assert tuple(decoding.compute_output_shape(x.shape)) == expected.shape
    free = keras.Input((None, *(None for _ in places), 6))
    np.testing.assert_allclose(run(keras.Model(free, decoding(free)), x), expected, atol=1e-6)


@pytest.mark.once
@pytest.mark.parametrize("decoding", [layers.RateDecoding(), AnytimeDecoding()], ids=lambda layer: type(layer).__name__)
def test_decoding_refuses_what_has_no_time(decoding):
    with pytest.raises(ValueError, match=r"expects \(batch, time, \.\.\., channels\)"):
        decoding(np.zeros((2, 6), "float32"))


@pytest.mark.once
def test_sizes_that_must_be_known_are_named():
    with pytest.raises(ValueError, match=r"\(None, 2, None, None, 3\)\. height, width, channels must be known"):
        layers.SPS(16)(keras.Input((2, None, None, 3)))
    with pytest.raises(ValueError, match="must be known"):
        layers.SPS(16).compute_output_shape((None, 2, 8, None, 3))
    with pytest.raises(ValueError, match="channels must be known"):
        layers.SSA(2).build((None, 2, 4, None))
    with pytest.raises(ValueError, match="channels must be known"):
        layers.SpikingMLP().build((None, 2, 4, None))
    with pytest.raises(ValueError, match=r"expects \(batch, time, tokens, channels\), got shape \(None, 4, 16\)\.$"):
        layers.SSA(2).build((None, 4, 16))
