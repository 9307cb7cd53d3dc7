"""EvolutionSearchOracle: the search engine as a KerasTuner Oracle."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras_tuner
from keras_tuner.engine import trial as trial_module

from kspike.space import Genome, SearchSpace
from kspike.tuners import objectives
from kspike.tuners.engine import Candidate, Constraints, Crossover, Evolution, Journal, Mutation, Proposal, SearchState
from kspike.tuners.engine.evolution.selection import NSGA2, ByScore
from kspike.tuners.engine.fingerprint import fingerprint, refuse
from kspike.tuners.engine.state import NoProposal
from kspike.tuners.hypermodel import hyperparameters, values_of
from kspike.tuners.project.handshake import TOKEN_REQUEST, split
from kspike.tuners.project.keras_tuner_workarounds import SteadyOracle

SELECTIONS = {"score": ByScore, "nsga2": NSGA2}


class EvolutionSearchOracle(SteadyOracle):
    """Proposes Spikformers of a search space by evolution; its state is the journal in the project's folder.

    Trials are numbered in the order they are proposed. Whatever the order in which results come in, from however many
    workers, generation g + 1 depends on the results of generations 0..g alone.

    Args:
        space: a `SearchSpace`, the name of a published one, or a JSON file.
        objective: an objective, or the name of a metric that trials report; None is `AEB()`.
        constraints: quantity -> (lower, upper), None for an open side: "parameters", "flops", "timesteps", "memory_mb"
            and plain functions of a `SpikformerConfig`, as keys, hold before evaluation; candidates outside
            "energy_mj", "latency_ms" or "accuracy" are recorded and ranked behind.
            "nir": True and "integer": True take from the space what .nir files cannot say, and what needs more than
            int8 weights, additions and shifts.
        generations: generations after the random one.
        population_size: candidates a generation.
        parents: how many of the best become parents.
        mutation: mutation operator; None is Auto-Spikformer's rates.
        crossover: crossover operator.
        mutation_share: share of a generation made by mutation, the rest by crossover.
        selection: "score", "nsga2", or an operator object.
        seed: any whole number.
        lease: seconds without a request after which a worker counts as dead, and its trial is given to another.
    """

    def __init__(
        self,
        space: Any,
        objective: Any = None,
        constraints: Mapping[Any, Any] | None = None,
        generations: int = 20,
        population_size: int = 50,
        parents: int = 10,
        mutation: Mutation | None = None,
        crossover: Crossover | None = None,
        mutation_share: float = 0.5,
        selection: Any = "score",
        seed: int = 0,
        lease: float = 3600.0,
    ) -> None:
        if isinstance(selection, str):
            if selection not in SELECTIONS:
                raise ValueError(f"selection must be one of {list(SELECTIONS)} or an operator, got {selection!r}.")
            selection = SELECTIONS[selection]()
        bounds = Constraints.of(constraints)
        evolution = Evolution(
            bounds.narrowed(SearchSpace.load(space)),
            generations=generations,
            population_size=population_size,
            parents=parents,
            mutation_share=mutation_share,
            mutation=mutation or Mutation(),
            crossover=crossover or Crossover(),
            selection=selection,
            constraints=bounds,
            seed=seed,
        )
        if objective is None or (isinstance(objective, str) and objective in ("aeb", *objectives.DIRECTIONS)):
            objective = objectives.resolve(objective)
        self._start(evolution, objective, lease)

    def _start(self, evolution: Any, objective: Any, lease: float) -> None:
        """Sets up around a generator of proposals: an `Evolution` or anything with its interface."""
        self.space: SearchSpace = evolution.space
        self.evolution = evolution
        super().__init__(
            seed=evolution.seed,
            lease=lease,
            objective=objective,
            max_trials=self.evolution.trials,
            hyperparameters=hyperparameters(self.space),
            allow_new_entries=False,
        )
        if any(name == self.objective.name for name, _ in evolution.constraints.functions):
            raise ValueError(f"Objective and a constraint are both called {self.objective.name!r}: rename one of them.")
        self._state: SearchState | None = None
        #: The token of the project's lock while a tuner of ours holds it, else None.
        self.token: str | None = None
        #: Called with each candidate as it is recorded.
        self.on_candidate: Callable[[Candidate], None] | None = None

    def _fingerprint(self) -> dict[str, Any]:
        """The settings that tell one project of this oracle from another."""
        return fingerprint(self.evolution, objectives.describe(self.objective))

    @property
    def state(self) -> SearchState:
        """Where the search stands; read from its journal when first asked for. Reading writes nothing.

        Raises:
            ValueError: the project was started with other settings or functions, or its journal is damaged; names them.
        """
        if self._state is None:
            journal = Journal(Path(self._project_dir) / "journal.jsonl")
            records = journal.read()
            if records:
                if records[0].get("type") != "project":
                    journal.refuse(1, "it does not say what project this is: the first line is missing")
                started = dict(records[0].get("fingerprint") or {})
                # A field of SpikformerConfig that came later reads its default: what the project was searched with.
                started["space"] = SearchSpace.from_dict(started.get("space") or {}).to_dict()
                refuse(started, self._fingerprint(), self._project_dir)
            state = SearchState(self.evolution, self.objective.name, self.objective.direction, journal)
            known = ((candidate.config, candidate.metrics) for candidate in state.archive)
            self.evolution.constraints.check_kept(known, self._project_dir)
            self._state = state
        return self._state

    def begin(self) -> Journal:
        """The journal, to write into: a new one's first line says what the project is."""
        journal = self.state.journal
        if journal is None:
            raise keras_tuner.errors.FatalError("A project's search state has a journal.")
        if journal.empty():
            journal.append({"type": "project", "fingerprint": self._fingerprint()})
        return journal

    def refresh(self) -> bool:
        """Reads the journal anew where another process, or another object, has written into it; says whether."""
        if self._state is None or self._state.journal is None or not self._state.journal.changed():
            return False
        self._state = None
        self.rebuild()
        return True

    def create_trial(self, tuner_id: str) -> Any:
        """As the base class; a worker that sends the token of another project, or none, is refused.

        Raises:
            ValueError: so that KerasTuner's server answers with an error.
        """
        name, token = split(tuner_id)
        distributed = self.token is not None and "KERASTUNER_ORACLE_IP" in os.environ
        if distributed and token != self.token:
            raise ValueError(f"Worker {name!r} is not of this chief's project, {self._project_dir}.")
        return super().create_trial(name)

    def get_trial(self, trial_id: str) -> Any:
        """As the base class; a request for `TOKEN_REQUEST` is answered by the token of the project's lock."""
        if trial_id == TOKEN_REQUEST and self.token is not None:
            return trial_module.Trial(keras_tuner.HyperParameters(), trial_id=self.token, status="STOPPED")
        return super().get_trial(trial_id)

    def propose(self, number: int) -> dict[str, Any] | None:
        """Hyperparameter values of the engine's next genome."""
        self.begin()
        proposal = self.state.ask()
        if proposal is NoProposal.DONE:
            raise StopIteration
        if not isinstance(proposal, Proposal):
            return None
        if proposal.number != number:
            raise keras_tuner.errors.FatalError(
                f"KerasTuner asks for trial {number}, but the search stands at {proposal.number}: its trials and the "
                f"journal in {self._project_dir} disagree."
            )
        return values_of(proposal.genome)

    def score_trial(self, trial: Any) -> None:
        """Takes the score from the journal."""
        trial.score = self.state.archive[int(trial.trial_id)].score
        trial.best_step = 0

    def end_trial(self, trial: Any) -> None:
        """Writes the result to the journal first, then lets KerasTuner end the trial; a second result is dropped."""
        if int(trial.trial_id) in self.state.archive:
            self._locked(self._let_go, trial.trial_id)
            return
        self._locked(self._record, trial)
        super().end_trial(trial)
        self._locked(self._let_go, trial.trial_id)

    def _let_go(self, trial_id: str) -> None:
        """Removes an ended trial from the workers that still run it, and from the retry queue."""
        self._retry_queue: list[str] = [queued for queued in self._retry_queue if queued != trial_id]
        for name in [name for name, trial in self.ongoing_trials.items() if trial.trial_id == trial_id]:
            del self.ongoing_trials[name]

    def _record(self, trial: Any) -> None:
        number = int(trial.trial_id)
        metrics = None
        if trial.status == trial_module.TrialStatus.COMPLETED:
            tracked = self.trials[trial.trial_id].metrics.metrics
            metrics = {name: history.get_last_value() for name, history in tracked.items()}
        seconds = (metrics or {}).pop("seconds", 0.0)
        message = None
        if not metrics:  # the last line of a traceback says what happened; a worker's is not sent to the chief
            lines = (trial.message or "the evaluation failed; see the worker's own output").strip().splitlines()
            message = lines[-1]
        candidate = self.state.tell(number, metrics, message, seconds)
        if not candidate.completed:
            trial.status = trial_module.TrialStatus.FAILED
            trial.message = trial.message or candidate.message
        if self.on_candidate:
            self.on_candidate(candidate)

    def rebuild(self) -> None:
        """Makes KerasTuner's trials out of the journal: ended ones with results, interrupted ones to be run again."""
        state = self.state
        pending = state.pending()
        told = [c.number for c in state.archive]
        self.trials = {}
        for number in sorted([*told, *pending]):
            trial = self._trial(state.proposals[number])
            self.trials[trial.trial_id] = trial
            if number in state.archive:
                self._ended(trial, state.archive[number])
        restored = self.get_state() | {
            "ongoing_trials": {},
            "start_order": list(self.trials),
            "end_order": [self._id(number) for number in told],
            "retry_queue": [self._id(number) for number in reversed(pending)],
        }
        self.set_state(restored)
        state.hold(pending)

    def write_files(self) -> None:
        """Writes KerasTuner's own files from the journal."""
        for trial in self.trials.values():
            self._save_trial(trial)
        if self.trials:
            self.save()

    def _id(self, number: int) -> str:
        return f"{number:0{len(str(self.max_trials))}d}"

    def hyperparameters_of(self, genome: Genome) -> keras_tuner.HyperParameters:
        """A genome as KerasTuner hyperparameters."""
        hp = self.hyperparameters.copy()
        hp.values = values_of(genome)
        return hp

    def _trial(self, proposal: Proposal) -> Any:
        hp = self.hyperparameters_of(proposal.genome)
        return trial_module.Trial(hyperparameters=hp, trial_id=self._id(proposal.number), status="RUNNING")

    def _ended(self, trial: Any, candidate: Candidate) -> None:
        trial.status = "COMPLETED" if candidate.completed else "FAILED"
        trial.message = candidate.message
        trial.score = candidate.score
        for name, value in candidate.metrics.items():
            direction = objectives.DIRECTIONS.get(name, self.objective.direction)
            trial.metrics.register(name, direction=direction)
            trial.metrics.update(name, value)
