"""A search space counts, samples, encodes and stores exactly what it says."""

import json

import numpy as np
import pytest

import kspike
from kspike.config import SpikformerConfig
from kspike.space import Genome, SearchSpace

pytestmark = pytest.mark.once

BASE = SpikformerConfig(input_shape=(8, 8, 1), num_classes=10, stem_pool=(False, False, False, True))


def space(**genes):
    genes = genes or {
        "embed_dim": (32, 64),
        "depth": (1, 2, 3),
        "timesteps": (1, 2),
        "num_heads": (2, 4),
        "mlp_ratio": (1, 2.5),
    }
    return SearchSpace(BASE, **genes)


def test_size_is_the_number_of_different_networks():
    small = space(embed_dim=(32, 64), depth=(1, 3), num_heads=(2, 4), tau={"stem": (1.5, 2.0)})
    networks = [genome.to_config() for genome in small.genomes()]
    assert small.size() == len(networks) == len(set(networks)) == 2 * 2 * (2 + 2**3)


def test_every_sample_is_a_network_of_the_space_and_a_seed_repeats_it():
    drawn = [space().sample(seed=seed) for seed in range(30)]
    assert [g.indices for g in drawn] == [space().sample(seed=seed).indices for seed in range(30)]
    assert {g.to_config().embed_dim for g in drawn} == {32, 64}
    assert {g.to_config().depth for g in drawn} == {1, 2, 3}
    rng = np.random.default_rng(0)
    assert space().sample(rng=rng) != space().sample(rng=rng)


def test_encode_and_decode_are_inverse_and_follow_the_slots():
    s = space()
    assert s.cardinalities.tolist() == [slot.cardinality for slot in s.slots] == [2, 3, 2] + [2] * 6
    assert len({slot.name for slot in s.slots}) == len(s.slots)
    for seed in range(5):
        genome = s.sample(seed=seed)
        encoded = s.encode(genome)
        assert encoded.dtype == np.int32
        assert s.decode(encoded).indices == genome.indices
        for slot, i in zip(s.slots, encoded, strict=True):
            value = genome.values[slot.gene.name]
            assert slot.gene.choices[i] == (value if slot.block is None else value[slot.block])


def test_genomes_that_express_the_same_network_are_one():
    s = space()
    a = s.genome(embed_dim=32, depth=1, timesteps=1, num_heads=(2, 4, 4), mlp_ratio=1)
    b = s.genome(embed_dim=32, depth=1, timesteps=1, num_heads=2, mlp_ratio=(1,))
    c = s.genome(embed_dim=32, depth=2, timesteps=1, num_heads=2, mlp_ratio=1)
    assert a == b and hash(a) == hash(b) and a.id == b.id and a.indices != b.indices
    assert a.to_config() == b.to_config()
    assert a != c and a.id != c.id
    assert a != space(depth=(1, 2)).genome(depth=1)


def test_genomes_travel_as_json_with_their_unexpressed_blocks():
    s = space()
    genome = s.genome(embed_dim=64, depth=1, timesteps=2, num_heads=(4, 2, 4), mlp_ratio=2.5)
    again = Genome.from_dict(json.loads(json.dumps(genome.to_dict())), s)
    assert again.indices == genome.indices


@pytest.mark.parametrize(
    "values, message",
    [
        ({"embed_dim": 40}, "embed_dim must be one of \\[32, 64\\], got 40"),
        ({"num_head": 2}, "num_head.*num_heads"),
        ({"num_heads": (2, 4)}, "3 values"),
        ({"depth": None}, "depth must be one of"),
    ],
)
def test_a_genome_made_by_hand_is_checked(values, message):
    right = {"embed_dim": 32, "depth": 3, "timesteps": 1, "num_heads": 2, "mlp_ratio": 1}
    with pytest.raises(ValueError, match=message):
        space().genome(**(right | values))
    del right["depth"]
    with pytest.raises(ValueError, match="lacks depth"):
        space().genome(**right)


def test_max_config_contains_every_network():
    s = SearchSpace(
        BASE,
        embed_dim=(32, 64),
        depth=(1, 3),
        stem_channels=((4, 8), (8, 16), (40, 16)),
        mlp_ratio=(1, 3),
        tau=(1.5, 10.0),
        num_heads=4,
    )
    largest = s.max_config()
    assert largest == s.largest().to_config()
    assert (s.max_depth, s.max_timesteps) == (3, 4)
    assert largest.tau["fc1"] == (1.5,) * 3  # the living one of the two
    for seed in range(20):
        config = s.sample(seed=seed).to_config()
        assert all(a <= b for a, b in zip(config.stage_channels, largest.stage_channels, strict=True))
        assert max(config.hidden_dims) <= largest.hidden_dims[0]
        assert config.depth <= largest.depth


def test_the_stem_follows_the_width_unless_it_is_fixed():
    s = SearchSpace(SpikformerConfig(num_heads=4), embed_dim=(32, 64), depth=1)
    assert s.stem_follows_width
    assert s.genome(embed_dim=32).to_config().stem_channels == (4, 8, 16)
    fixed = SearchSpace(SpikformerConfig(num_heads=4), embed_dim=(32, 64), depth=1, stem_channels=(48, 96, 192))
    assert not fixed.stem_follows_width
    assert fixed.genome(embed_dim=32).to_config().stem_channels == (48, 96, 192)
    by_base = SearchSpace(SpikformerConfig(num_heads=4, stem_channels=(5, 6, 7)), embed_dim=(32, 64), depth=1)
    assert by_base.genome(embed_dim=32).to_config().stem_channels == (5, 6, 7)


