"""The supernet's proof over stages: widths and depths by stage, downsamplings, second mixers, heads that fire."""

import functools

import keras
import numpy as np
import pytest

from kspike import SpikformerConfig
from kspike.space import SearchSpace
from tests.helpers import BACKEND, to_numpy, traced, weight_gradients
from tests.supernet import proof
from tests.supernet.test_words import taken_out, training

TORCH = BACKEND == "torch"
SPACE = SearchSpace(
    SpikformerConfig(
        input_shape=(16, 16, 3), num_classes=3, timesteps=2, residual="membrane", stem="embed_max",
        embed_dim=(16, 32), depth=(1, 2), num_heads=2, mlp_ratio=2.0, head="neuron",
    ),
    name="staged", embed_dim={0: (8, 16), 1: (16, 32)}, depth={1: (1, 2)}, timesteps=(1, 2),
    mixer={0: ("dwconv3", "token_qk"), 1: ("ssa", "identity", "sdsa1")}, local={1: ("identity", "dwconv5")},
    downsample=("embed_max", "spikingformer"), num_heads=(1, 2), mlp_ratio=(1, 2), tau={"head": (1.5, 2.0)},
)  # fmt: skip
#: Networks that together have every choice of every word.
WORDS = [
    {
        "depth": {1: 2}, "mixer": {0: "dwconv3", 1: ("ssa", "identity")}, "local": {1: ("identity", "dwconv5")},
        "downsample": {1: "embed_max"},
    },
    {
        "depth": {1: 1}, "mixer": {0: "token_qk", 1: "sdsa1"}, "local": {1: "dwconv5"},
        "downsample": {1: "spikingformer"},
    },
]  # fmt: skip
PUBLISHED = [
    pytest.param(name, masked, marks=pytest.mark.slow if TORCH and not masked else pytest.mark.proof)
    for name in ("kspike_mixers_c10_16", "kspike_mixers_c10", "kspike_mixers_dvs")
    for masked in proof.VIEWS
]
PUBLISHED += [
    pytest.param(name, masked, marks=pytest.mark.proof)
    for name in ("kspike_nmnist", "kspike_gesture", "kspike_mixers_digits")
    for masked in proof.VIEWS
]


@functools.lru_cache(maxsize=2)
def trained(masked):
    images, labels = proof.images_of(SPACE, 32)
    return proof.trained(SPACE, images, labels, masked=masked), images


def networks():
    for i, words in enumerate(WORDS):
        yield SPACE.genome(
            **{"embed_dim": {0: 8, 1: 16 * (1 + i)}, "timesteps": 1 + i, "num_heads": 2 - i, "mlp_ratio": 1 + i,
               "tau": {"head": 1.5 + 0.5 * i}, **words}
        )  # fmt: skip


def prove(supernet, images, genomes):
    rows = [proof.compare(supernet, genome, images) for genome in genomes]
    assert max(row["spread"] for row in rows) > 1e-3  # silent networks would prove nothing
    flipped = sum(row["flipped"] for row in rows)
    assert flipped <= (proof.allowed(rows, False) if supernet.masked else 0)


# Elsewhere each network is a program of its own: two that together have every choice, of which one alone may be silent.
@pytest.mark.slow
@pytest.mark.parametrize("masked", proof.FORMS if TORCH else [None])
def test_a_subnet_is_the_network_taken_out(masked):
    supernet, images = trained(masked)
    genomes = list(networks())
    prove(supernet, images, genomes + [SPACE.sample(seed=s) for s in range(6)] if TORCH else genomes)


@pytest.mark.parametrize("masked", proof.FORMS if TORCH else [pytest.param(None, marks=pytest.mark.proof)])
def test_gradients_and_statistics_elsewhere_stay_as_they_are(masked):
    supernet, images = trained(masked)
    for genome in networks():
        supernet.activate(genome)
        inside = taken_out(supernet)
        with training(supernet):
            before = {id(v): np.array(to_numpy(v)) for v in supernet.variables}
            _, gradients = weight_gradients(supernet, images, lambda y: keras.ops.sum(y**2))
            for variable in supernet.trainable_variables:
                gradient = gradients[id(variable)]
                if gradient is not None:
                    assert not gradient[~inside[id(variable)]].any(), variable.path
            traced(supernet, {}, images)
        for variable in supernet.non_trainable_variables:
            if id(variable) in inside:
                changed = to_numpy(variable) != before[id(variable)]
                assert not changed[~inside[id(variable)]].any(), variable.path


@pytest.mark.skipif(not TORCH, reason="the views are held together by the test above")
def test_every_gene_acts():
    supernet, images = trained(False)
    images = images[:8]

    def logits(genome):
        supernet.activate(genome)
        supernet.calibrate([images])
        return supernet.predict(images, verbose=0)

    acts = set()
    for seed in range(12):
        base = SPACE.sample(seed=seed)
        reference = logits(base)
        for at, slot in enumerate(SPACE.slots):
            if slot.name in acts or base.expressed[at] < 0:
                continue
            other = [*base.indices]
            other[at] = (other[at] + 1) % slot.cardinality
            if not np.array_equal(logits(SPACE.decode(other)), reference):
                acts.add(slot.name)
    assert acts == {slot.name for slot in SPACE.slots}


@pytest.mark.parametrize("name, masked", PUBLISHED)
def test_published_spaces_over_mixers(name, masked):
    space = proof.shrunk(SearchSpace.load(name))
    images, labels = proof.images_of(space, 32)
    supernet = proof.trained(space, images, labels, masked=masked)
    prove(supernet, images, [space.sample(seed=seed) for seed in range(4 if TORCH else 2)])
