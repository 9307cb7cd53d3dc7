"""The supernet's proof on every published space: a subnet is the network taken out of it, and every gene acts.

In `make test` under torch each space at an eighth of its width, trained, on slices; under masks the few spaces that
have between them every kind of gene and of network. The other backends, which compile each anew, prove small spaces of
the same genes (test_supernet.py, test_words.py, test_stages.py). `make proof` takes all of them in every way, and the
spaces whole; where KSPIKE_PROOF names a CSV file it adds a row a space to it.
"""

import csv
import functools
import os

import numpy as np
import pytest

from kspike import ops
from kspike.space import SearchSpace
from tests.helpers import BACKEND, traced
from tests.supernet import proof

TORCH = BACKEND == "torch"
#: Those with stages, and those of events, are proved in test_stages.py.
ELSEWHERE = ("kspike_mixers", "kspike_nmnist", "kspike_gesture")
NAMES = [name for name in SearchSpace.names() if not name.startswith(ELSEWHERE)]
#: Between them: both shortcuts and neurons, genes of width, stem, depth, T, heads, ratio, tau and threshold by kind.
FEW = ("autost_tiny", "kspike_c10_16")
#: Spaces whose genes are tried one by one in `make test`.
TRIED = ("auto_spikformer_more_layer_1", "autost_tiny") if TORCH else ()
GENES = [pytest.param(name, marks=pytest.mark.slow if name in TRIED else pytest.mark.proof) for name in NAMES]
#: (name, masked): slices cost least, masks are what the other backends have, and compile.
EACH = [
    pytest.param(name, False, id=f"False-{name}", marks=() if name in FEW else pytest.mark.slow)
    for name in NAMES
    if TORCH
]
MASKED = True if TORCH else None
UNMARKED = FEW if TORCH else ()
EACH += [
    pytest.param(name, MASKED, id=f"{MASKED}-{name}", marks=pytest.mark.slow if name in UNMARKED else pytest.mark.proof)
    for name in NAMES
]


@functools.lru_cache(maxsize=1)
def small(name, masked):
    space = proof.shrunk(SearchSpace.load(name))
    images, labels = proof.images_of(space, 48)
    return proof.trained(space, images, labels, masked=masked), images


def compared(supernet, images, genomes):
    """Compares every genome; every image that differs is traced to a neuron within rounding of its threshold."""
    rows = [proof.compare(supernet, genome, images) for genome in genomes]
    assert all(row["spread"] > 1e-3 for row in rows)  # a silent network would prove nothing
    return rows


def prove(supernet, rows, ordered=False):
    """The space as a whole may have few images flipped, on slices none: those go through the same passes."""
    flipped, seen = (sum(row[name] for row in rows) for name in ("spikes" if ordered else "flipped", "images"))
    assert flipped <= (proof.allowed(rows, ordered) if supernet.masked else 0), f"{flipped} of {seen} images flipped"


def living(space):
    """The largest network, with the neurons that fire most readily: with others, attention of few tokens is silent."""
    eager = {at for at, slot in enumerate(space.slots) if slot.name.startswith(("tau", "v_threshold"))}
    return space.decode([0 if at in eager else index for at, index in enumerate(space.largest().indices)])


@pytest.mark.parametrize("name, masked", EACH)
def test_a_subnet_is_the_network_taken_out(name, masked):
    supernet, images = small(name, masked)
    genomes = [supernet.space.sample(seed=seed) for seed in range(2 if masked is None else 3)]
    prove(supernet, compared(supernet, images, genomes))


@pytest.mark.shared
@pytest.mark.skipif(TORCH, reason="under torch all are trained")
@pytest.mark.parametrize("name", NAMES)
def test_a_subnet_of_every_space_is_the_network_taken_out(name):
    """Shapes, genes and masks of each space, without its training to compile."""
    space = proof.shrunk(SearchSpace.load(name), most=2)
    images, _ = proof.images_of(space, 48)
    supernet = proof.awake(space)
    prove(supernet, compared(supernet, images, [space.sample(seed=0)]))


@pytest.mark.parametrize("name", GENES)
def test_every_gene_acts_alone(name):
    """Each slot of the genome, the others as in a living network of the greatest depth."""
    supernet, images = small(name, True if TORCH else None)
    space, images = supernet.space, images[:8]

    def logits(genome):
        supernet.activate(genome)
        supernet.calibrate([images])
        return supernet.predict(images, verbose=0)

    base = living(space)
    reference = logits(base)
    alone = supernet.extract()
    layers = {name: layer for name, (layer, _) in proof.neurons(alone).items()}
    assert all(spikes.any() for _, spikes in traced(alone, layers, images)[1].values())
    for at, slot in enumerate(space.slots):
        for other in {(base.indices[at] + 1) % slot.cardinality} - {base.indices[at]}:
            changed = space.decode([*base.indices[:at], other, *base.indices[at + 1 :]])
            assert not np.array_equal(logits(changed), reference), slot.name


@pytest.mark.proof
@pytest.mark.parametrize("name", NAMES)
def test_whole_spaces(name):
    space = SearchSpace.load(name)
    images, labels = proof.images_of(space, 8)
    supernet = proof.trained(space, images, labels, steps=2)
    genomes = [space.sample(seed=seed) for seed in range(5 if TORCH else 3)]
    rows = compared(supernet, images, genomes)
    with ops.ordered_sums():
        supernet.compile("adamw", proof.loss())  # so that predict is traced anew
        ordered = compared(supernet, images, genomes)
    if path := os.environ.get("KSPIKE_PROOF"):
        row = {"space": name, "backend": BACKEND, "networks": len(rows)}
        row |= {"updates": round(sum(each["updates"] for each in rows) / len(rows))}
        row |= {key: sum(each[key] for each in rows) for key in ("images", "flipped")}
        row["flipped_ordered"] = sum(each["spikes"] for each in ordered)
        row["worst"] = max(each["worst"] for each in rows)
        fresh = not os.path.exists(path)
        with open(path, "a", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            if fresh:
                writer.writeheader()
            writer.writerow(row)
    prove(supernet, rows)
    prove(supernet, ordered, ordered=True)
