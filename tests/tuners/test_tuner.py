"""EvolutionSearch as a user meets it, evaluation faked: results, reports, refusals, failures."""

import dataclasses
import json

import keras
import keras_tuner
import numpy as np
import pytest

import kspike
from kspike import tuners
from kspike.tuners.engine import Journal
from kspike.tuners.project import data as project_data
from tests.tuners.fakes import SPACE, Evaluator, FakeSearch, arrays, essence, measure

pytestmark = pytest.mark.shared


@pytest.mark.slow
def test_a_search_gives_candidates_front_models_and_hyperparameters(tmp_path):
    tuner = FakeSearch(tmp_path, finalists=2).run()
    assert len(tuner.state.archive) == 15 == tuner.oracle.max_trials
    front = tuner.pareto_front()
    assert front and all(isinstance(c, tuners.Candidate) for c in front)
    for c in front:
        assert 0 < c.accuracy < 1 and c.energy_mj > 0 and c.parameters > 0
        assert c.config == c.genome.to_config()
    assert [c.accuracy for c in front] == sorted((c.accuracy for c in front), reverse=True)
    models = tuner.get_best_models(2)
    assert [m.config for m in models] == [c.config for c in tuner.best_candidates(2)]
    hp = tuner.get_best_hyperparameters()[0]
    assert tuner.hypermodel.build(hp).config == models[0].config
    with pytest.raises(ValueError, match="kept 2 finalists, asked for 3.*finalists=3"):
        tuner.get_best_models(3)
    wider = FakeSearch(tmp_path, finalists=3).run()  # as the message says
    assert len(wider.get_best_models(3)) == 3 and essence(wider) == essence(tuner)


def test_scores_are_the_objectives_against_the_largest_network(tmp_path):
    tuner = FakeSearch(tmp_path, objective=tuners.AEB(beta=0.1)).run()
    reference = measure(SPACE.largest())
    for c in tuner.state.archive:
        assert c.score == pytest.approx(tuners.AEB(beta=0.1).value(measure(c.genome), reference), rel=1e-6)


def test_constraints_hold(tmp_path):
    tuner = FakeSearch(tmp_path, constraints={"timesteps": (None, 1), "energy_mj": (None, 0.0016)}).run()
    assert {c.config.timesteps for c in tuner.state.archive} == {1}
    assert any(c.violation > 0 for c in tuner.state.archive)
    assert tuner.best_candidates(1)[0].feasible


def test_the_same_script_again_finds_everything_done(tmp_path):
    first = FakeSearch(tmp_path).run()
    again = FakeSearch(tmp_path, evaluator=Broken(TypeError("must not be called")))
    assert essence(again) == essence(first)
    again.run()
    assert essence(again) == essence(first)
    assert [c.number for c in again.best_candidates()] == [c.number for c in first.best_candidates()]
    assert again.remaining_trials == 0


@pytest.mark.parametrize(
    "options, message",
    [
        ({"seed": 1}, "seed: 0 in the project, 1 now"),
        ({"objective": tuners.AEB(beta=0.5)}, "objective.beta: 0.02 in the project, 0.5 now"),
        ({"constraints": {"timesteps": (None, 1)}}, "constraints.timesteps"),
        ({"population_size": 6}, "population_size: 5 in the project, 6 now"),
        ({"space": "digits"}, "space"),
        ({"selection": "nsga2"}, "selection.name"),
    ],
)
def test_a_project_opened_with_other_settings_is_refused_by_name(tmp_path, options, message):
    FakeSearch(tmp_path)
    with pytest.raises(ValueError, match=f"started differently.*{message}"):
        FakeSearch(tmp_path, **options)
    FakeSearch(tmp_path, overwrite=True, **options)


def test_a_project_begun_before_a_field_of_the_config_existed_goes_on(tmp_path):
    first = FakeSearch(tmp_path).run()
    path = next(tmp_path.rglob("journal.jsonl"))
    lines = Journal(path).read()
    assert lines[0]["fingerprint"]["space"]["base"].pop("pool_after") == "neuron"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))  # nor did a line have its sum
    assert essence(FakeSearch(tmp_path)) == essence(first)


def test_other_validation_images_are_refused(tmp_path):
    FakeSearch(tmp_path).run()
    tuner = FakeSearch(tmp_path)
    with pytest.raises(ValueError, match="data:.*in the project"):
        tuner.search(arrays(), arrays(24, seed=2))


