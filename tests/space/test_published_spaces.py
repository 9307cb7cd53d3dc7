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


#: Fingerprint of every published space, and ids of the genomes drawn with seeds 0, 1 and 2: written down before words
#: were genes. Projects on a user's disk are recognised by them.
WRITTEN_DOWN = {
    "auto_spikformer": ("7bdececd4397bfcc", "79e647d661 83c318e169 426c093941"),
    "auto_spikformer_more_layer_1": ("e1a3df6db51db050", "806628d789 6e80d5fd38 948729e390"),
    "auto_spikformer_more_layer_2": ("29fd954a3d9adf64", "a41dd1243c 557a7ad55e 9b3910e064"),
    "auto_spikformer_small_model_1": ("17e0634f126040e1", "3dc84e792b e5036db12d d6155ea7e2"),
    "auto_spikformer_small_model_2_timestep": ("cccc6682727b6ef2", "bc82ca0760 e674ed1d5c d335ba828f"),
    "auto_spikformer_small_model_3_t_threshold": ("034c88bba8a6dad5", "42b3a76c57 61bc1fa3b9 0fca6d2f5a"),
    "auto_spikformer_small_model_4_3t_new": ("af4e88a02e4065ff", "e645d7937b eeeeebf316 6d1c08f7ce"),
    "auto_spikformer_small_model_4_t_th_tau": ("5d6c0d60aa896a1d", "fad53d64fd 15fbd12a02 536dd7eb13"),
    "auto_spikformer_small_model_5_3tsmall_new": ("7bdececd4397bfcc", "79e647d661 83c318e169 426c093941"),
    "autost_base": ("4fe81f61b62527f1", "88d40de87c 977026590a 4d0fe27ab0"),
    "autost_small": ("6f301343bdbb8366", "1376a1298b 913a63e362 9babe6c9a3"),
    "autost_tiny": ("3e84ed68856a268f", "4721da9aba 2e74c1870e 76a9a62ac3"),
    "digits": ("64ee34247c657727", "0129fe177b cd2665cc2a 82d7733de5"),
    "kspike_c10": ("34750bc074ba8f93", "4f7e8d5a62 86d852c899 b51a3d4480"),
    "kspike_c10_16": ("ea5f71d75db70bcc", "dd268ba0dc 03f1cd2872 86503654ec"),
    # written down when stages were genes
    "kspike_mixers_c10": ("39c902b93008c321", "9c24fd62e9 fc49800c13 ac7efc6030"),
    "kspike_mixers_c10_16": ("94133116b19f130d", "bf364ec381 231694bcba f876b9867a"),
    "kspike_mixers_dvs": ("144941d293395192", "fb522b2619 db7e77dfbb 4ce4f9e67e"),
    # written down when T was a gene over frames
    "kspike_gesture": ("f4e4ad53a8f74528", "22f7fb3c6b 9c20d40a4b fabba1bd56"),
    "kspike_nmnist": ("fc3b05f7f60db3ab", "d53465c52d e54eb44290 b030c09ecd"),
    "kspike_mixers_digits": ("26f07fb31f243d8e", "e3c05d72b6 0d2b35278a 0ca9dc05f6"),
    "kspike_mixers_c10_small": ("09a2579b53d2e0e3", "b35213af6e 849e327e69 119cd615b5"),
    "kspike_c10_small": ("231bf21f796873c6", "8761643f3b 6256cdbf1f 2d60cd68e2"),
}


@pytest.mark.parametrize("name", SearchSpace.names())
def test_every_published_space_loads_under_its_file_name_and_gives_the_genomes_it_always_gave(name):
    space = SearchSpace.load(name)
    assert space.name == name
    assert SearchSpace.from_dict(space.to_dict()) == space
    genomes = [space.sample(seed=seed) for seed in range(3)]
    assert (space.fingerprint(), " ".join(genome.id for genome in genomes)) == WRITTEN_DOWN[name]
    for genome in genomes:
        genome.to_config()
