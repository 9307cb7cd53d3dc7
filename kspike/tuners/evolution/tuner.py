"""EvolutionSearch: trains a supernet, searches it by evolution, hands out the best networks. A KerasTuner tuner."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras_tuner

from kspike.cost.conventions.base import charging
from kspike.space import Genome, SearchSpace
from kspike.supernet import sampling as sampling_policies
from kspike.training import records
from kspike.tuners import objectives
from kspike.tuners.engine import Candidate
from kspike.tuners.engine.checks import whole
from kspike.tuners.engine.fingerprint import refuse
from kspike.tuners.engine.report.tensorboard import EventFile
from kspike.tuners.evolution import supernet as supernet_files
from kspike.tuners.evolution.evaluator import Evaluator
from kspike.tuners.evolution.oracle import EvolutionSearchOracle
from kspike.tuners.evolution.results import EvolutionResults
from kspike.tuners.hypermodel import SpikformerHyperModel, genome_of
from kspike.tuners.latency import Latency
from kspike.tuners.project import data as project_data
from kspike.tuners.project import text
from kspike.tuners.project.project import MISTAKES, NAME, check_name

#: Images that calibrate a candidate, and that measure its energy, where not said otherwise.
CALIBRATION_IMAGES = 1024
ENERGY_IMAGES = 512


class EvolutionSearch(EvolutionResults, keras_tuner.Tuner):
    """Searches a space of Spikformers: one supernet, evolution over architecture and neurons, a Pareto front kept.

    A project is a folder. Its journal holds every generation and result, written before anything else happens; run the
    same script again after Ctrl-C, kill -9 or a power cut, and the search resumes, repeating at most the interrupted
    trial, with the same result. Opened with other settings, it refuses and names the difference. One process at a
    time searches in it, and a second is told who does; its results may be read at any time.

    Candidates are judged by inherited weights: statistics of normalisation recomputed from training images,
    unaugmented, at their own T; accuracy and energy on one half of the validation data. The other half picks the final
    networks. The test data never comes in.

    Args:
        space: a `SearchSpace`, the name of a published one, or a JSON file.
        objective: `AEB()` where None; a `keras_tuner.Objective`, a `FunctionObjective`, or the name of a metric.
        constraints: quantity -> (lower, upper), None for an open side; "parameters", "flops", "timesteps", "memory_mb"
            and plain functions of a `SpikformerConfig`, as keys, hold before evaluation; "energy_mj", "latency_ms"
            (`Latency`, on this machine) and "accuracy" after: candidates outside are recorded and ranked behind.
            "nir": True and "integer": True take from the space what .nir files cannot say, and what needs more than
            int8 weights, additions and shifts.
        generations: generations after the random one.
        population_size: candidates a generation; trials in all are population_size * (generations + 1).
        parents: how many of the best ever seen become parents.
        mutation, crossover, mutation_share: the operators, and the share of a generation made by mutation.
        selection: "score" (the objective), "nsga2" (the front), or an operator object.
        seed: any whole number. A search depends on it and on the data, not on time.
        convention: how energy is charged (`kspike.cost.conventions()`).
        finalists: how many of the best are judged by the picking half.
        lease: with several workers, seconds after which a silent one counts as dead and its trial is given to another.
        directory, project_name, overwrite: as of every KerasTuner tuner; the project is `directory/project_name`,
            "search" where no name is given: letters, digits, "_", "-", "." (at most 80).
        verbose: 1 for a line a generation, 0 for silence, 2 for KerasTuner's own tables as well.

    Raises:
        ValueError: anything that cannot work, before work starts.

    Example: see docs/search.md.
    """

    def __init__(
        self,
        space: Any,
        objective: Any = None,
        constraints: Mapping[Any, Any] | None = None,
        generations: int = 20,
        population_size: int = 50,
        parents: int = 10,
        mutation: Any = None,
        crossover: Any = None,
        mutation_share: float = 0.5,
        selection: Any = "score",
        seed: int = 0,
        convention: str = "spikformer",
        finalists: int = 10,
        lease: float = 3600.0,
        directory: str | Path | None = None,
        project_name: str | None = None,
        overwrite: bool = False,
        verbose: int = 1,
    ) -> None:
        check_name(project_name)
        charging(convention, "a search, which weighs energy,")
        oracle = EvolutionSearchOracle(
            space, objectives.resolve(objective), constraints, generations, population_size, parents,
            mutation, crossover, mutation_share, selection, seed, lease,
        )  # fmt: skip
        self.space: SearchSpace = oracle.space
        self.constraints = oracle.evolution.constraints
        #: Measures latencies, where they are bounded.
        self.latency = Latency()
        self.convention = convention
        self.finalists = finalists
        self.report_level = verbose
        self._oracle = oracle  # on a worker, self.oracle is KerasTuner's client of the chief's
        self._evaluator: Evaluator | None = None
        self._supernet: Any = None
        self._events: EventFile | None = None
        self._written = 0
        if overwrite:
            self._begin_anew(directory, project_name)
        # without a hypermodel the base class builds none to find its hyperparameters; they are declared already
        super().__init__(oracle, None, directory=directory, project_name=project_name or NAME)
        self.hypermodel = SpikformerHyperModel(self.space)
        oracle.verbose = 1 if verbose > 1 else 0
        oracle.on_candidate = self._on_candidate
        if not self._is_worker():
            self._open_project()

    # -- the supernet --------------------------------------------------------------------------------------------

    @property
    def supernet(self) -> Any:
        """The project's supernet, with its weights where they have been trained, in whichever process."""
        _ = self.state  # forgets one that was made before another process trained it
        if self._supernet is None:
            supernet = supernet_files.create(self.space, int(self._oracle.evolution.seed))
            record = self._record("supernet")
            if record is not None:
                supernet_files.load(supernet, self._folder / supernet_files.WEIGHTS, record["sha256"])
            supernet_files.compile_for(supernet)
            self._supernet = supernet
        return self._supernet

    def train_supernet(
        self,
        train: Any,
        y: Any = None,
        validation_data: Any = None,
        epochs: int = 100,
        learning_rate: float = 3e-3,
        weight_decay: float = 0.01,
        sampling: Any = None,
    ) -> Any:
        """Trains the supernet, one random network a batch, and keeps its weights in the project.

        Run again, it goes on after its last whole epoch; when it is done, the weights are loaded and checked.

        Args:
            train: training data, augmented as it comes: one split of `kspike.data.load(...)`, a PyDataset, or (images,
                labels). Or images alone, with their labels as `y`.
            y: labels, where `train` is an array of images; else what `validation_data` is.
            validation_data: shows how the smallest and the largest network do after each epoch; decides nothing. What
                `search` could not halve is refused here already.
            epochs: passes over the training data.
            learning_rate: of AdamW, falling to a hundredth on a cosine.
            weight_decay: of AdamW, not on biases and normalisation.
            sampling: which networks a batch trains: "single_path" (one, uniformly drawn), "sandwich", or an object
                (`kspike.supernet.SinglePath`, `kspike.supernet.Sandwich`).

        Returns:
            The supernet.

        Raises:
            ValueError: the data does not fit the space, the project's supernet was trained with other settings, or
                another process is at work in the project.
        """
        settings: dict[str, Any] = {"epochs": whole("epochs", epochs, 1)}
        settings |= {"learning_rate": float(learning_rate), "weight_decay": float(weight_decay)}
        policy = sampling_policies.resolve(sampling)
        if policy != sampling_policies.SinglePath():  # the default is not stored: older projects stay valid
            settings["sampling"] = sampling_policies.describe(policy)
        seed = int(self._oracle.evolution.seed)
        train, validation_data = project_data.arranged(train, y, validation_data)
        data = project_data.as_data(train, "train", seed)
        recipe = supernet_files.recipe_of(data, int(epochs), learning_rate, weight_decay, seed)
        settings |= supernet_files.settings_of_data(recipe)
        record = self._record("supernet")
        if record is None and self._is_worker():
            record = self._wait_for("supernet")
        if record is None:
            record = self._train_supernet(data, validation_data, policy, recipe, settings)
        else:
            self._say(f"supernet: {epochs} epochs, loaded from {self._folder / supernet_files.WEIGHTS}")
        # older projects did not store the data's settings: they are not compared
        settings = {name: value for name, value in settings.items() if name in {*record["settings"], "sampling"}}
        refuse({"supernet": record["settings"]}, {"supernet": settings}, self._folder)
        return self.supernet

    def _train_supernet(
        self, data: Any, validation_data: Any, policy: Any, recipe: Any, settings: dict[str, Any]
    ) -> dict[str, Any]:
        """Trains the supernet unless another process has done so meanwhile; returns its record in the journal."""
        validation = None if validation_data is None else project_data.as_data(validation_data, "validation")
        given = self.space.given
        project_data.check(data, "train", given)
        if validation is not None:
            project_data.check(validation, "validation", given)
            project_data.halves(validation)  # checked now: the search, which needs it, starts hours later
        with self._held():
            record = self._record("supernet")
            if record is not None:  # another process trained it since this one looked
                return record
            supernet, folder = self.supernet, self._folder / "supernet_training"
            supernet.sampling = policy
            with self._at_work():
                rows = supernet_files.train(supernet, data, validation, recipe, folder, self._say, self.report_level)
            digest = supernet_files.save_weights(supernet, self._folder / supernet_files.WEIGHTS)
            supernet_files.compile_for(supernet)
            record = {"type": "supernet", "sha256": digest, "settings": settings, "history": rows}
            self._write(record)
            records.discard(folder)
        return record

    # -- the search ----------------------------------------------------------------------------------------------

    def search(self, train: Any, y: Any = None, validation_data: Any = None, **fit_arguments: Any) -> None:
        """Evaluates generation after generation, then ranks the finalists on the picking half of the validation data.

        Args:
            train: training data; calibrates each candidate, without augmentation. Images alone where their labels are
                given as `y`: KerasTuner's `search(x, y, validation_data=(x, y))`.
            y: labels, where `train` is an array of images; else what `validation_data` is.
            validation_data: two halves by image id: one scores candidates, the other picks. Of a PyDataset, which must
                give the same batches each time it is read, every second image of each class.
            fit_arguments: refused; no candidate is trained.

        Raises:
            ValueError: the data cannot be used, the supernet is not trained, no network keeps the constraints, or
                another process searches in the project; says which.
            keras_tuner.errors.FatalError: a mistake in code, ours or of the objective.
        """
        why = "candidates inherit the supernet's weights: see train_supernet"
        project_data.refuse_fit_arguments(fit_arguments, why)
        train, validation_data = project_data.arranged(train, y, validation_data)
        train = project_data.as_data(train, "train")
        validation = project_data.as_data(validation_data, "validation")
        given = self.space.given
        for data, name in ((train, "train"), (validation, "validation")):
            project_data.check(data, name, given)
        scoring, picking = project_data.halves(validation)
        with self._held():
            supernet = self._record("supernet")
            if supernet is None:
                raise ValueError("The project has no trained supernet; call train_supernet(train, epochs=...) first.")
            used = {"data": project_data.describe(scoring), "supernet": supernet["sha256"]}
            used["convention"] = self.convention
            if hasattr(train, "hash"):  # which images calibrate; data without a hash would have to be read whole
                used["training"] = train.hash
            if self.constraints.bounds_on("latency_ms"):
                used["latency"] = self.latency.describe()
            self._evaluator = self._make_evaluator(train, scoring)
            if not self._is_worker():
                with self._at_work():
                    self._open(used)
            reference = self._record("reference") or self._wait_for("reference")
            self.reference: dict[str, float] = reference["metrics"]
            self._run()
            if not self._is_worker():
                self._pick(picking)

    def _make_evaluator(self, train: Any, scoring: Any) -> Evaluator:
        if hasattr(train, "without_augmentation"):
            train = train.without_augmentation()
        return Evaluator(
            self.supernet,
            train,
            scoring,
            self.convention,
            max(1, CALIBRATION_IMAGES // len(train[0][1])),
            max(1, ENERGY_IMAGES // len(scoring[0][1])),
            self.latency if self.constraints.bounds_on("latency_ms") else None,
        )

    def _open(self, used: dict[str, Any]) -> None:
        self._use(used)
        if self._record("reference") is None:
            # the space's largest network: what AEB divides by and the hypervolume is measured against
            metrics = self._evaluate(self.space.largest())
            self._write({"type": "reference", "metrics": metrics})

    def _evaluate(self, genome: Genome) -> dict[str, float]:
        if self._evaluator is None:
            raise keras_tuner.errors.FatalError(
                "search(train, validation_data=...) has not been called in this process."
            )
        return self._evaluator(genome)

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Metrics of one candidate; called by `search`."""
        start = time.perf_counter()
        try:
            metrics = self._evaluate(genome_of(trial.hyperparameters, self.space))
            metrics[self.oracle.objective.name] = objectives.value(self.oracle.objective, metrics, self.reference)
        except MISTAKES as error:
            raise keras_tuner.errors.FatalError(
                f"Trial {trial.trial_id} met a mistake in code, not a bad candidate: {type(error).__name__}: {error}"
            ) from error
        wrong = [name for name, found in metrics.items() if not math.isfinite(found)]
        if wrong:
            shown = ", ".join(f"{name} is {metrics[name]}" for name in wrong)
            raise keras_tuner.errors.FailedTrialError(f"Not finite: {shown}.")
        metrics["seconds"] = time.perf_counter() - start
        return {name: float(value) for name, value in metrics.items()}

    def _on_candidate(self, candidate: Candidate) -> None:
        if all(p.number in self.state.archive for p in self.state.current()):
            history = self.history()
            self._say(
                text.generation_line(history[-1], self._oracle.evolution.generations, self._oracle.objective.name)
            )
            self._write_scalars(history)

    def _renew(self) -> None:
        self._supernet, self._events, self._written = None, None, 0

    def _write_scalars(self, history: list[dict[str, Any]]) -> None:
        """Appends new generations to the project's event file; a resumed search writes the file anew."""
        if self._events is None:
            self._events, self._written = EventFile(self._folder / "tensorboard"), 0
        for row in history[self._written :]:
            self._events.write(row["generation"], text.scalars(row))
        self._written = len(history)

    def _pick(self, picking: Any) -> None:
        """Evaluates the finalists on images that scored none of them, and keeps their networks in the project."""
        ranked = [c for c in self.state.ranked() if c.feasible][: self.finalists]
        done = self._record("final")
        if done and done["candidates"] == len(self.state.archive) and len(done["ranked"]) >= len(ranked):
            return
        rows = []
        for c in ranked:
            model, metrics = self._evaluator.extract(c.genome, picking)  # type: ignore[union-attr]
            digest = supernet_files.save_weights(model, self._final_path(c.number))
            metrics = {**c.metrics, **metrics}
            score = float(objectives.value(self._oracle.objective, metrics, self.reference))
            rows.append({"number": c.number, "accuracy": metrics["accuracy"], "score": score, "sha256": digest})
        sign = -1 if self._oracle.objective.direction == "max" else 1
        rows.sort(key=lambda row: (sign * row["score"], row["number"]))
        self._write({"type": "final", "candidates": len(self.state.archive), "ranked": rows})
