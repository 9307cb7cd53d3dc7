"""Closed-form costs follow from what components declare: by hand for new ones, and as they were for kspike's own."""

from __future__ import annotations

import dataclasses
import itertools
import json

import numpy as np
import pytest

from kspike import SpikformerConfig, components, cost
from kspike.components.parts import Neuron, Part
from kspike.cost.analytic.declared import Declared
from kspike.cost.analytic.table import neuron_counts, pools
from kspike.space import SearchSpace
from kspike.tuners.engine.ranking.quantities import QUANTITIES
from tests.cost import components as own
from tests.cost.written import FILE, NUMBER, counts, drawn

pytestmark = pytest.mark.once
#: 8 x 12 images of 2 channels; width 16, 2 x 3 = 6 tokens after a stride of 4, 4 heads, 40 hidden channels, T = 3.
BASE = {
    "input_shape": (8, 12, 2), "num_classes": 5, "timesteps": 3, "embed_dim": 16, "depth": 1, "mlp_ratio": 2.5,
    "num_heads": 4, "stem": "cost_patches",
}  # fmt: skip


def rows(**changes):
    return {row.name: row for row in cost.table(SpikformerConfig(**{**BASE, **changes}))}


def numbers(row):
    """What of a row is not 0."""
    return {k: v for k, v in dataclasses.asdict(row).items() if v and k not in ("name", "steps", "kind")}


@pytest.mark.slow
def test_every_number_of_old_networks_is_what_it_was():
    written = json.loads(FILE.read_text())
    configs = [drawn(seed) for seed in range(NUMBER)]
    assert [counts(config) for config in configs] == written
    at_once = [cost.parameters(configs), cost.flops(configs), cost.flops(configs, "full")]
    assert np.transpose(at_once).tolist() == [each[:3] for each in written]


def test_token_qk_and_one_convolution_by_hand():
    found = rows(mixer="cost_token_qk", neuron="plif", proj_bias=False)
    assert list(found) == [
        "stem/patch", "block_0/attention/qk", "block_0/attention/proj", "block_0/mlp/fc1", "block_0/mlp/fc2", "head",
    ]  # fmt: skip
    stem, qk, proj = list(found.values())[:3]
    assert (stem.kind, qk.kind, proj.kind) == ("conv", "dense", "dense")
    assert numbers(stem) == {
        "macs": 25 * 2 * 16 * 6,
        "parameters": 25 * 2 * 16 + 16 + 2 * 16 + 1,  # kernel, bias, normalisation, one learned tau
        "elements": 2 * 96,
        "neurons": 96,
        "normalised": 96,
        "additions": 96,  # the bias
    }
    assert numbers(qk) == {
        "macs": 2 * 16 * 16 * 6,
        "parameters": 2 * 16 * 16 + 2 * 16 + 2 * 32 + 2 + 1,
        "elements": 96,
        "neurons": 2 * 96 + 4 * 6,  # q and k; one a head and token
        "normalised": 2 * 96,
        "additions": 2 * 96 + 96,  # the biases, the mask
    }
    assert numbers(proj) == {
        "macs": 16 * 16 * 6,
        "parameters": 16 * 16 + 2 * 16 + 1,
        "elements": 96,
        "neurons": 96,
        "normalised": 96,
        "additions": 96,  # the block's sum; no bias
    }
    config = SpikformerConfig(**BASE, mixer="cost_token_qk")
    assert neuron_counts(config) == {
        "stem/neuron": 96, "block_0/attention/qk_neuron": 192, "block_0/attention/attention_neuron": 24,
        "block_0/attention/proj_neuron": 96, "block_0/mlp/fc1_neuron": 240, "block_0/mlp/fc2_neuron": 96,
    }  # fmt: skip
    assert sum(row.neurons for row in cost.table(config)) == sum(neuron_counts(config).values())


def test_token_qk_has_the_parameters_that_the_prototype_counted():
    config = SpikformerConfig(embed_dim=16, depth=1, num_heads=2, mixer="cost_token_qk")
    table = cost.table(config)
    assert sum(row.parameters for row in table if "/attention/" in row.name) == 912
    ssa = cost.table(config.replace(mixer="ssa"))
    assert sum(row.parameters for row in ssa if "/attention/" in row.name) == 1216


