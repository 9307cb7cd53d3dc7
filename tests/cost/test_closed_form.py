"""Closed-form counts against published numbers, and against counting on built models."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import kspike
from kspike import SpikformerConfig, cost, layers
from kspike.layers import sps
from kspike.ops import jit
from kspike.space import SearchSpace
from tests.cost.networks import images, random_config
from tests.helpers import BACKEND
from tests.space import staged

# Shapes are the same everywhere, and jax takes seconds to build a model: the many seeds run on torch.
SEEDS = range({"torch": 6, "tensorflow": 2, "jax": 1}[BACKEND])
IMAGENET = {
    "input_shape": (224, 224, 3),
    "num_classes": 1000,
    "num_heads": 8,
    "stem_pool": (True,) * 4,
    "qkv_bias": False,
}


@pytest.mark.shared
def test_parameters_are_the_published_ones():
    events = {"input_shape": (16, 128, 128, 2), "timesteps": 16, "stem_pool": (True,) * 4, "qkv_bias": False}
    expected = {
        SpikformerConfig(): 9_324_730,
        SpikformerConfig(num_classes=100): 9_359_380,
        SpikformerConfig(embed_dim=256, num_heads=8): 4_155_178,
        SpikformerConfig(depth=2): 5_765_050,
        SpikformerConfig(**events, embed_dim=256, depth=2, num_heads=16): 2_566_666,
        SpikformerConfig(**IMAGENET, embed_dim=512, depth=8): 29_689_384,
        SpikformerConfig(**IMAGENET, embed_dim=768, depth=8): 66_338_632,
    }
    assert [cost.parameters(config) for config in expected] == list(expected.values())


@pytest.mark.shared
def test_syops_are_the_published_ones():
    assert cost.flops(SpikformerConfig()) == 3_703_607_040
    assert cost.flops(SpikformerConfig(residual="membrane", neuron="plif"), counting="syops") == 3_703_115_520


@pytest.mark.shared
def test_operations_of_the_layers_add_up():
    config = random_config(1)
    for counting in cost.COUNTINGS:
        assert sum(row.flops(counting) for row in cost.table(config)) == cost.flops(config, counting)
    with pytest.raises(ValueError, match="known: syops, full"):
        cost.table(config)[0].flops("macs")


@pytest.mark.shared
def test_multiply_accumulates_of_spikformer_4_384_layer_by_layer():
    rows = {row.name: row for row in cost.table(SpikformerConfig())}
    assert [rows[f"stem/conv_{i}"].macs for i in range(4)] == [1_327_104, 42_467_328, 169_869_312, 169_869_312]
    assert rows["stem/rpe_conv"].macs == 84_934_656
    for block in range(4):
        layer = {
            name: rows[f"block_{block}/{name}"].macs
            for name in ("attention/qkv", "attention/proj", "mlp/fc1", "mlp/fc2")
        }
        assert layer["attention/qkv"] + layer["attention/proj"] == 37_748_736
        assert layer["mlp/fc1"] + layer["mlp/fc2"] == 75_497_472
        assert rows[f"block_{block}/attention/qk"].macs + rows[f"block_{block}/attention/av"].macs == 3_145_728
    assert (rows["head"].macs, rows["head"].steps) == (3840, 1)


@pytest.fixture(scope="module", params=SEEDS)
def built(request):
    """A random architecture, and the model built of it."""
    config = random_config(request.param)
    return config, kspike.Spikformer(config)


@pytest.mark.shared
def test_parameters_equal_the_built_model(built):
    config, model = built
    trainable = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    assert cost.parameters(config) == trainable == sum(row.parameters for row in cost.table(config))
    by_layer = {row.name: row.parameters for row in cost.table(config)}
    assert by_layer["head"] == model.get_layer("head").count_params()


def test_operations_equal_counting_on_the_built_model(built, monkeypatch):
    config, model = built
    count = dict.fromkeys(("macs", "attention", "norm", "neuron", "pool", "bias", "scaling"), 0)
    size = lambda x: int(np.prod(x.shape))

    def counting(layer, call):
        def counted(x, *args, **kwargs):
            y = call(x, *args, **kwargs)
            if isinstance(layer, keras.layers.Conv2D):
                count["macs"] += size(y) * 9 * x.shape[-1]
            elif isinstance(layer, keras.layers.Dense):
                count["macs"] += size(x) * layer.units
                count["bias"] += size(y) * layer.use_bias
            elif isinstance(layer, layers.BatchNorm):
                count["norm"] += size(y)
            elif isinstance(layer, layers.LIF | layers.PLIF):
                count["neuron"] += size(y)
            return y

        return counted

    def attending(call):
        def counted(q, k, v):
            y = call(q, k, v)
            count["attention"] += 2 * size(q) * q.shape[2]
            count["scaling"] += size(y)
            return y

        return counted

    def pooling(x, pool=sps.max_pool):
        count["pool"] += size(x)
        return pool(x)

    monkeypatch.setattr(sps, "max_pool", pooling)
    for layer in model._flatten_layers(include_self=False):
        monkeypatch.setitem(vars(layer), "call", counting(layer, layer.call))
        if isinstance(layer, layers.SSA):
            monkeypatch.setitem(vars(layer), "attend", attending(layer.attend))
    jit(lambda x: model(x, training=False), model.variables)(images(config, 1))  # one program, traced once

    syops = count["macs"] + 2 * count["norm"] + count["neuron"] + count["pool"]
    assert cost.flops(config, counting="syops") == syops
    stream = config.timesteps * config.tokens * config.embed_dim
    sums = stream * (1 + 2 * config.depth) + stream  # the stem's and each block's residual sums; the averages
    full = syops + count["attention"] + count["bias"] + count["scaling"] + sums
    assert cost.flops(config, counting="full") == full
    assert sum(row.steps * row.neurons for row in cost.table(config)) == count["neuron"]


@pytest.mark.shared
def test_a_population_is_counted_as_its_configs_are():
    names = [n for n in SearchSpace.names() if n in ("digits", "auto_spikformer_small_model_2_timestep", "autost_tiny")]
    base = SpikformerConfig(input_shape=(8, 8, 1), stem_pool=(False,) * 4, residual="membrane", neuron="plif")
    spaces = [SearchSpace.load(name) for name in names]
    spaces.append(SearchSpace(base, depth=(1, 3), stem_channels=((3, 4), (5,), (6, 9)), mlp_ratio=(1, 1.3)))
    spaces.append(SearchSpace(base.replace(stem_channels=(3, 5, 7)), embed_dim=(24, 48)))
    for space in spaces:
        indices = np.random.default_rng(0).integers(0, space.cardinalities, (12, len(space.slots)))
        sizes = cost.Sizes.of_space(space, indices)
        configs = [space.decode(row).to_config() for row in indices]
        np.testing.assert_array_equal(cost.parameters(sizes), cost.parameters(configs))
        for counting in cost.COUNTINGS:
            np.testing.assert_array_equal(cost.flops(sizes, counting), cost.flops(configs, counting))


@pytest.mark.once
@pytest.mark.parametrize("name", sorted(staged.SPACES))
def test_a_population_with_stages_is_counted_row_by_row_as_its_configs_are(name):
    space = staged.SPACES[name]
    indices = np.random.default_rng(0).integers(0, space.cardinalities, (25, len(space.slots)))
    sizes = cost.Sizes.of_space(space, indices)
    configs = [space.decode(row).to_config() for row in indices]
    found, expected = ({row.name: row for row in cost.table(s)} for s in (sizes, cost.Sizes.of_configs(configs)))
    for row in [row for row in found if row not in expected]:
        assert not np.any(found.pop(row).flops("full"))  # of blocks that none of these has
    assert set(found) == set(expected)
    for row, numbers in expected.items():
        for field, value in vars(numbers).items():
            np.testing.assert_array_equal(getattr(found[row], field), value, err_msg=f"{row} {field}")


@pytest.mark.shared
def test_genomes_and_models_count_as_their_configs():
    space = SearchSpace(SpikformerConfig(), depth=(1, 2))
    genome = space.sample(seed=0)
    assert cost.parameters(genome) == cost.parameters(genome.to_config())
    assert cost.parameters([genome, SpikformerConfig()]).tolist() == [cost.parameters(genome), 9_324_730]


@pytest.mark.shared
def test_large_populations_are_counted_piece_by_piece():
    space = SearchSpace(SpikformerConfig(), depth=(1, 2, 3), embed_dim=(192, 384))
    indices = np.random.default_rng(0).integers(0, space.cardinalities, (10_000, len(space.slots)))
    sizes = cost.Sizes.of_space(space, indices)
    counts = cost.parameters(sizes)
    assert counts.shape == (10_000,)
    np.testing.assert_array_equal(counts[9_990:], cost.parameters(sizes[9_990:]))


@pytest.mark.shared
def test_mistakes_are_named():
    with pytest.raises(ValueError, match="did you mean 'syops'"):
        cost.flops(SpikformerConfig(), counting="syop")
    with pytest.raises(ValueError, match="Expected a SpikformerConfig.*dict"):
        cost.parameters({"embed_dim": 384})
    space = SearchSpace(SpikformerConfig(), depth=(1, 2))
    with pytest.raises(ValueError, match="one column a slot"):
        cost.Sizes.of_space(space, [[0, 0, 0]])
    with pytest.raises(ValueError, match="number of choices"):
        cost.Sizes.of_space(space, [[2]])


@pytest.mark.shared
def test_imagenet_rows_of_the_paper_follow_from_operations_and_config():
    """power = 0.9 pJ * SOPs + 4.6 pJ * T * first convolution; for all widths the paper used that of width 512."""
    first = cost.table(SpikformerConfig(**IMAGENET, embed_dim=512, depth=8))[0]
    assert 4.6 * first.steps * first.macs * 1e-9 == pytest.approx(1.596, abs=0.001)
    rows = {6.82: 7.734, 8.69: 9.417, 11.09: 11.577, 13.67: 13.899, 22.09: 21.477}
    for sops, millijoules in rows.items():
        assert 0.9 * sops + 4.6 * first.steps * first.macs * 1e-9 == pytest.approx(millijoules, abs=0.001)
