"""ZeroCostSearch: ranks a space without training anything, and hands out its best networks. A KerasTuner tuner."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras_tuner

from kspike.models import Spikformer
from kspike.space import SearchSpace
from kspike.tuners import scores as score_names
from kspike.tuners import tuner_report, tuner_supernet, tuner_zero_cost_report
from kspike.tuners.engine import Candidate, Constraints, export
from kspike.tuners.engine.fingerprint import refuse
from kspike.tuners.engine.ranking import COUNTED, TIE_BREAKS, Ranking
from kspike.tuners.engine.selection import front
from kspike.tuners.engine.weighing import Weighing
from kspike.tuners.hypermodel import SpikformerHyperModel, genome_of
from kspike.tuners.oracle_zero_cost import ZeroCostSearchOracle
from kspike.tuners.scores.energy import Energy
from kspike.tuners.tuner_project import Project
from kspike.tuners.tuner_shortlist import Shortlist, order_rows


class ZeroCostSearch(Project, keras_tuner.Tuner):
    """Searches a space of Spikformers without training: by FLOPs exactly, by what untrained networks do on a shortlist.

    By "flops" or "params" every network of the space is ranked, exactly and in milliseconds: networks of equal cost
    form cells, and nothing is built before `get_best_models`. Everything else (energy, synflow, naswot, grad_norm)
    needs built networks: it is measured on the `shortlist` best by FLOPs, over several initialisations, on one batch of
    real images, unaugmented, with the statistics of that batch. Networks that do not fire are rejected, saying so.

    A project is a folder, as of `EvolutionSearch` and by the same code: run again, it goes on; opened with other
    settings, it refuses and names the difference.

    Source: AutoST (Wang et al., ICASSP 2024), whose released search evaluates about 1,050 built networks for what the
    ranking gives exactly. Departures: ties are broken by a stated second score; energy is ours (its was not published).

    Args:
        space: a `SearchSpace`, the name of a published one, or a JSON file.
        score: "flops", "params" (the more the better), or a measured one: `kspike.tuners.scores.names()`.
        constraints: quantity -> (lower, upper), None for an open side: "parameters", "flops", "timesteps" exactly;
            "energy_mj" on the shortlist.
        max_trials: how many networks are handed out.
        energy_weight: weight of the energy against the score, 0 to 1, both normalised over the shortlist. None: the
            score alone ranks where no images are given, and the Pareto front of both where they are.
        shortlist: how many of the best by count are measured.
        tie_break: what ranks networks of equal score: "attention" (fewer operations of attention, that is more heads),
            "params", "flops" (fewer), a measured score, or None. What is still equal comes in the order of the genes.
        per_cost: at most so many networks of the same parameters, FLOPs and time steps on the shortlist and among the
            trials; None for all. Where many networks cost the same, 1 spreads the shortlist over different costs.
        fitness: "normalised", or "autost": FLOPs / 1e9 + ld / energy, as its code has it.
        ld: AutoST's lambda, for fitness="autost".
        seeds: initialisations that a measured score is averaged over.
        images: images in the batch.
        seed: the first initialisation's.
        convention: how energy is charged (`kspike.cost.conventions()`).
        lease: with several workers, seconds after which a silent one counts as dead.
        directory, project_name, overwrite: as of every KerasTuner tuner.
        verbose: 1 for lines of progress, 0 for silence, 2 for KerasTuner's own tables as well.

    Raises:
        ValueError: anything that cannot work, before work starts.

    Example: see docs/training_free.md.
    """

    def __init__(
        self,
        space: Any,
        score: str = "flops",
        constraints: Mapping[str, Any] | None = None,
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
        self.score = score_names.get(score)
        self.weighing = Weighing(energy_weight, fitness, ld)
        energy = Energy(convention)
        self._counted = self.score.name in COUNTED  # what the whole space is ranked by
        self._second = None if tie_break is None or tie_break in TIE_BREAKS else score_names.get(tie_break)
        bounds = Constraints.of(constraints)
        if any(name == "accuracy" for name, _ in bounds.bounds):
            raise ValueError("Nothing is trained, so no accuracy can be constrained; use EvolutionSearch.")
        self.constraints = bounds
        for name, value in (("shortlist", shortlist), ("seeds", seeds), ("images", images)):
            if isinstance(value, bool) or not hasattr(value, "__index__") or int(value) < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}.")
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
        self.space: SearchSpace = oracle.space
        self.report_level = verbose
        self._oracle = oracle  # on a worker, self.oracle is a wire to the chief's
        self._rows: dict[Any, dict[str, float]] = {}
        fresh = overwrite and not self._is_worker()
        super().__init__(oracle, None, directory=directory, project_name=project_name or "search", overwrite=fresh)
        self.hypermodel = SpikformerHyperModel(self.space)
        oracle.verbose = 1 if verbose > 1 else 0
        if not self._is_worker():
            oracle.reload()

    @property
    def ranking(self) -> Ranking:
        """The exact ranking by count that the shortlist, or the result, is the top of."""
        return self._oracle.ranking

    # -- the search ----------------------------------------------------------------------------------------------

    def search(self, data: Any = None) -> None:
        """Ranks the space; with data, measures the shortlist and orders it; hands the best out as trials.

        Args:
            data: training data: one part of `kspike.data.load(...)`, or `(images, labels)` as arrays. None where
                nothing is measured.

        Raises:
            ValueError: no network keeps the constraints, data is missing where it is needed or cannot be used, or no
                network of the shortlist fires.
        """
        if self._is_worker():
            self._read(self._wait_for("ranking"))
            super().search()
            return
        if data is None and self.needs_data:
            raise ValueError(
                "Energy, and every score but flops and params, is measured on real images: call "
                "search(data.train), or leave out energy_weight, measured scores and bounds on energy_mj."
            )
        done = self._record("ranking")
        used = {"data": None if data is None else self._shortlist.open(data, self.space.base)}
        if done is not None:
            refuse({"data": done["data"]}, used, self._folder)
        else:
            done = self._rank(used, measured=data is not None)
        self._read(done)
        super().search()
        if self._oracle.error is not None:
            error = self._oracle.error
            raise error if isinstance(error, ValueError) else keras_tuner.errors.FatalError(str(error)) from error

    @property
    def needs_data(self) -> bool:
        """Whether something is to be measured on images."""
        bounded = any(name == "energy_mj" for name, _ in self.constraints.bounds)
        return self.weighing.needs_energy or not self._counted or self._second is not None or bounded

    def _rank(self, used: dict[str, Any], measured: bool) -> dict[str, Any]:
        start = time.perf_counter()
        ranking, name = self.ranking, self.score.name
        wanted = self._shortlist.size if measured else ranking.max_trials
        genomes = ranking.top(wanted)
        standings = ranking.standings
        for line in tuner_zero_cost_report.standings_lines(ranking, time.perf_counter() - start):
            self._say(line)
        if measured:
            rows = self._shortlist.measure(genomes, self._records(), self._write, self._say)
        else:
            rows = [{} for _ in genomes]
        if self._counted:
            for genome, row in zip(genomes, rows, strict=True):
                row[name] = float(self.score.of(genome))
        order = order_rows(rows, self.score, self._second, self.weighing, self.constraints)
        record = {
            "type": "ranking",
            **used,
            "exact": standings.exact and not measured,
            "networks": standings.networks,
            "seconds": round(time.perf_counter() - start, 3),
            "order": order,
            "rows": [
                {"indices": list(genome.indices), "metrics": _finite(row)}
                for genome, row in zip(genomes, rows, strict=True)
            ],
        }
        self._write(record)
        return record

    def _read(self, record: dict[str, Any]) -> None:
        """Takes the order from the journal."""
        genomes = [self.space.decode(row["indices"]) for row in record["rows"]]
        self._rows = {g: row["metrics"] for g, row in zip(genomes, record["rows"], strict=True)}
        self.ranking.chosen[:] = [genomes[i] for i in record["order"]]

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Metrics of one network of the ranking; called by `search`."""
        row = self._rows[genome_of(trial.hyperparameters, self.space)]
        return {name: float(value) for name, value in row.items() if not isinstance(value, str)}

    # -- results -------------------------------------------------------------------------------------------------

    def best_candidates(self, num: int | None = None) -> list[Candidate]:
        """Candidates from the best on."""
        return self.state.ranked()[:num]

    def get_best_models(self, num_models: int = 1) -> list[Spikformer]:
        """The best networks, built and compiled, untrained; the first seed's initial weights.

        Raises:
            ValueError: the search is not finished, or has fewer trials.
        """
        best = self.best_candidates()
        if num_models > len(best):
            raise ValueError(
                f"There are {len(best)} ranked networks, asked for {num_models}; let search() finish, or give a larger "
                "max_trials."
            )
        models = []
        for candidate in best[:num_models]:
            with tuner_supernet.seeded(int(self.ranking.seed)):
                models.append(Spikformer(candidate.config))
            tuner_supernet.compile_for(models[-1])
        return models

    def shortlisted(self) -> list[Candidate]:
        """Every network of the shortlist that was not rejected, by its place; numbers are places."""
        record = self._record("ranking")
        return [] if record is None else tuner_zero_cost_report.candidates_of(record, self.space, self.constraints)

    def rejected(self) -> list[tuple[Any, str]]:
        """(genome, why) of every network of the shortlist that was rejected."""
        rows = (self._record("ranking") or {}).get("rows", [])
        return [
            (self.space.decode(row["indices"]), row["metrics"]["rejected"])
            for row in rows
            if row["metrics"].get("rejected")
        ]

    def pareto_front(self) -> list[Candidate]:
        """Networks of the shortlist that no other dominates in score and expected energy, highest score first.

        Raises:
            ValueError: no energy was measured.
        """
        found = self.shortlisted()
        if not found or "energy_mj" not in found[0].metrics:
            raise ValueError("There is no front without energies; call search(data.train).")
        if self.score.name == "energy":
            return front(found, [("energy_mj", "min")])
        return front(found, [(self.score.name, self.score.direction), ("energy_mj", "min")])

    # -- reports -------------------------------------------------------------------------------------------------

    def results_summary(self, num_trials: int = 10) -> None:
        """Prints what was ranked, how ties were broken, the front where energy was measured, and the best networks."""
        out = tuner_report.console()
        record = self._record("ranking")
        out.print(f"[bold]Zero-cost search[/bold] in {self._folder}")
        for line in tuner_zero_cost_report.summary_lines(self, record):
            out.print(line)
        if record is None:
            return
        name = "energy_mj" if self.score.name == "energy" else self.score.name
        if record["data"] is not None:
            found = self.pareto_front()
            shown = found[:num_trials]
            title = f"Pareto front of the shortlist: {name}, expected energy ({len(shown)} of {len(found)})"
            out.print(tuner_zero_cost_report.table(title, shown, name))
        out.print(tuner_zero_cost_report.table("Best first", self.best_candidates(num_trials), name))

    def search_record(self) -> dict[str, Any]:
        """The whole search as plain JSON values, for a model card: space, settings, best genome, every trial."""
        record = self._record("ranking") or {}
        best = self.best_candidates(1)
        return {
            "method": "zero-cost",
            "space": self.space.to_dict(),
            "objective": self.score.name,
            "constraints": self.constraints.to_dict(),
            "seed": int(self.ranking.seed),
            "settings": {**self.ranking.describe(), **self._oracle.settings, "space": self.space.name},
            "genome": best[0].genome.to_dict() if best else None,
            "budget": {
                "networks_ranked": record.get("networks"),
                "networks_built": 0 if record.get("data") is None else len(record.get("rows", [])),
                "trials": len(self.state.archive),
                "search_seconds": record.get("seconds"),
            },
            "trials": [
                {"number": c.number, "indices": list(c.genome.indices), "score": c.score, "metrics": dict(c.metrics)}
                for c in self.state.archive
            ],
        }

    def to_csv(self, path: str | Path) -> Path:
        """Writes every network of the shortlist (of the trials, where none was measured) as a row of a CSV file."""
        found = self.shortlisted()
        measured = bool(found) and "energy_mj" in found[0].metrics
        return export.to_csv(found, path, self.pareto_front() if measured else [])

    def plot(self, path: str | Path) -> Path:
        """Draws expected energy against the score, with the spread over initialisations and the front."""
        return tuner_zero_cost_report.plot(self.shortlisted(), self.pareto_front(), self.score.name, path)


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    """What JSON can hold."""
    return {k: v for k, v in row.items() if isinstance(v, str) or abs(v) != float("inf") and v == v}
