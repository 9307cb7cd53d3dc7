"""ZeroCostResults: the results of a zero-cost search: networks, the front, tables, a record, a page, a plot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kspike.models import Spikformer
from kspike.space import SearchSpace
from kspike.tuners.engine import Candidate, Constraints, Proposal
from kspike.tuners.engine.constraints import counted
from kspike.tuners.engine.evolution.selection import front
from kspike.tuners.engine.ranking.ranking import Ranking
from kspike.tuners.engine.ranking.scalarization import Scalarization
from kspike.tuners.engine.report import export
from kspike.tuners.evolution import supernet
from kspike.tuners.project import text
from kspike.tuners.project.project import Project
from kspike.tuners.scores import Score
from kspike.tuners.zero_cost import page
from kspike.tuners.zero_cost.shortlist import Shortlist
from kspike.tuners.zero_cost.text import rows_of, score_axis, summary_lines


class ZeroCostResults(Project):
    """Mixed into `ZeroCostSearch`: everything that is read from its journal once the ranking is done."""

    space: SearchSpace
    score: Score
    _second: Score | None
    scalarization: Scalarization
    constraints: Constraints
    _shortlist: Shortlist

    @property
    def ranking(self) -> Ranking:
        """The exact ranking by count; the shortlist, or the result, is its top."""
        return self._oracle.ranking

    def best_candidates(self, num: int | None = None) -> list[Candidate]:
        """Candidates, best first."""
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
            with supernet.seeded(int(self.ranking.seed)):
                models.append(Spikformer(candidate.config))
            supernet.compile_for(models[-1])
        return models

    def shortlisted(self) -> list[Candidate]:
        """Networks of the shortlist (of the trials, where none was measured) but the rejected; numbers are ranks."""
        record = self._record("ranking")
        if record is None:
            return []
        found = []
        for place, i in enumerate(record["order"]):
            row = record["rows"][i]
            genome = self.space.decode(row["indices"])
            config = genome.to_config()
            metrics = {**row["metrics"], **self.constraints.of_network(config), **counted(config)}
            fitness = metrics["fitness"]
            found.append(Candidate(Proposal(place, 0, genome, "ranking"), metrics, fitness, fitness))
        return found

    def rejected(self) -> list[tuple[Any, str]]:
        """(genome, why) of every network of the shortlist that was rejected: silent, outside the bounds, or failed."""
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
        by = dict.fromkeys([(self.score.metric, self.score.direction), ("energy_mj", "min")])  # the score may be energy
        return front(found, list(by))

    # -- reports -------------------------------------------------------------------------------------------------

    def results_summary(self, num_trials: int = 10) -> None:
        """Prints what was ranked, how ties were broken, the front where energy was measured, and the best networks."""
        out = text.console()
        text.print_head(out, "Zero-cost search", self._folder)
        for line in self._lines():
            out.print(line, markup=False)
        found = self._front()
        if found:
            shown = found[:num_trials]
            title = f"Pareto front of the shortlist: {self.score.name}, expected energy ({len(shown)} of {len(found)})"
            out.print(text.table(title, *rows_of(shown, self.score, self.constraints.beside)))
        if self.state.archive:
            best = rows_of(self.best_candidates(num_trials), self.score, self.constraints.beside)
            out.print(text.table("Best first", *best))

    def _lines(self) -> list[str]:
        return summary_lines(
            self.ranking, self.score, self._second, self.scalarization, self._shortlist.seeds, self._record("ranking")
        )

    def _front(self) -> list[Candidate]:
        """The front, empty where no energy was measured."""
        found = self.shortlisted()
        return self.pareto_front() if found and "energy_mj" in found[0].metrics else []

    def _page(self, num_trials: int) -> str:
        edge = self._front()
        return page.as_page(
            self._lines(), self.ranking, self.score, self.shortlisted() if edge else [], edge,
            self.best_candidates(num_trials), self.rejected(),
        )  # fmt: skip

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
            "settings": {**self._oracle.evolution.describe(), **self._oracle.settings, "space": self.space.name},
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
        return export.to_csv(self.shortlisted(), path, self._front())

    def plot(self, path: str | Path) -> Path:
        """Draws expected energy against the score, with the spread over initialisations and the front.

        Raises:
            ValueError: no energy was measured.
        """
        return export.plot_score(self.shortlisted(), self.pareto_front(), score_axis(self.score), path)
