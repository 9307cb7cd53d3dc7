"""One step of training: a subnet moves as the network taken out of it does, and nothing else of the supernet moves."""

import keras
import numpy as np
import pytest

from kspike.space import SearchSpace
from tests.helpers import BACKEND, to_numpy
from tests.supernet import proof
from tests.supernet.test_sampling import Fixed

TORCH = BACKEND == "torch"
#: torch computes on slices, and under masks where told; the others compile under masks, for a minute a space.
MASKED = [False, True] if TORCH else [pytest.param(None, marks=pytest.mark.proof)]


@pytest.mark.parametrize("masked", MASKED)
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
