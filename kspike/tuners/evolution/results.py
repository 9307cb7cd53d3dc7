"""EvolutionResults: the results of an evolutionary search: networks, the front, tables, a record, a page, a plot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

from kspike import training
from kspike.models import Spikformer
from kspike.space import SearchSpace
from kspike.tuners.engine import Candidate
from kspike.tuners.engine.report import export, page
from kspike.tuners.evolution import supernet
from kspike.tuners.latency import in_words
from kspike.tuners.project import data as project_data
from kspike.tuners.project import text
from kspike.tuners.project.project import Project


class EvolutionResults(Project):
    """Mixed into `EvolutionSearch`: everything that is read from its journal, and further training of its networks."""

    space: SearchSpace

    def _final_path(self, number: int) -> Path:
        return self._folder / "finalists" / f"trial_{number}.weights.h5"

    def _picked(self) -> list[dict[str, Any]]:
        record = self._record("final")
        return record["ranked"] if record else []

    def best_candidates(self, num: int | None = None) -> list[Candidate]:
        """Candidates, best first: finalists in the order of the picking half, then the rest by their score."""
        first = [row["number"] for row in self._picked()]
        rest = [c.number for c in self.state.ranked() if c.number not in first]
        return [self.state.archive[number] for number in [*first, *rest]][:num]

    def get_best_models(self, num_models: int = 1) -> list[Spikformer]:
        """The best networks as ordinary `kspike.Spikformer`s, weights inherited, statistics their own, compiled.

        Raises:
            ValueError: the search is not finished, or has fewer finalists.
        """
        rows = self._picked()
        if not rows:
            raise ValueError("There are no final networks yet; let search(train, validation_data=...) finish.")
        if num_models > len(rows):
            raise ValueError(
                f"The search kept {len(rows)} finalists, asked for {num_models}: open it with finalists={num_models} "
                "and call search(train, validation_data=...) again, which evaluates no candidate anew."
            )
        models = []
        for row in rows[:num_models]:
            model = Spikformer(self.state.archive[row["number"]].config)
            supernet.load(model, self._final_path(row["number"]), row["sha256"])
            supernet.compile_for(model)
            models.append(model)
        return models

    def pareto_front(self) -> list[Candidate]:
        """Candidates that no other dominates in accuracy, energy and parameters together, most accurate first."""
        return self.state.archive.front()

    def retrain(
        self,
        model: keras.Model,
        train: Any,
        validation_data: Any = None,
        epochs: int = 100,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.01,
    ) -> keras.Model:
        """Trains a found network further, from the weights that it has, and returns it.

        Every epoch is kept in the project: run again, training resumes, or is loaded if it was finished.
        """
        seed = int(self._oracle.evolution.seed)
        data = project_data.as_data(train, "train", seed)
        validation = None if validation_data is None else project_data.as_data(validation_data, "validation")
        recipe = supernet.recipe_of(data, int(epochs), learning_rate, weight_decay, seed)
        start = supernet.start_of(model, recipe)
        return training.train(
            model,
            data,
            recipe,
            validation_data=validation,
            directory=self._folder / "retrained" / start,
            verbose=self.report_level,
        )

    def history(self) -> list[dict[str, Any]]:
        """One row a finished generation: best, median, size of the front, hypervolume, seconds, evaluations left."""
        largest = (self._record("reference") or {}).get("metrics", {})
        return self.state.history(largest.get("energy_mj"), largest.get("parameters"))

    def results_summary(self, num_trials: int = 10) -> None:
        """Prints what was searched, the generations, the front and the best networks, as tables."""
        text.summary(
            self._folder, self._oracle.objective, self.state, self.history(), self.best_candidates(num_trials),
            {row["number"]: row for row in self._picked()}, num_trials, self._measured_with(),
        )  # fmt: skip

    def _measured_with(self) -> list[str]:
        """What latencies were measured with, as lines of a report."""
        said = (self._record("used") or {}).get("latency")
        return [in_words(said)] if said else []

    def search_record(self) -> dict[str, Any]:
        """The whole search as plain JSON values, for a model card: space, settings, best genome, every trial."""
        return text.record(self._oracle.objective, self.state, self.best_candidates(1), self._record("supernet") or {})

    def to_csv(self, path: str | Path) -> Path:
        """Writes every candidate as a row of a CSV file."""
        return export.to_csv(list(self.state.archive), path, self.pareto_front())

    def plot(self, path: str | Path) -> Path:
        """Draws accuracy against energy with the front, and the hypervolume by generation."""
        return export.plot(list(self.state.archive), self.pareto_front(), self.history(), path)

    def _page(self, num_trials: int) -> str:
        evolution = self._oracle.evolution
        facts = [
            f"objective {self._oracle.objective}; constraints {evolution.constraints}; "
            f"seed {evolution.seed}; {evolution.population_size} networks a generation",
            f"space {self.space.name}: {self.space.size():,} networks",
            *self._measured_with(),
        ]
        return page.as_page(
            f"Search in {self.space.name}", facts, list(self.state.archive), self.pareto_front(), self.history(),
            self.best_candidates(num_trials), {row["number"]: row for row in self._picked()},
            evolution.constraints.beside,
        )  # fmt: skip
