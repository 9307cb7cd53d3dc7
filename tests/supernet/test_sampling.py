"""Which networks a step trains: averaged gradients, distillation, accumulation, and what is looked at meanwhile."""

import keras
import numpy as np
import pytest

from kspike.config import SpikformerConfig
from kspike.space import SearchSpace
from kspike.supernet import Sandwich, SinglePath, SubnetValidation, Supernet
from kspike.supernet.sampling import distillation
from tests.helpers import BACKEND, input_gradient, to_numpy

SPACE = SearchSpace(
    SpikformerConfig(input_shape=(8, 8, 1), num_classes=4, num_heads=2, stem_pool=(False, False, True, True)),
    embed_dim=(8, 16),
    depth=(1, 2),
    timesteps=(1, 2),
    v_threshold=(0.5, 0.8),
)
LARGE = SPACE.genome(embed_dim=16, depth=2, timesteps=2, v_threshold=0.5)
SMALL = SPACE.genome(embed_dim=8, depth=1, timesteps=1, v_threshold=0.5)


class Fixed:
    """Trains given networks, each step the same."""

    teaches = False

    def __init__(self, *genomes):
        self.indices = [g.space.encode(g) for g in genomes]

    def first(self, space, draw):
        return self.indices[0]

    def others(self, space, draw):
        return self.indices[1:]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    return rng.normal(0.5, 1.0, (16, 8, 8, 1)).astype("float32"), (np.arange(16) % 4).astype("int32")


