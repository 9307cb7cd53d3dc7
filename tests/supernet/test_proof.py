"""The supernet's proof on every published space: a subnet is the network taken out of it, and every gene acts.

In `make test` each space at an eighth of its width; `make proof` takes the spaces whole, and where KSPIKE_PROOF names a
CSV file adds a row a space to it.
"""

import csv
import functools
import os

import keras
import numpy as np
import pytest

from kspike.space import SearchSpace
from tests.helpers import BACKEND, to_numpy
from tests.supernet import proof
from tests.supernet.test_sampling import Fixed

TORCH = BACKEND == "torch"
NAMES = SearchSpace.names()
#: Where each space is compiled anew, one of each kind goes into `make test`, the others into `make proof`.
QUICK = NAMES if TORCH else ("auto_spikformer", "autost_tiny")
EACH = [pytest.param(name, marks=() if name in QUICK else pytest.mark.proof) for name in NAMES]


@functools.lru_cache(maxsize=1)
def small(name, masked):
    space = proof.shrunk(SearchSpace.load(name))
    images, labels = proof.images_of(space, 48)
    return proof.trained(space, images, labels, masked=masked), images


def prove(supernet, images, genomes):
    """Compares every genome; the space as a whole may have few images flipped."""
    rows = [proof.compare(supernet, genome, images) for genome in genomes]
    flipped, seen = sum(row["flipped"] for row in rows), sum(row["images"] for row in rows)
    assert flipped <= max(1, proof.FLIPPED * seen), f"{flipped} of {seen} images flipped"
    assert all(row["spread"] > 1e-3 for row in rows)  # a silent network would prove nothing
    return {"networks": len(rows), "images": seen, "flipped": flipped, "worst": max(row["worst"] for row in rows)}


@pytest.mark.parametrize("name", EACH)
@pytest.mark.parametrize("masked", [False, True] if TORCH else [None])
def test_a_subnet_is_the_network_taken_out(name, masked):
    supernet, images = small(name, masked)
    prove(supernet, images, [supernet.space.sample(seed=seed) for seed in range(2 if masked is None else 3)])


@pytest.mark.parametrize("name", EACH)
def test_every_gene_acts_alone(name):
    """Each slot of the genome, the others as in a living network of the greatest depth."""
    supernet, images = small(name, True if TORCH else None)
    space, images = supernet.space, images[:8]

    def logits(genome):
        supernet.activate(genome)
        supernet.calibrate([images])
        return supernet.predict(images, verbose=0)

    base = space.largest()
    reference = logits(base)
    assert np.abs(reference - reference[:1]).max() > 1e-3
    for at, slot in enumerate(space.slots):
        for other in {(base.indices[at] + 1) % slot.cardinality} - {base.indices[at]}:
            changed = space.decode([*base.indices[:at], other, *base.indices[at + 1 :]])
            assert not np.array_equal(logits(changed), reference), slot.name


@pytest.mark.parametrize("masked", [False, True] if TORCH else [None])
@pytest.mark.parametrize("name", ["auto_spikformer", "autost_tiny"])
def test_a_subnet_trains_as_the_network_taken_out_does_and_moves_nothing_else(name, masked):
    """One step of plain gradient descent: weights (so gradients) and statistics, inside and outside the subnet."""
    space = proof.shrunk(SearchSpace.load(name))
    largest = space.largest()
    genome = space.decode(
        [0 if s.gene.name == "embed_dim" else i for s, i in zip(space.slots, largest.indices, strict=True)]
    )
    if "depth" in {gene.name for gene in space.genes}:
        values = genome.to_dict() | {"depth": space.smallest().depth}
        genome = type(genome).from_dict(values, space)
    for seed in range(4):  # until a batch on which no spike flips between two orders of summing
        images, labels = proof.images_of(space, 8, seed)
        supernet = proof.trained(space, images, labels, steps=1, masked=masked)
        supernet.sampling = Fixed(genome)
        supernet.activate(genome)
        alone = supernet.extract()
        before = state(supernet)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        for model in (supernet, alone):
            model.compile(keras.optimizers.SGD(0.1), loss)
        losses = [model.fit(images, labels, batch_size=8, verbose=0).history["loss"][0] for model in (supernet, alone)]
        inside = supernet.extract()
        # float32 rounding alone stays far below this; a flipped spike moves many weights by more
        apart = max(np.abs(to_numpy(a) - to_numpy(b)).max() for a, b in zip(inside.weights, alone.weights, strict=True))
        if abs(losses[0] - losses[1]) < 1e-6 and apart < 1e-4:
            break
    else:
        pytest.fail(f"weights and statistics after a step differ by {apart}, losses are {losses}")
    active = belonging(space, genome, masked)
    assert sum(a.sum() for a in active) == sum(np.prod(w.shape) for w in inside.weights)
    for now, then, used in zip(state(supernet), before, active, strict=True):
        np.testing.assert_array_equal(now[~used], then[~used])
    assert any((now != then).any() for now, then in zip(state(supernet), before, strict=True))


def state(supernet):
    """Every weight and statistic, the choice of the network left out."""
    return [to_numpy(v) for v in supernet.weights if v.dtype != "int32"]


def belonging(space, genome, masked):
    """For every weight of a supernet, which of its numbers the extracted network holds: numbered, extracted, found."""
    supernet = proof.Supernet(space, masked=masked)
    count, shapes = 1, []
    for variable in (v for v in supernet.weights if v.dtype != "int32"):
        size = int(np.prod(variable.shape))
        variable.assign(np.arange(count, count + size, dtype="float32").reshape(variable.shape))
        shapes.append((count, variable.shape))
        count += size
    assert count < 2**24
    held = np.zeros(count, bool)
    for weight in supernet.extract(genome).weights:
        held[to_numpy(weight).astype("int64").ravel()] = True
    return [held[start : start + int(np.prod(shape))].reshape(shape) for start, shape in shapes]


@pytest.mark.proof
@pytest.mark.parametrize("name", NAMES)
def test_whole_spaces(name):
    space = SearchSpace.load(name)
    images, labels = proof.images_of(space, 8)
    supernet = proof.trained(space, images, labels, steps=2)
    found = prove(supernet, images, [space.sample(seed=seed) for seed in range(5 if TORCH else 3)])
    if path := os.environ.get("KSPIKE_PROOF"):
        row = {"space": name, "backend": BACKEND, **found}
        fresh = not os.path.exists(path)
        with open(path, "a", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            if fresh:
                writer.writeheader()
            writer.writerow(row)