def test_plain_neuron_genes_reach_the_kinds_they_say():
    s = SearchSpace(BASE, depth=(1, 2), tau=(1.25, 2.0), v_threshold=(0.6, 1.4))
    config = s.genome(depth=2, tau=(1.25, 2.0), v_threshold=(0.6, 1.4)).to_config()
    for kind in ("qkv", "attention", "proj", "fc1", "fc2"):
        assert config.tau[kind] == (1.25, 2.0)
        assert config.v_threshold[kind] == ((0.5, 0.5) if kind == "attention" else (0.6, 1.4))
    assert (config.tau["stem"], config.v_threshold["stem"]) == (2.0, 1.0)


def test_neuron_genes_by_kind_leave_the_others_as_in_the_base():
    s = SearchSpace(SpikformerConfig(tau=3.0), depth=2, v_threshold={"fc1": (0.6, 1.0), "stem": (0.8, 1.0)})
    config = s.genome(v_threshold={"fc1": (0.6, 1.0), "stem": 0.8}).to_config()
    assert config.v_threshold["fc1"] == (0.6, 1.0)
    assert config.v_threshold["fc2"] == (1.0, 1.0)
    assert config.v_threshold["stem"] == 0.8
    assert config.tau["fc1"] == (3.0, 3.0)
    assert s.size() == 2 * 2**2


def test_base_values_by_block_reach_the_depth_that_is_expressed():
    s = SearchSpace(SpikformerConfig(depth=3, mlp_ratio=(1.0, 2.0, 3.0)), depth=(1, 2, 3))
    assert s.genome(depth=2).to_config().mlp_ratio == (1.0, 2.0)
    with pytest.raises(ValueError, match="reaches depth 5"):
        SearchSpace(SpikformerConfig(depth=3, mlp_ratio=(1.0, 2.0, 3.0)), depth=(1, 5))


@pytest.mark.parametrize(
    "genes, message",
    [
        ({"embed_dims": (32,)}, "Unknown gene 'embed_dims'.*embed_dim"),
        ({"embed_dim": (32, 40), "num_heads": (2, 16)}, "16 heads do not divide width 40"),
        ({"embed_dim": (32, 40)}, "12 heads do not divide width 32"),
        ({"embed_dim": (36,), "num_heads": (2,)}, "multiple of 8"),
        ({"depth": ()}, "no choices"),
        ({"depth": (1, 1)}, "twice"),
        ({"depth": (1, 1.5)}, "whole"),
        ({"depth": "12"}, "must be a number or a tuple"),
        ({"tau": (1.0, 2.0)}, "tau.*above 1"),
        ({"v_threshold": {"fc3": (1.0,)}}, "fc3.*fc1|fc3.*fc2"),
        ({"v_threshold": {"input": (1.0, 2.0)}}, "could not act"),
        ({"stem_channels": (8, 16)}, "three tuples"),
        ({"mlp_ratio": (2.0, 2.0001)}, "same hidden width"),
    ],
)
def test_what_could_not_be_built_or_could_not_act_is_refused(genes, message):
    with pytest.raises(ValueError, match=message):
        SearchSpace(BASE, **genes)


def test_genes_without_effect_on_events_or_learnt_tau_are_refused():
    with pytest.raises(ValueError, match="frames"):
        SearchSpace(SpikformerConfig(input_shape=(4, 32, 32, 2)), timesteps=(2, 4))
    with pytest.raises(ValueError, match="plif"):
        SearchSpace(SpikformerConfig(neuron="plif"), tau=(1.5, 2.0))


def test_saved_and_loaded_spaces_are_equal(tmp_path):
    s = SearchSpace(
        BASE,
        name="mine",
        embed_dim=(32, 64),
        num_heads=(2, 4),
        depth=(1, 2),
        stem_channels=((4,), (8, 12), (16,)),
        tau={"stem": (1.5, 2.0), "fc1": (1.25, 2.0)},
        v_threshold=(0.6, 1.0),
    )
    path = s.save(tmp_path / "mine.json")
    again = SearchSpace.load(path)
    assert again == s and again.name == "mine" and again.fingerprint() == s.fingerprint()
    assert again.sample(seed=3) == s.sample(seed=3)
    assert list(tmp_path.iterdir()) == [path]
    assert space(embed_dim=(32, 64), num_heads=4).fingerprint() != space(embed_dim=(32, 48), num_heads=4).fingerprint()


@pytest.mark.parametrize(
    "text, message",
    [
        ("{", "JSON in UTF-8"),
        ("[]", "one JSON object"),
        ("[" * 100_000, "broken.json.*nest at most"),
        ('{"genes": ' * 50 + "1" + "}" * 50, "broken.json.*nest at most"),
        ('{"gene": {}}', "Unknown key 'gene'.*genes"),
        ('{"genes": {"depths": [1]}}', "Unknown gene 'depths'"),
        ('{"base": {"embed_dims": 4}}', "embed_dims"),
        ('{"genes": []}', "genes must be an object"),
    ],
)
def test_a_broken_file_says_what_is_wrong(tmp_path, text, message):
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        SearchSpace.load(path)
    with pytest.raises(ValueError, match="No file"):
        SearchSpace.load(tmp_path / "absent.json")


@pytest.mark.once
def test_a_space_is_made_for_the_images_and_classes_of_a_data_set():
    data = kspike.data.from_arrays(
        np.random.default_rng(0).random((30, 16, 16, 3)).astype("float32"), np.arange(30) % 3, input_range=(0, 1)
    )
    space = SearchSpace.load("digits")
    made = space.for_data(data)
    assert (made.base.input_shape, made.base.num_classes) == ((16, 16, 3), 3)
    assert made.genes == space.genes and made.fingerprint() != space.fingerprint()
