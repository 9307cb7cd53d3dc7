"""The published spaces have the sizes of their sources, and hold living, buildable networks."""

import pytest

from kspike import cost
from kspike.space import SearchSpace

pytestmark = pytest.mark.once

SIZES = {
    "auto_spikformer_small_model_1": 6_192,
    "auto_spikformer_small_model_2_timestep": 24_768,
    "auto_spikformer_more_layer_1": 55_944,
    "auto_spikformer_more_layer_2": 8_061_120,
    "auto_spikformer_small_model_3_t_threshold": 4_096,
    "auto_spikformer_small_model_4_t_th_tau": 6_561,
    "auto_spikformer_small_model_4_3t_new": 1_658_880,
    "auto_spikformer_small_model_5_3tsmall_new": 8_659_768_320,
    "auto_spikformer": 8_659_768_320,
    "autost_small": 13_060_693_980,
}


@pytest.mark.parametrize("name", sorted(SIZES))
def test_size_is_that_of_the_source(name):
    assert SearchSpace.load(name).size() == SIZES[name]


@pytest.mark.parametrize("name, about", [("autost_tiny", 2.90e8), ("autost_base", 2.81e14)])
def test_size_rounds_to_that_of_the_source(name, about):
    assert SearchSpace.load(name).size() == pytest.approx(about, rel=0.002)


def test_auto_spikformer_is_the_full_joint_space():
    assert SearchSpace.load("auto_spikformer") == SearchSpace.load("auto_spikformer_small_model_5_3tsmall_new")


def test_auto_spikformer_has_its_genes_where_its_code_has_them():
    space = SearchSpace.load("auto_spikformer")
    values = {gene.name: gene.choices[0] for gene in space.genes}
    config = space.genome(
        **{k: v for k, v in values.items() if "." not in k}, v_threshold={"fc1": 2.0}, stem_channels=(48, 96, 192)
    ).to_config()
    assert config.stem_channels == (48, 96, 192) and config.embed_dim == 192
    assert config.v_threshold["fc1"] == (2.0, 2.0) and config.v_threshold["fc2"] == (1.0, 1.0)
    assert config.v_threshold["attention"] == (0.5, 0.5)
    assert all(config.tau[kind] == (1.25, 1.25) for kind in ("qkv", "attention", "proj", "fc1", "fc2"))
    assert config.tau["stem"] == 2.0


def test_autost_has_the_fixed_parts_of_its_code():
    config = SearchSpace.load("autost_small").smallest().to_config()
    assert (config.residual, config.neuron, config.timesteps, config.num_classes) == ("membrane", "plif", 4, 100)
    assert config.input_shape == (32, 32, 3) and config.stem_channels == (32, 64, 128)


@pytest.mark.parametrize("name", SearchSpace.names())
def test_every_published_space_loads_under_its_file_name_and_samples(name):
    space = SearchSpace.load(name)
    assert space.name == name
    assert SearchSpace.from_dict(space.to_dict()) == space
    for seed in range(5):
        space.sample(seed=seed).to_config()


def test_an_unknown_name_lists_the_known_and_the_nearest():
    with pytest.raises(ValueError, match="did you mean .digits.*autost_tiny"):
        SearchSpace.load("digit")


@pytest.mark.parametrize("name", ["kspike_c10", "kspike_c10_16"])
def test_kspike_spaces_narrow_the_stem_and_set_neurons_by_kind_and_t(name):
    """Auto-Spikformer's stem stays as wide as the supernet's, where most operations of a small network are."""
    space = SearchSpace.load(name)
    genes = {gene.name: gene for gene in space.genes}
    for stage in range(3):
        assert len(genes[f"stem_channels.{stage}"].choices) > 1
    kinds = {gene.kind for gene in space.genes if gene.field in ("tau", "v_threshold")}
    assert {"stem", "qkv", "fc1"} <= kinds and None not in kinds
    assert len(genes["timesteps"].choices) > 1
    small, large = (cost.flops(genome.to_config()) for genome in (space.smallest(), space.largest()))
    fixed = space.smallest().to_config().replace(stem_channels=space.max_config().stem_channels)
    assert small < 0.5 * cost.flops(fixed) < large
