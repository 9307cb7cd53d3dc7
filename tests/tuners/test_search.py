"""A small search with everything real: supernet, calibration, energy, finalists."""

import dataclasses

import keras
import numpy as np
import pytest

from kspike import tuners
from kspike.tuners.project.data import Batches
from tests.helpers import BACKEND
from tests.tuners.fakes import SPACE, arrays

#: One finalist where each is a network to compile.
SMALL = {
    "generations": 1, "population_size": 3, "parents": 2, "finalists": 2 if BACKEND == "torch" else 1,
    "project_name": "p", "verbose": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A tuner after a whole search, and where it is."""
    folder = tmp_path_factory.mktemp("search")
    tuner = tuners.EvolutionSearch(SPACE, directory=folder, **SMALL)
    tuner.train_supernet(arrays(128), arrays(32, seed=1), epochs=2, learning_rate=1e-2)
    before = [np.array(v) for v in tuner.supernet.get_weights()]
    tuner.search(arrays(128), arrays(32, seed=1))
    return tuner, folder, before


def test_the_search_leaves_the_supernet_bit_for_bit_as_it_was(searched):
    tuner, _, before = searched
    for a, b in zip(before, tuner.supernet.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_candidates_are_measured(searched):
    tuner, *_ = searched
    assert len(tuner.state.archive) == 6
    for c in tuner.state.archive:
        assert c.completed, c.message
        assert 0 <= c.accuracy <= 1 and c.energy_mj > 0
        assert (c.accuracy * 16) == pytest.approx(round(c.accuracy * 16), abs=1e-4)  # of the scoring half's 16 images


def test_a_candidate_scores_the_same_whenever_it_is_evaluated(searched):
    tuner, *_ = searched
    for c in list(tuner.state.archive)[:2]:
        again = tuner._evaluate(c.genome)
        for name in ("accuracy", "energy_mj", "loss"):
            assert float(np.float32(again[name])) == c.metrics[name]


def test_the_best_model_is_an_ordinary_spikformer_that_does_what_was_recorded(searched):
    tuner, *_ = searched
    model = tuner.get_best_models()[0]
    best = tuner.best_candidates(1)[0]
    assert model.config == best.config
    images, labels = arrays(32, seed=1)
    order = np.argsort(labels, kind="stable")
    picking = np.sort(order[1::2])
    found = model.evaluate(images[picking], labels[picking], verbose=0, return_dict=True)
    recorded = tuner._picked()[0]["accuracy"]
    assert abs(found["accuracy"] - recorded) <= 1 / 16 + 1e-6  # at most one spike within rounding of its threshold


@pytest.mark.shared
def test_the_latency_of_a_candidate_is_that_of_its_extracted_network(searched, monkeypatch):
    tuner, *_ = searched
    genome, made = tuner.best_candidates(1)[0].genome, []
    monkeypatch.setattr(tuners.Latency, "_measure", lambda self, model, image: made.append((model, image)) or 2.5)
    evaluator = dataclasses.replace(tuner._evaluator, latency=tuners.Latency())
    for _ in range(2):
        assert evaluator(genome)["latency_ms"] == 2.5
    ((model, image),) = made  # once for a network
    assert model.config == genome.to_config() and image.shape == (1, 8, 8, 1)
    found = model.predict(image, verbose=0)
    np.testing.assert_allclose(
        found, tuner._evaluator.extract(genome, tuner._evaluator.scoring)[0].predict(image, verbose=0)
    )


@pytest.mark.shared
def test_a_new_process_finds_the_best_model_without_data(searched):
    tuner, folder, _ = searched
    again = tuners.EvolutionSearch(SPACE, directory=folder, **SMALL)
    images, _ = arrays(8, seed=3)
    first, second = (t.get_best_models()[0].predict(images, verbose=0) for t in (tuner, again))
    np.testing.assert_array_equal(first, second)
    assert again.train_supernet(arrays(128), arrays(32, seed=1), epochs=2, learning_rate=1e-2) is again.supernet
    for a, b in zip(tuner.supernet.get_weights(), again.supernet.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="supernet.epochs: 2 in the project, 3 now"):
        again.train_supernet(arrays(128), epochs=3, learning_rate=1e-2)
    images, labels = arrays(128)
    with pytest.raises(ValueError, match="supernet.batch_size: 64 in the project, 32 now"):
        again.train_supernet(Batches(images, labels, 32, 0), epochs=2, learning_rate=1e-2)


@pytest.mark.shared
def test_altered_weights_are_refused(searched, tmp_path):
    import shutil

    _, folder, _ = searched
    shutil.copytree(folder, tmp_path / "copy")
    path = tmp_path / "copy" / "p" / "supernet.weights.h5"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    tuner = tuners.EvolutionSearch(SPACE, directory=tmp_path / "copy", **SMALL)
    with pytest.raises(ValueError, match="another SHA-256|SHA-256 differs"):
        _ = tuner.supernet


@pytest.mark.slow
@pytest.mark.shared
def test_retraining_improves_and_is_kept(searched):
    tuner, *_ = searched
    model = tuner.get_best_models()[0]
    images, labels = arrays(128)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    before = float(loss(labels, model.predict(images, verbose=0)))
    trained = tuner.retrain(model, (images, labels), arrays(32, seed=1), epochs=4, learning_rate=5e-3)
    assert isinstance(trained, keras.Model) and trained.config == model.config
    assert float(loss(labels, trained.predict(images, verbose=0))) < before
    kept = trained.predict(images, verbose=0)
    again = tuner.retrain(tuner.get_best_models()[0], (images, labels), epochs=4, learning_rate=5e-3)
    np.testing.assert_array_equal(again.predict(images, verbose=0), kept)


class Cut(Batches):
    """Training data that ends the process's work in the middle of the second epoch."""

    armed = False

    def __getitem__(self, index):
        if self.armed and (self.epoch, index) == (1, 1):
            raise KeyboardInterrupt
        return super().__getitem__(index)


@pytest.mark.slow
@pytest.mark.skipif(BACKEND != "torch", reason="elsewhere the same code, compiled anew for a minute")
def test_a_supernet_depends_on_its_seed_and_data_alone(tmp_path):
    """Not on an interruption, nor on images that look at it meanwhile: Auto-Spikformer's keeps its luckiest epoch."""

    def trained(name, validation, cut=False):
        tuner = tuners.EvolutionSearch(SPACE, directory=tmp_path, project_name=name, verbose=0)
        data = Cut(*arrays(64), 32, seed=0)
        data.armed = cut
        tuner.train_supernet(data, validation, epochs=2, learning_rate=1e-2)
        return tuner.supernet.get_weights()

    whole = trained("whole", None)
    with pytest.raises(KeyboardInterrupt):
        trained("cut", arrays(16, seed=1), cut=True)
    assert list((tmp_path / "cut" / "supernet_training").glob("epoch_*"))  # one was kept
    keras.utils.set_random_seed(99)
    for one, other in zip(whole, trained("cut", arrays(16, seed=1)), strict=True):
        np.testing.assert_array_equal(one, other)
