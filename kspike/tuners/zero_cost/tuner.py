"""ZeroCostSearch: ranks a space without training anything, and hands out its best networks. A KerasTuner tuner."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras_tuner

from kspike.space import SearchSpace
from kspike.tuners import scores as score_names
from kspike.tuners.engine import Constraints
from kspike.tuners.engine.checks import at_most, whole
from kspike.tuners.engine.evolution.evolution import MOST_GENOMES
from kspike.tuners.engine.ranking.ranking import COUNTED, TIE_BREAKS
from kspike.tuners.engine.ranking.scalarization import Scalarization
from kspike.tuners.hypermodel import SpikformerHyperModel, genome_of
from kspike.tuners.latency import Latency
from kspike.tuners.project import data as project_data
from kspike.tuners.project.project import NAME, check_name
from kspike.tuners.scores import Score
from kspike.tuners.scores.energy import Energy
from kspike.tuners.zero_cost.oracle import ZeroCostSearchOracle
from kspike.tuners.zero_cost.results import ZeroCostResults
from kspike.tuners.zero_cost.shortlist import Shortlist, order_rows
from kspike.tuners.zero_cost.text import standings_lines


class ZeroCostSearch(ZeroCostResults, keras_tuner.Tuner):
    """Searches a space of Spikformers without training: exactly by FLOPs, or by scores of untrained networks.

    By "flops" or "params" every network of the space is ranked, exactly and in milliseconds: networks of equal cost
    form cells, and nothing is built before `get_best_models`. Everything else (energy, synflow, naswot, grad_norm)
    needs built networks: it is measured on the `shortlist` best by FLOPs, over several initialisations, on one batch of
    real images, unaugmented, with the statistics of that batch. Networks that do not fire are rejected. A function of
    the config is asked of the `shortlist` as well, without images and without building anything.

    A project is a folder, as of `EvolutionSearch` and by the same code: run again, it goes on; opened with other
    settings, it refuses and names the difference.

    Source: AutoST (Wang et al., ICASSP 2024), whose released search evaluates about 1,050 built networks for what the
    ranking gives exactly. Departures: ties are broken by a stated second score; energy is ours (its was not published).

    Args:
        space: a `SearchSpace`, the name of a published one, or a JSON file.
        score: "flops", "params" (the more the better), a measured one (`kspike.tuners.scores.names()`), or a plain
            function of a `SpikformerConfig` (the more the better; `scores.FunctionScore` says otherwise).
        constraints: quantity -> (lower, upper), None for an open side: "parameters", "flops", "timesteps" exactly, of
            the whole space; "memory_mb" and plain functions of a config, as keys, exactly, network by network;
            "energy_mj" and "latency_ms" (`Latency`, on this machine) on the shortlist.
            "nir": True and "integer": True take from the space what .nir files cannot say, and what needs more than
            int8 weights, additions and shifts.
        max_trials: how many networks are handed out; where a shortlist is measured, no more than it leaves.
        energy_weight: weight of the energy against the score, 0 to 1, both normalised over the shortlist. None: the
            score alone ranks where no images are given, and the Pareto front of both where they are.
        shortlist: how many of the best by count are measured.
        tie_break: what ranks networks of equal score: "attention" (fewer operations of attention, that is more heads),
            "params", "flops" (fewer), a measured score, or None. What is still equal comes in the order of the genes.
        per_cost: at most so many networks of the same parameters, FLOPs and time steps on the shortlist and among the
            trials; None for all. Where many networks cost the same, 1 spreads the shortlist over different costs.
        fitness: "normalised", or "autost": FLOPs / 1e9 + ld / energy in mJ, as its code has it but for the unit.
        ld: AutoST's lambda, for fitness="autost".
        seeds: initialisations that a measured score is averaged over.
        images: images in the batch.
        seed: the first initialisation's.
        convention: how energy is charged (`kspike.cost.conventions()`).
        lease: with several workers, seconds after which a silent one counts as dead.
        directory, project_name, overwrite: as of `EvolutionSearch`.
        verbose: 1 for lines of progress, 0 for silence, 2 for KerasTuner's own tables as well.

    Raises:
        ValueError: anything that cannot work, before work starts.

    Example: see docs/training_free.md.
    """

    def __init__(
        self,
        space: Any,
        score: Any = "flops",
        constraints: Mapping[Any, Any] | None = None,
        max_trials: int = 10,
        energy_weight: float | None = None,
        shortlist: int = 64,
        tie_break: str | None = "attention",
        per_cost: int | None = None,
        fitness: str = "normalised",
        ld: float = 0.0,
        seeds: int = 3,
        images: int = 64,
        seed: int = 0,
        convention: str = "spikformer",
        lease: float = 3600.0,
        directory: str | Path | None = None,
        project_name: str | None = None,
        overwrite: bool = False,
        verbose: int = 1,
    ) -> None:
        check_name(project_name)
        self.score = score_names.get(score)
        self.scalarization = Scalarization(energy_weight, fitness, ld)
        if fitness == "autost" and self.score.name != "flops":
            raise ValueError(f"fitness='autost' is FLOPs / 1e9 + ld / energy; it takes no score={self.score.name!r}.")
        energy = Energy(convention)
        self._counted = self.score.name in COUNTED  # what the whole space is ranked by
        self._second = None if tie_break is None or tie_break in TIE_BREAKS else score_names.get(tie_break)
        bounds = Constraints.of(constraints)
        if bounds.bounds_on("accuracy"):
            raise ValueError("Nothing is trained, so no accuracy can be constrained; use EvolutionSearch.")
        self.constraints = bounds
        _check_names(self.score, self._second, bounds)
        for name, value in (("shortlist", shortlist), ("seeds", seeds), ("images", images)):
            at_most(name, whole(name, value, 1), MOST_GENOMES)
        by, second = self.score.name if self._counted else "flops", tie_break if tie_break in TIE_BREAKS else None
        oracle = ZeroCostSearchOracle(space, by, bounds, max_trials, second, None, per_cost, seed, lease)
        measured = {s.name: s for s in (None if self._counted else self.score, self._second, energy) if s is not None}
        self._shortlist = Shortlist(list(measured.values()), int(shortlist), int(seeds), int(images), int(seed))
        oracle.settings = {
            "measured_score": None if self._counted else self.score.name,
            "measured_tie_break": self._second.name if self._second else None,
            "energy_weight": None if energy_weight is None else float(energy_weight),
            "fitness": fitness,
            "ld": float(ld),
            "convention": energy.convention.name,
            **self._shortlist.describe(),
        }
        #: Measures latencies, where they are bounded.
        self.latency = Latency()
        self.space: SearchSpace = oracle.space
        for each in (self.score, self._second):
            if each is not None and each.counted:
                each.of(self.space.smallest())  # a function that gives no number is found before work starts
        self.report_level = verbose
        self._oracle = oracle  # on a worker, self.oracle is KerasTuner's client of the chief's
        self._rows: dict[Any, dict[str, float]] = {}
        if overwrite:
            self._begin_anew(directory, project_name)
        super().__init__(oracle, None, directory=directory, project_name=project_name or NAME)
        self.hypermodel = SpikformerHyperModel(self.space)
        oracle.verbose = 1 if verbose > 1 else 0
        if not self._is_worker():
            self._open_project()

    # -- the search ----------------------------------------------------------------------------------------------

    def search(self, data: Any = None, y: Any = None, **fit_arguments: Any) -> None:
        """Ranks the space; with data, measures the shortlist and orders it; hands the best out as trials.

        Args:
            data: training data: one split of `kspike.data.load(...)`, or `(images, labels)` as arrays. None where
                nothing is measured.
            y: labels, where `data` is an array of images.
            fit_arguments: refused; nothing is trained, and validation data decides nothing.

        Raises:
            ValueError: no network keeps the constraints, data is missing where it is needed or cannot be used, no
                network of the shortlist is left, a function of your own raised, gave no number, or gives another
                number than before, or another process searches in the project; says which. Networks asked before stay
                in the project.
            keras_tuner.errors.FatalError: a mistake in code, ours or of a score.
        """
        project_data.refuse_fit_arguments(fit_arguments, "networks are ranked as they are, untrained")
        data, beside = project_data.arranged(data, y, None)
        if beside is not None:
            raise ValueError("ZeroCostSearch takes training data alone: search(data.train), or search(images, labels).")
        if self._is_worker():
            self._read(self._wait_for("ranking"))
            self._run()
            return
        if data is None and self.needs_data:
            raise ValueError(
                "Energy, latency, and every score that does not follow from the config, are measured on real images: "
                "call search(data.train), or leave out energy_weight, measured scores and bounds on energy_mj and "
                "latency_ms."
            )
        used: dict[str, Any] = {"data": None} if data is None else self._shortlist.open(data, self.space.given)
        if self.constraints.bounds_on("latency_ms"):
            self._shortlist.latency = self.latency
            used["latency"] = self.latency.describe()
        with self._held():
            self._use(used)
            with self._at_work():
                self._shortlist.check_functions(self._records(), self.space, self._folder)
                self._read(self._record("ranking") or self._rank(used))
            self._run()

    @property
    def needs_data(self) -> bool:
        """Whether something is to be measured on images."""
        measured = any(not score.counted for score in (self.score, self._second) if score is not None)
        bounded = any(map(self.constraints.bounds_on, ("energy_mj", "latency_ms")))
        return self.scalarization.needs_energy or measured or bounded

    @property
    def lists(self) -> bool:
        """Whether a score is asked of a shortlist, with images or without."""
        return not self._counted or self._second is not None

    def _rank(self, used: dict[str, Any]) -> dict[str, Any]:
        """Ranks, measures where there are images, orders, and keeps all of it as one record."""
        start = time.perf_counter()
        ranking, measured = self.ranking, used["data"] is not None
        listed = measured or self.lists
        genomes = ranking.top(self._shortlist.size if listed else self._oracle.evolution.max_trials)
        standings = ranking.standings
        seconds = time.perf_counter() - start
        for line in standings_lines(ranking, seconds):
            self._say(line)
        rows: list[dict[str, Any]] = [{} for _ in genomes]
        if listed:
            rows, spent = self._shortlist.measure(genomes, self._records(), self._write, self._say)
            seconds += spent
        if self._counted:
            for genome, row in zip(genomes, rows, strict=True):
                row[self.score.metric] = float(self.score.of(genome))
        order = order_rows(rows, self.score, self._second, self.scalarization, self.constraints)
        record = {
            "type": "ranking",
            **used,
            "exact": standings.exact and not listed,
            "networks": standings.networks,
            "seconds": round(seconds, 3),
            "order": order,
            "rows": [
                {"indices": list(genome.indices), "metrics": row} for genome, row in zip(genomes, rows, strict=True)
            ],
        }
        self._write(record)
        return record

    def _read(self, record: dict[str, Any]) -> None:
        """Takes the order from the journal."""
        genomes = [self.space.decode(row["indices"]) for row in record["rows"]]
        self._rows = {g: row["metrics"] for g, row in zip(genomes, record["rows"], strict=True)}
        self._oracle.evolution.chosen[:] = [genomes[i] for i in record["order"]]

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Metrics of one network of the ranking; called by `search`."""
        row = self._rows[genome_of(trial.hyperparameters, self.space)]
        return {name: float(value) for name, value in row.items() if not isinstance(value, str)}


def _check_names(score: Score, second: Score | None, constraints: Constraints) -> None:
    """Refuses, by ValueError, two things whose numbers would stand under one name in the results."""
    if second is not None and second.name == score.name:
        raise ValueError(f"Score and tie_break are both called {score.name!r}: equal ones need another second score.")
    for each in (score, second):
        for name, function in constraints.functions:
            if each is not None and each.name == name and getattr(each, "function", None) is not function:
                raise ValueError(f"A score and a constraint are both called {name!r}: rename one of your functions.")