def made(sampling=None, optimizer=None, **options):
    keras.utils.set_random_seed(5)
    supernet = Supernet(SPACE, sampling=sampling, **options)
    for norm in supernet.norm_layers():  # alive from the first step on
        norm.beta.assign(np.full(norm.beta.shape, 0.5, "float32"))
    supernet.compile(
        optimizer or keras.optimizers.SGD(1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return supernet


def step(sampling, data, epochs=1, optimizer=None):
    """What `fit` changes in every weight."""
    supernet = made(sampling, optimizer)
    before = [to_numpy(v) for v in supernet.trainable_variables]
    supernet.fit(*data, batch_size=16, epochs=epochs, verbose=0, shuffle=False)
    return [to_numpy(v) - b for v, b in zip(supernet.trainable_variables, before, strict=True)]


#: Where each supernet is compiled anew, for half a minute, tests that need several belong to `make proof`.
COMPILED = () if BACKEND == "torch" else pytest.mark.proof


@pytest.mark.slow
@pytest.mark.parametrize("networks", [pytest.param((LARGE, SMALL), marks=COMPILED)])
def test_the_gradients_of_several_networks_are_averaged(networks, data):
    large, small = networks
    one, other, both = step(Fixed(large), data), step(Fixed(small), data), step(Fixed(large, small), data)
    assert any(np.abs(a - b).max() > 1e-3 for a, b in zip(one, other, strict=True))
    for a, b, c in zip(one, other, both, strict=True):
        np.testing.assert_allclose(c, (a + b) / 2, atol=2e-5)


def test_students_learn_the_teachers_answers_and_the_teacher_learns_nothing_from_them():
    teacher, student = np.array([[2.0, 0.0], [0.0, 1.0]], "float32"), np.array([[0.0, 0.0], [1.0, 0.0]], "float32")
    for temperature in (1.0, 2.0):
        p = np.exp(teacher / temperature) / np.exp(teacher / temperature).sum(1, keepdims=True)
        q = np.exp(student / temperature) / np.exp(student / temperature).sum(1, keepdims=True)
        found = distillation(keras.ops.convert_to_tensor(teacher), keras.ops.convert_to_tensor(student), temperature)
        assert float(to_numpy(found)) == pytest.approx(-(temperature**2) * np.mean((p * np.log(q)).sum(1)), rel=1e-5)
    one = np.ones((), "float32")
    _, gradient = input_gradient(lambda x: distillation(x, x * 0.5 + 1.0, 1.0), teacher, one)
    p = np.exp(teacher) / np.exp(teacher).sum(1, keepdims=True)
    q = np.exp(teacher / 2) / np.exp(teacher / 2).sum(1, keepdims=True)
    np.testing.assert_allclose(gradient, 0.5 * (q - p) / 2, atol=1e-6)  # by the student's way alone


@pytest.mark.slow
@pytest.mark.parametrize(
    "sampling",
    [
        pytest.param("sandwich", marks=[pytest.mark.proof] if BACKEND == "tensorflow" else []),
        *(pytest.param(p, marks=COMPILED) for p in (SinglePath(networks=2), Sandwich(networks=1))),
    ],
)
def test_policies_train_by_plain_fit(sampling, data):
    supernet = made(sampling, keras.optimizers.AdamW(0.02))
    losses = supernet.fit(*data, batch_size=16, epochs=12, verbose=0).history["loss"]
    assert np.isfinite(losses).all() and np.mean(losses[-3:]) < losses[0]


@pytest.mark.slow
@pytest.mark.skipif(BACKEND != "torch", reason="elsewhere a weight out of use has a gradient of zero, not none")
def test_accumulated_gradients_of_a_deep_network_survive_a_shallow_one(data):
    class Alternating(Fixed):
        def first(self, space, draw):
            self.indices.reverse()
            return self.indices[0]

    optimizer = keras.optimizers.SGD(1.0, gradient_accumulation_steps=2)
    change = step(Alternating(SMALL, LARGE), data, epochs=2, optimizer=optimizer)
    one, other = step(Fixed(LARGE), data), step(Fixed(SMALL), data)
    assert any(np.abs(a).max() > 1e-3 for a in change)
    for a, b, c in zip(one, other, change, strict=True):
        np.testing.assert_allclose(c, (a + b) / 2, atol=2e-5)


@pytest.mark.shared
def test_the_sandwich_holds_the_largest_and_the_smallest():
    policy = Sandwich(networks=2)
    drawn = SPACE.encode(SPACE.sample(seed=1))
    others = policy.others(SPACE, lambda: drawn)
    assert SPACE.decode(policy.first(SPACE, lambda: drawn)) == SPACE.largest()
    assert SPACE.decode(others[0]) == SPACE.smallest() and len(others) == 3


def test_training_draws_every_value_of_every_gene_equally_often():
    """The public code of Auto-Spikformer draws twice, and one of the two draws neither tau, threshold nor T."""
    supernet = Supernet(SPACE, seed=4)
    drawn = np.array([to_numpy(supernet._draw()) for _ in range(600)], dtype="int64")
    for at, slot in enumerate(SPACE.slots):
        share = np.bincount(drawn[:, at], minlength=slot.cardinality) / len(drawn)
        assert share == pytest.approx(1 / slot.cardinality, abs=0.1), slot.name


@pytest.mark.shared
def test_a_supernet_keeps_its_policy():
    supernet = Supernet(SPACE, sampling=Sandwich(networks=1, temperature=2.0))
    assert Supernet.from_config(supernet.get_config()).sampling == Sandwich(networks=1, temperature=2.0)
    assert Supernet(SPACE).sampling == SinglePath()


@pytest.mark.shared
@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Supernet(SPACE, sampling="sandwhich"), "sandwich"),
        (lambda: Supernet(SPACE, sampling=3), "sampling must be"),
        (lambda: Supernet(SPACE, sampling=SinglePath), "sampling must be"),  # the class, not an object of it
        (lambda: SinglePath(networks=0), "networks must be a whole number of at least 1"),
        (lambda: Sandwich(networks=-1), "networks"),
        (lambda: Sandwich(temperature=0), "temperature"),
    ],
)
def test_what_is_no_policy_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.slow
@pytest.mark.shared
def test_validation_looks_at_the_same_networks_each_epoch_and_disturbs_nothing(data):
    images, labels = data
    batches = [(images[:8], labels[:8]), (images[8:], labels[8:])]
    lines, seen = [], []

    class Looking(SubnetValidation):
        def on_epoch_end(self, epoch, logs=None):
            before, genome = self.model.statistics(), self.model.genome
            super().on_epoch_end(epoch, logs)
            for one, other in zip(self.model.statistics(), before, strict=True):
                np.testing.assert_array_equal(one, other)
            assert self.model.genome == genome
            seen.append(dict(logs))

    supernet = made(optimizer=keras.optimizers.SGD(0.0))  # nothing is learned: the same must be seen twice
    looking = Looking(batches, batches, networks=2, say=lines.append)
    history = supernet.fit(*data, batch_size=16, epochs=2, verbose=0, callbacks=[looking]).history
    names = {"val_smallest", "val_largest", "val_random_0", "val_random_1"}
    assert names <= set(history) and names <= set(seen[0])
    assert all(seen[0][name] == seen[1][name] for name in names)
    supernet.activate(SPACE.largest())
    supernet.calibrate(batches)
    accuracy = np.mean(supernet.predict(images, verbose=0).argmax(1) == labels)
    assert seen[1]["val_largest"] == pytest.approx(accuracy)
    assert len(lines) == 2 and "smallest network" in lines[0] and "2 random" in lines[0]