def test_convolution_over_tokens_by_hand():
    mixer = own.Depthwise(bias=True)
    row = rows(mixer=mixer)["block_0/attention/conv"]
    assert row.kind == "conv"
    assert numbers(row) == {
        "macs": 9 * 16 * 6,
        "parameters": 9 * 16 + 16 + 2 * 16,
        "elements": 96,
        "neurons": 96 + 8,  # half the width, once for all tokens
        "normalised": 96,
        "additions": 96 + 96,
    }
    assert numbers(rows(mixer=own.Depthwise())["block_0/attention/conv"])["parameters"] == 9 * 16 + 2 * 16


def test_every_part_of_a_stem_counts_where_it_stands():
    """8 x 12 pixels, then 4 x 6 after a stride, 2 x 3 after the pool; the side branch starts at the image."""
    found = rows(stem="cost_branched")
    assert numbers(found["stem/conv"]) == {
        "macs": 9 * 2 * 8 * 24, "parameters": 9 * 2 * 8, "elements": 2 * 96, "neurons": 8 * 24, "pooled": 8 * 24,
    }  # fmt: skip
    assert numbers(found["stem/dense"]) == {
        "macs": 8 * 16 * 6, "parameters": 8 * 16 + 16, "elements": 8 * 6, "additions": 16 * 6,
    }  # fmt: skip
    assert numbers(found["stem/side"]) == {
        "macs": 2 * 16 * 6, "parameters": 2 * 16 + 32, "elements": 2 * 96, "normalised": 96, "additions": 96,
    }  # fmt: skip
    config = SpikformerConfig(**{**BASE, "stem": "cost_branched"})
    assert pools(config) == {"stem/conv": [(192, "stem/neuron")]}


def test_pools_know_whose_spikes_they_take():
    config = SpikformerConfig(input_shape=(8, 8, 1), embed_dim=16, num_heads=2)
    assert pools(config) == {"stem/conv_2": [(512, "stem/neuron_2")], "stem/conv_3": [(256, "stem/neuron_3")]}
    assert pools(config.replace(pool_after="norm")) == {"stem/conv_2": [(512, None)], "stem/conv_3": [(256, None)]}
    assert pools(config.replace(residual="membrane"))["stem/conv_3"] == [(256, None)]


def test_parts_without_a_product_have_one_row_and_no_parts_none():
    row = rows(mixer="cost_norm", neuron="cost_two_weights")["block_0/attention/norm"]
    assert (row.kind, row.macs, row.elements) == ("other", 0, 0)
    assert numbers(row) == {"parameters": 32 + 2 * 2, "neurons": 2 * 96, "normalised": 96, "additions": 96}
    assert cost.flops(SpikformerConfig(**BASE, mixer="cost_norm")) - cost.flops(
        SpikformerConfig(**BASE, mixer="cost_identity")
    ) == 3 * (2 * 96 + 2 * 96)
    assert not [name for name in rows(mixer="cost_identity") if "/attention/" in name]


def test_networks_of_any_components_are_counted_at_once():
    mixers = ["ssa", "cost_token_qk", own.Depthwise(bias=True), "cost_depthwise", "cost_norm", "cost_identity"]
    configs = [
        SpikformerConfig(**{**BASE, "input_shape": shape, "stem": stem, "neuron": neuron, "depth": depth,
                            "mixer": tuple(itertools.islice(itertools.cycle(mixers[i:]), depth)), "mlp_ratio": 1 + i})
        for i, (stem, neuron, depth, shape) in enumerate(
            itertools.product(
                ["cost_patches", "cost_branched"], ["lif", "cost_two_weights"], [1, 3], [(8, 12, 2), (5, 7, 1)]
            )
        )
        for i in [i % len(mixers)]
    ]  # fmt: skip
    configs += [drawn(seed) for seed in range(4)]
    alone = [cost.table(config) for config in configs]
    assert cost.parameters(configs).tolist() == [sum(row.parameters for row in table) for table in alone]
    assert cost.flops(configs, "full").tolist() == [sum(row.flops("full") for row in table) for table in alone]
    together = {(row.name, row.kind): row for row in cost.table(cost.Sizes.of_configs(configs))}
    for at, table in enumerate(alone):
        here = {(row.name, row.kind): row for row in table}
        for key, row in together.items():
            of_one = numbers(here[key]) if key in here else {}
            assert {k: int(v[at]) for k, v in numbers_of_many(row).items() if v[at]} == of_one
    some = cost.Sizes.of_configs(configs)[np.array([7, 2])]
    assert cost.parameters(some).tolist() == [cost.parameters(configs[i]) for i in (7, 2)]