def test_other_training_images_are_refused_since_they_calibrate(tmp_path):
    FakeSearch(tmp_path).run()
    with pytest.raises(ValueError, match="training:.*in the project"):
        FakeSearch(tmp_path).search(arrays(seed=3), arrays(24, seed=1))
    path = next(tmp_path.rglob("journal.jsonl"))
    lines = Journal(path).read()
    assert all(record.pop("training") for record in lines if record["type"] == "used")
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    FakeSearch(tmp_path).search(arrays(seed=3), arrays(24, seed=1))  # a project from before this was written down


@dataclasses.dataclass(frozen=True)
class Wider:
    """A mutation of a user's own."""

    least: int = 0

    def __call__(self, parent, rng):
        values = parent.to_dict() | {"embed_dim": 16, "depth": int(rng.integers(1, 3))}
        return tuners.Genome.from_dict(values, parent.space)


def test_operators_of_ones_own_take_part_and_tell_projects_apart(tmp_path):
    tuner = FakeSearch(tmp_path, mutation=Wider()).run()
    mutants = [c for c in tuner.state.archive if c.proposal.operator == "mutation"]
    assert mutants and all(c.config.embed_dim == 16 for c in mutants)
    assert essence(FakeSearch(tmp_path, mutation=Wider())) == essence(tuner)
    for other, difference in ((Wider(least=1), "mutation.least: 0 in the project, 1 now"), (None, "mutation.name")):
        with pytest.raises(ValueError, match=difference):
            FakeSearch(tmp_path, mutation=other)


class Broken(Evaluator):
    """Raises what it is given, every second time or always."""

    def __init__(self, error, every=1):
        self.error, self.every, self.calls = error, every, -2  # the first call measures the reference

    def __call__(self, genome):
        self.calls += 1
        if self.calls >= 0 and self.calls % self.every == 0:
            raise self.error
        return measure(genome)


def test_candidates_that_fail_are_recorded_and_the_search_goes_on(tmp_path):
    tuner = FakeSearch(tmp_path, evaluator=Broken(MemoryError("out of memory"), every=2)).run()
    failed = [c for c in tuner.state.archive if not c.completed]
    assert len(tuner.state.archive) == 15 and len(failed) == 8
    assert "out of memory" in failed[0].message
    again = FakeSearch(tmp_path)
    assert "out of memory" in again.state.archive[failed[0].number].message


def test_nan_is_a_failed_candidate(tmp_path):
    class Nan(Evaluator):
        def __call__(self, genome):
            metrics = measure(genome)
            if genome.to_config().embed_dim == 8:
                metrics["accuracy"] = float("nan")
            return metrics

    tuner = FakeSearch(tmp_path, evaluator=Nan()).run()
    assert {c.completed for c in tuner.state.archive} == {True, False}
    for c in tuner.state.archive:
        assert c.completed == (c.config.embed_dim == 16)


def test_a_mistake_in_code_stops_the_search_and_leaves_it_resumable(tmp_path):
    with pytest.raises(keras_tuner.errors.FatalError, match="TypeError: no such argument"):
        FakeSearch(tmp_path, evaluator=Broken(TypeError("no such argument"))).run()
    assert len(FakeSearch(tmp_path).run().state.archive) == 15


def test_if_all_fail_the_reason_is_given(tmp_path):
    with pytest.raises(keras_tuner.errors.FatalError, match="All 5 candidates.*no device"):
        FakeSearch(tmp_path, evaluator=Broken(RuntimeError("no device"))).run()


@pytest.mark.parametrize("end", [np.nan, np.inf])
def test_images_that_are_not_finite_are_refused_before_work_starts(tmp_path, end):
    images, labels = arrays()
    images[3, 0, 0, 0] = end
    tuner = FakeSearch(tmp_path)
    with pytest.raises(ValueError, match="train data has NaN or infinite"):
        tuner.search((images, labels), arrays(24))
    with pytest.raises(ValueError, match="NaN or infinite"):
        tuner.train_supernet((images, labels), epochs=1)
    assert len(tuner.state.archive) == 0


