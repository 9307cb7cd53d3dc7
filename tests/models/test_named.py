"""Published architectures by name: their parameters, the table, models of them."""

import json

import pytest

import kspike
from kspike import SpikformerConfig, _named, cost
from kspike.training import Recipe

# Counted on the official classes with the official arguments (trainable parameters), less what never runs there:
# LayerNorms of Spikformer's and Spikingformer's blocks (4 widths each), talking_heads of the Spike-driven Transformer.
COUNTED = {
    "spikformer_4_384_c10": 9_330_874 - 4 * 4 * 384,
    "spikingformer_4_384_c10": 9_326_266 - 4 * 4 * 384,
    "spikingformer_4_384_c100": 9_360_916 - 4 * 4 * 384,
    "spikingformer_2_256_dvs": 2_568_714 - 2 * 4 * 256,
    "qkformer_c10": 6_706_234,
    "qkformer_c100": 6_740_884,
    "qkformer_dvs": 1_504_138,
    "ms_qkformer_c10": 6_706_234,
    "ms_qkformer_c100": 6_740_884,
    "ms_qkformer_dvs": 1_504_138,
    "max_former_c10": 6_568_282,
    "max_former_c100": 6_602_932,
    "max_former_dvs": 1_455_626,
    "sdt_2_512_c10": 10_233_546 - 2 * 8**2,
    "sdt_2_512_c100": 10_279_716 - 2 * 8**2,
    "sdt_2_256_dvs": 2_566_794 - 2 * 8**2,
    "sdt_8_384_in1k": 16_816_536 - 8 * 8**2,
    "sdt_6_512_in1k": 23_373_736 - 6 * 8**2,
    "sdt_8_512_in1k": 29_689_896 - 8 * 8**2,
    "sdt_10_512_in1k": 36_006_056 - 10 * 8**2,
    "sdt_8_768_in1k": 66_339_144 - 8 * 8**2,
    "sdt_v2_15m_in1k": 15_112_208,
    "sdt_v2_31m_in1k": 31_333_864,
    "sdt_v2_55m_in1k": 55_350_248,
    "sdt_v2_124m_in1k": 123_741_160,
    "sdt_v3_t_in1k": 2_702_048,
    "sdt_v3_s_in1k": 5_105_608,
    "sdt_v3_m_in1k": 10_023_112,
    "sdt_v3_l_in1k": 18_987_504,
}


@pytest.mark.once
@pytest.mark.parametrize("name", COUNTED)
def test_parameters_are_those_of_the_official_classes_less_what_never_runs(name):
    assert cost.parameters(SpikformerConfig.named(name)) == COUNTED[name]


@pytest.mark.once
@pytest.mark.parametrize("name", _named.names())
def test_a_file_is_a_config_with_its_source(name):
    known = _named.read(name)
    assert known["name"] == name and known["source"] and known["departs"]
    config = SpikformerConfig.named(name)
    assert SpikformerConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert ("recipe" in known) == ("recipe_source" in known)
    if "recipe" in known:
        Recipe.from_dict(known["recipe"])


@pytest.mark.once
def test_the_table_is_a_sequence_of_names():
    table = kspike.models.architectures("*c10")
    assert "qkformer_c10" in table and "qkformer_c100" not in table
    assert list(table) == sorted(table) and len(table[:2]) == 2 and table[0] == list(table)[0]
    row = next(row for row in table.rows if row["name"] == "max_former_c10")
    assert row["parameters"] == 6_568_282 and row["operations"] == cost.flops(SpikformerConfig.named("max_former_c10"))
    assert "6,568,282" in str(table) and "no architectures" in str(kspike.models.architectures("nothing*"))


def test_one_is_created_with_changes():
    model = kspike.models.create("max_former_c10", num_classes=3, timesteps=1, embed_dim=(8, 16, 32))
    assert model.output_shape == (None, 3) and model.config.mixer == ("identity", "dwconv3", "ssa", "ssa")
    assert kspike.models.create("qkformer_dvs", timesteps=2, embed_dim=(16, 32)).input_shape == (None, 2, 128, 128, 2)


@pytest.mark.once
def test_an_unknown_name_or_field_is_refused():
    with pytest.raises(ValueError, match=r"Unknown architecture 'qkformer_c1'.*did you mean 'qkformer_c1"):
        SpikformerConfig.named("qkformer_c1")
    with pytest.raises(ValueError, match=r"Unknown config field 'classes'"):
        kspike.models.create("qkformer_c10", classes=3)


@pytest.mark.once
@pytest.mark.parametrize("pattern", [None, 3])
@pytest.mark.parametrize("listing", [kspike.models.architectures, kspike.zoo.list_models])
def test_a_pattern_that_is_no_text_is_refused(listing, pattern):
    with pytest.raises(ValueError, match="pattern must be a glob over names"):
        listing(pattern)