def numbers_of_many(row):
    return {f.name: getattr(row, f.name) for f in dataclasses.fields(row) if f.name not in ("name", "steps", "kind")}


@pytest.mark.parametrize("neurons", [("lif",), ("lif", "plif", "cost_two_weights")])
def test_spaces_whose_genes_are_words_are_counted_as_their_configs(neurons):
    base = SpikformerConfig(**{**BASE, "depth": 3, "stem": "cost_patches"})
    space = SearchSpace(
        base,
        stem=("cost_branched", "cost_patches"),
        embed_dim=(16, 32),
        depth=(1, 2, 3),
        neuron=neurons,
        mixer=("ssa", "cost_token_qk", own.Depthwise(bias=True), "cost_identity"),
        mlp_ratio=(1, 2.5),
        num_heads=(2, 4),
    )
    indices = np.random.default_rng(0).integers(0, space.cardinalities, (60, len(space.slots)))
    sizes = cost.Sizes.of_space(space, indices)
    configs = [space.decode(row).to_config() for row in indices]
    np.testing.assert_array_equal(cost.parameters(sizes), cost.parameters(configs))
    for counting in cost.COUNTINGS:
        np.testing.assert_array_equal(cost.flops(sizes, counting), cost.flops(configs, counting))


def test_a_ranking_ignores_heads_only_where_no_part_counts_them():
    base = SpikformerConfig(**{**BASE, "depth": 2})
    flops, attention = QUANTITIES["flops"], QUANTITIES["attention"]
    plain = SearchSpace(base, num_heads=(2, 4), mixer=("ssa", "cost_depthwise"))
    assert "num_heads" in flops.ignored(plain) and "mlp_ratio" in attention.ignored(plain)
    by_head = SearchSpace(base, num_heads=(2, 4), mixer=("ssa", "cost_token_qk"))
    assert "num_heads" not in flops.ignored(by_head) and "num_heads" in QUANTITIES["parameters"].ignored(by_head)
    sizes = cost.Sizes.of_configs([base, base.replace(mixer=("ssa", "cost_token_qk")), base.replace(mixer="cost_norm")])
    assert attention.count(sizes).tolist() == [2 * 2 * 3 * 6 * 16 * 4, 2 * 3 * 6 * 16 * 4, 0]


def test_a_part_that_costs_do_not_know_is_refused_by_its_component():
    @dataclasses.dataclass(frozen=True)
    class Strange(Part):
        pass

    made = Declared((("odd", Strange()),), ((4, 4),), 4, (2, 2), True, "mixer cost_strange")
    sizes = cost.Sizes.of_configs([SpikformerConfig(**BASE)])
    with pytest.raises(ValueError, match="mixer cost_strange: odd is a Strange, which kspike.cost cannot count"):
        cost.table(dataclasses.replace(sizes, declared={**sizes.declared, "mixer": (made,)}))


def test_a_stem_that_names_a_size_of_blocks_is_refused():
    made = Declared((("n", Neuron("stem", "heads")),), ((4, 4),), 4, (2, 2), False, "stem cost_strange")
    sizes = cost.Sizes.of_configs([SpikformerConfig(**BASE)])
    with pytest.raises(ValueError, match="stem cost_strange names the size 'heads'.*there: width, image, tokens"):
        cost.table(dataclasses.replace(sizes, declared={**sizes.declared, "stem": (made,)}))


def test_no_component_is_named_in_the_closed_form():
    import ast
    from pathlib import Path

    folder = Path(cost.__file__).parent / "analytic"
    names = {name for role in components.ROLES for name in components.names(role) if not name.startswith("cost_")}
    names -= {"spiking", "identity", "neuron", "mean", "conv"}  # words of the language too
    names |= {"qkv", "proj", "fc1", "SSA", "SPS"}
    for path in folder.glob("*.py"):
        tree = ast.parse(path.read_text())
        words = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
        words |= {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
        assert not names & words, path.name
