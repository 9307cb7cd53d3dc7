"""Attention over the tokens of several time steps together."""

import keras
import numpy as np
import pytest

import kspike
from kspike import components, layers
from kspike.components.mixers.ssa import SSA
from kspike.models import anytime, early_exit
from kspike.space import SearchSpace
from tests.helpers import to_numpy, traced

FIELDS = {
    "input_shape": (8, 8, 1), "num_classes": 3, "embed_dim": 16, "depth": 1, "num_heads": 2, "timesteps": 4,
    "mlp_ratio": 1, "stem_pool": (False, False, False, True),
}  # fmt: skip


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


def awake(model):
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        if variable.name == "beta":
            variable.assign(rng.uniform(0.5, 2.0, variable.shape).astype("float32"))
    return model


def spikes(*shape):
    return (np.random.default_rng(1).random(shape) < 0.4).astype("float32")


def attention(q, k, v, heads, scale, chunk):
    """As the equation says it, one chunk and head after the other: (batch, time, tokens, channels)."""
    y = np.zeros_like(q)
    for t in range(0, q.shape[1], chunk):
        for channels in np.split(np.arange(q.shape[3]), heads):
            for image in range(len(q)):
                a, b, c = (
                    np.concatenate([x[image, t + i][:, channels] for i in range(chunk)]).astype("float64")
                    for x in (q, k, v)
                )
                found = np.split(scale * (a @ b.T) @ c, chunk)
                for i, part in enumerate(found):
                    y[image, t + i][:, channels] = part
    return y


@pytest.mark.parametrize("tokens", [4, 16])  # fewer than channels of a head, and more
@pytest.mark.parametrize("chunk, timesteps", [(1, 3), (2, 4), (4, 4), (4, 8)])
def test_the_tokens_of_a_chunk_attend_to_each_other(chunk, timesteps, tokens):
    layer = layers.Component(SSA(chunk=chunk), num_heads=2, scale=0.25)
    x = spikes(2, timesteps, tokens, 16)
    layer.build(x.shape)
    awake(layer)
    inner = {name: layer.part(name) for name in ("qkv_neuron", "attention_neuron")}
    _, seen = traced(layer, inner, x)
    q, k, v = np.split(seen["qkv_neuron"][1], 3, axis=-1)
    assert min(a.mean() for a in (q, k, v)) > 0.02
    np.testing.assert_array_equal(seen["attention_neuron"][0], attention(q, k, v, 2, 0.25, chunk))


def test_a_chunk_of_one_is_ssa():
    assert components.get("mixer", {"name": "ssa", "chunk": 1}).word == "ssa"
    assert kspike.SpikformerConfig(**FIELDS, mixer=SSA(chunk=1)) == kspike.SpikformerConfig(**FIELDS)
    assert type(kspike.Spikformer(kspike.SpikformerConfig(**FIELDS)).get_layer("block_0").attention) is layers.SSA


def test_an_unknown_time_does_not_mix_images():
    layer = layers.Component(SSA(chunk=2), num_heads=2)
    known = spikes(3, 4, 16, 16)
    layer.build((None, None, 16, 16))
    awake(layer)
    y = to_numpy(layer(known))
    np.testing.assert_array_equal(to_numpy(layer(known[[2, 0, 1]])), y[[2, 0, 1]])
    symbolic = keras.Model(inputs := keras.Input((None, 16, 16)), layer(inputs))
    np.testing.assert_allclose(symbolic.predict(known, verbose=0), y, atol=1e-6)
    with pytest.raises(ValueError, match="2 time steps are taken together, which must divide T, got 3"):
        layer(spikes(2, 3, 16, 16))


@pytest.mark.parametrize("chunk", [0, 3, 8, True, 2.0, "2"])
def test_another_chunk_is_refused(chunk):
    with pytest.raises(ValueError, match="chunk of the mixer 'ssa' must be 1, 2 or 4"):
        SSA(chunk=chunk)


def test_a_chunk_that_does_not_divide_t_is_refused_with_its_place():
    SSA(chunk=4).check(8)
    match = r"^mixer of block 1, 'ssa\(chunk=4\)', takes 4 time steps together, .* got timesteps 6"
    fields = {**FIELDS, "timesteps": 6, "depth": 2}
    with pytest.raises(ValueError, match=match):
        kspike.SpikformerConfig(**fields, mixer=("ssa", SSA(chunk=4)))
    with pytest.raises(ValueError, match=match.replace("block 1", "block 1 of stage 1")):
        kspike.SpikformerConfig(**{**fields, "embed_dim": (16, 32), "depth": (1, 1)}, mixer=("ssa", SSA(chunk=4)))
    with pytest.raises(ValueError, match=r"^mixer of block 0, 'ssa\(chunk=2\)', .* got timesteps 1"):
        SearchSpace(kspike.SpikformerConfig(**FIELDS), timesteps=(1, 4), mixer=("ssa", SSA(chunk=2)))
    with pytest.raises(ValueError, match=r"^mixer, 'ssa\(chunk=2\)', takes 2 .* got timesteps 3"):
        layers.Component(SSA(chunk=2), num_heads=2).build((1, 3, 16, 16))


def test_costs_count_the_tokens_that_meet():
    config, plain = (kspike.SpikformerConfig(**FIELDS, mixer=SSA(chunk=c)) for c in (2, 1))
    for chunked, one in zip(kspike.cost.table(config), kspike.cost.table(plain), strict=True):
        assert chunked.macs == one.macs * (2 if one.kind == "attention" else 1)
        assert (chunked.elements, chunked.parameters) == (one.elements, one.parameters)
    model = awake(kspike.Spikformer(config))
    images = np.random.default_rng(0).normal(0.3, 1.0, (4, 8, 8, 1)).astype("float32")
    report = kspike.cost.measure(model, (images, np.arange(4) % 3), progress=False)
    assert not report.notes
    macs = {row.name: row.macs * row.steps for row in kspike.cost.table(config)}
    for row in report.rows:
        if row.name.startswith("block_0/attention/") and row.name[-2:] in ("qk", "av"):
            assert row.dense == macs[row.name] and 0 < row.rate < 1
    # there is one answer, behind the last step
    assert [reading.accuracy is None for reading in report.readings] == [True, True, True, False]


@pytest.mark.parametrize("call", [anytime, lambda model: early_exit(model, np.zeros((1, 8, 8, 1), "float32"))])
def test_what_runs_step_by_step_refuses_it(call):
    model = kspike.Spikformer(kspike.SpikformerConfig(**FIELDS, mixer=SSA(chunk=2)))
    with pytest.raises(ValueError, match="time steps look back alone; a mixer of this one takes 2 steps together"):
        call(model)