def test_data_that_does_not_fit_is_refused_before_work_starts(tmp_path):
    tuner = FakeSearch(tmp_path)
    with pytest.raises(ValueError, match="shape \\(8, 8, 1\\).*\\(4, 4, 1\\)|shape \\(4, 4, 1\\).*\\(8, 8, 1\\)"):
        tuner.search((np.zeros((8, 4, 4, 1)), np.zeros(8)), arrays(24))
    with pytest.raises(ValueError, match="validation data is missing"):
        tuner.search(arrays())
    with pytest.raises(ValueError, match="train_supernet"):
        tuner.search(arrays(), arrays(24))
    with pytest.raises(ValueError, match="epochs"):
        tuner.train_supernet(arrays(), epochs=0)
    with pytest.raises(ValueError, match="no final networks"):
        tuner.get_best_models()


class Sequence(keras.utils.PyDataset):
    """A data set of a user's own, with batches of unequal length."""

    def __init__(self, images, labels, shuffled=False):
        super().__init__()
        self.images, self.labels, self.rng = images, labels, np.random.default_rng(0) if shuffled else None

    def __len__(self):
        return -(-len(self.images) // 7)

    def __getitem__(self, index):
        order = np.arange(len(self.images)) if self.rng is None else self.rng.permutation(len(self.images))
        rows = order[index * 7 : (index + 1) * 7]
        return self.images[rows], self.labels[rows]


def test_a_data_set_of_ones_own_is_halved_by_image():
    images, labels = arrays(24)
    halves = project_data.halves(Sequence(images, labels))
    found = [np.concatenate([half[i][0] for i in range(len(half))]) for half in halves]
    kept = [np.concatenate([half[i][1] for i in range(len(half))]) for half in halves]
    assert [np.bincount(part).tolist() for part in kept] == [[3, 3, 3, 3]] * 2
    expected = project_data.as_data((images, labels), "validation").halves()
    for part, whole in zip(found, expected, strict=True):
        np.testing.assert_array_equal(part, whole.images)
    one_hot = project_data.halves(Sequence(images, np.eye(4)[labels]))
    np.testing.assert_array_equal(one_hot[0][0][1], halves[0][0][1])


def test_a_data_set_of_ones_own_validates_a_search(tmp_path):
    FakeSearch(tmp_path).run()
    tuner = FakeSearch(tmp_path / "own")
    tuner._write({"type": "supernet", "sha256": "0" * 64, "settings": {"epochs": 0}, "history": []})
    tuner.search(arrays(), validation_data=Sequence(*arrays(24, seed=1)))
    assert essence(tuner) == essence(FakeSearch(tmp_path))


def test_validation_data_without_fixed_halves_is_refused_before_the_supernet_is_trained(tmp_path):
    tuner = FakeSearch(tmp_path)
    for data in (Sequence(*arrays(24), shuffled=True), Sequence(*arrays(1))):
        with pytest.raises(ValueError, match="two fixed halves|two images at least"):
            tuner.train_supernet(arrays(), data, epochs=1)
        with pytest.raises(ValueError, match="two fixed halves|two images at least"):
            tuner.search(arrays(), validation_data=data)
    assert not (tmp_path / "fake" / "supernet_training").exists() and tuner._record("supernet") is None


def test_keras_tuners_own_form_is_taken(tmp_path):
    first = FakeSearch(tmp_path / "ours").run()
    tuner = FakeSearch(tmp_path / "theirs")
    tuner._write({"type": "supernet", "sha256": "0" * 64, "settings": {"epochs": 0}, "history": []})
    images, labels = arrays()
    tuner.search(images, labels[:, None], validation_data=arrays(24, seed=1))
    assert essence(tuner) == essence(first)
    for search, message in (
        (lambda: tuner.search(images, labels), "validation data is missing"),
        (lambda: tuner.search(images), "images have no labels"),
        (lambda: tuner.search((images, labels), labels, validation_data=arrays(24)), "labels of its own"),
        (
            lambda: tuner.search(images, labels, validation_data=arrays(24), epochs=3),
            "takes no epochs: .*train_supernet",
        ),
        (lambda: tuner.search(images, labels[:5], validation_data=arrays(24)), "same number"),
        (lambda: tuner.search(images, images, validation_data=arrays(24)), "train labels must be"),
        (lambda: tuner.search(arrays(0), arrays(24)), "at least one"),
        (lambda: tuner.search(Sequence(*arrays(0)), arrays(24)), "at least one batch"),
    ):
        with pytest.raises(ValueError, match=message):
            search()


def test_constraints_nothing_keeps_are_said_plainly(tmp_path):
    with pytest.raises(ValueError, match="No network of space 'tiny'.*smallest network has"):
        FakeSearch(tmp_path, constraints={"parameters": (None, 10)})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "options, message",
    [
        ({"space": "digit"}, "digits"),
        ({"selection": "pareto"}, "nsga2"),
        ({"objective": "acc"}, "accuracy"),
        ({"constraints": {"param": (None, 1)}}, "parameters"),
    ],
)
def test_unknown_names_are_answered_with_the_known(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        FakeSearch(tmp_path, **options)
    assert not (tmp_path / "fake").exists()


def test_one_line_a_generation_and_nothing_of_keras_tuners(tmp_path, capsys):
    FakeSearch(tmp_path, verbose=1).run()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("generation 0/2: best aeb 0.") and "median aeb" in lines[0]
    assert "10 evaluations left" in lines[0] and "0 evaluations left" in lines[2]
    FakeSearch(tmp_path, verbose=0, overwrite=True).run()
    assert capsys.readouterr().out == ""


def test_the_summary_is_readable_at_any_time(tmp_path, capsys):
    tuner = FakeSearch(tmp_path)
    tuner.results_summary()
    assert "0 of 15 trials" in capsys.readouterr().out
    tuner.run().results_summary()
    shown = capsys.readouterr().out
    for part in (
        "AEB(beta=0.02)",
        "15 of 15 trials",
        "Pareto front",
        "Best first",
        "energy (mJ)",
        "silent",
        "width 16",
    ):
        assert part in shown


def test_the_record_is_json_and_whole(tmp_path):
    tuner = FakeSearch(tmp_path).run()
    record = json.loads(json.dumps(tuner.search_record()))
    assert tuners.SearchSpace.from_dict(record["space"]) == SPACE
    assert len(record["trials"]) == 15 and record["seed"] == 0 and record["objective"] == "AEB(beta=0.02)"
    best = tuners.Genome.from_dict(record["genome"], SPACE)
    assert best == tuner.best_candidates(1)[0].genome
    for trial, c in zip(record["trials"], tuner.state.archive, strict=True):
        assert SPACE.decode(trial["indices"]) == c.genome


def test_training_images_calibrate_and_each_half_of_validation_has_one_task(tmp_path):
    """The public code of Auto-Spikformer searches on the test images, and judges each candidate on them twice."""
    data = kspike.data.load("digits", batch_size=60, augment="shift")
    plain = kspike.data.load("digits", batch_size=60, augment=None)
    picking = []

    class Picking(Evaluator):
        def extract(self, genome, data):
            picking.append(data)
            return super().extract(genome, data)

    class Roles(FakeSearch):
        def _make_evaluator(self, train, scoring):
            self._supernet = object()  # nothing is evaluated by it
            self.roles = tuners.EvolutionSearch._make_evaluator(self, train, scoring)
            return super()._make_evaluator(train, scoring)

    tuner = Roles(tmp_path, Picking(), finalists=2)
    tuner._write({"type": "supernet", "sha256": "0" * 64, "settings": {"epochs": 0}, "history": []})
    tuner.search(data.train, validation_data=data.validation)
    calibration, scoring = tuner.roles.calibration, tuner.roles.scoring
    first, second = set(scoring.ids), set(picking[0].ids)
    assert first and second and not first & second and first | second == set(data.validation.ids)
    assert len(picking) == 2 and set(picking[1].ids) == second
    assert set(calibration.ids) <= set(data.train.ids) and not set(data.train.ids) & (first | second)
    for i in range(2):  # unaugmented, and the same images for every candidate
        np.testing.assert_array_equal(calibration[i][0], plain.train.without_augmentation()[i][0])


def test_finalists_are_ordered_by_images_that_scored_none_of_them(tmp_path):
    class Reversed(Evaluator):
        def extract(self, genome, data):
            model, _ = super().extract(genome, data)
            return model, {"accuracy": 1.0 - measure(genome)["accuracy"], "loss": 1.0}

    tuner = FakeSearch(tmp_path, Reversed(), objective="accuracy", finalists=4).run()
    scores = [c.score for c in tuner.best_candidates()]
    assert scores[:4] == sorted(scores)[-4:]  # the worst of the four best first
    assert scores[4:] == sorted(scores[4:], reverse=True)
