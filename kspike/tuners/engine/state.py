"""SearchState: hands out genomes, takes results back, and tracks the search; rebuilt from its journal."""

from __future__ import annotations

import enum
import math
import statistics
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from kspike.space import Genome
from kspike.tuners.engine import records
from kspike.tuners.engine.archive import Archive, hypervolume
from kspike.tuners.engine.candidate import Candidate, Proposal
from kspike.tuners.engine.constraints import EXACT, counted
from kspike.tuners.engine.evolution.evolution import Evolution
from kspike.tuners.engine.evolution.selection import ByScore
from kspike.tuners.engine.journal import Journal


class NoProposal(enum.Enum):
    """Why `ask` returned no proposal."""

    WAIT = "wait"  # every genome of this generation is handed out; the next generation needs their results
    DONE = "done"  # all generations are finished, or the space has no more new networks


class AllFailed(RuntimeError):
    """Not one candidate of the first generation could be evaluated: no search can go on from that."""


class SearchState:
    """Runs an evolution by `ask` and `tell`; any number of evaluators may ask before others have told.

    Every generation and every result goes into the journal before anything else happens, so a process may die at any
    moment: a new state on the same journal goes on, and asks again only for what had not been told.

    Args:
        evolution: what makes the generations.
        objective: name of the metric that is the score.
        direction: "max" or "min".
        journal: where to write and resume from; None keeps all in memory.

    Raises:
        ValueError: the journal is not that of one search: a line is damaged, a generation or a result stands twice, is
            missing, or was never proposed; names file and line.

    Example:
        >>> from kspike.space import SearchSpace
        >>> space = SearchSpace(depth=(1, 2), mlp_ratio=(1, 2, 4))
        >>> state = SearchState(Evolution(space, generations=1, population_size=3), "accuracy", "max")
        >>> while isinstance(proposal := state.ask(), Proposal):
        ...     _ = state.tell(proposal.number, {"accuracy": proposal.genome.depth / 2})
        >>> state.best().genome.depth
        2
    """

    def __init__(self, evolution: Evolution, objective: str, direction: str, journal: Journal | None = None) -> None:
        if direction not in ("max", "min"):
            raise ValueError(f"direction must be 'max' or 'min', got {direction!r}.")
        self.evolution = evolution
        self.objective = objective
        self.direction = direction
        self.journal = journal
        self.archive = Archive()
        self.proposals: list[Proposal] = []
        self.generation = -1
        self.exhausted = False
        self._out: set[int] = set()
        if journal:
            self._replay(journal)

    # -- asking and telling -------------------------------------------------------------------------------------

    def ask(self) -> Proposal | NoProposal:
        """The next genome to evaluate, or why there is none.

        Raises:
            AllFailed: the whole first generation failed.
        """
        for proposal in self.current():
            if proposal.number not in self.archive and proposal.number not in self._out:
                self._out.add(proposal.number)
                return proposal
        if any(p.number not in self.archive for p in self.current()):
            return NoProposal.WAIT
        if self.generation == 0 and not any(c.completed for c in self.archive):
            first = next(iter(self.archive)).message
            raise AllFailed(f"All {len(self.archive)} candidates of the first generation failed. The first: {first}")
        if self.exhausted or self.generation >= self.evolution.generations:
            return NoProposal.DONE
        made = self.evolution.propose(self.generation + 1, self.archive, len(self.proposals))
        self._write({"type": "generation", "generation": self.generation + 1, "proposals": [p.to_dict() for p in made]})
        self._begin(self.generation + 1, made)
        return self.ask()

    def tell(
        self,
        number: int,
        metrics: Mapping[str, float] | None = None,
        message: str | None = None,
        seconds: float = 0.0,
    ) -> Candidate:
        """Records a result: metrics with the objective among them, or a message why there are none.

        Measured numbers are rounded to float32, as KerasTuner's protocol does, so that one process and many find the
        same. A result that is there already is kept, and a NaN is a failure.
        """
        if number in self.archive:
            return self.archive[number]
        if not 0 <= number < len(self.proposals):
            raise ValueError(f"Trial {number} was never proposed; there are {len(self.proposals)} proposals.")
        measured = {name: float(np.float32(value)) for name, value in (metrics or {}).items() if name not in EXACT}
        if message is None and metrics is not None and not math.isfinite(measured.get(self.objective, math.nan)):
            message = f"{self.objective} is {measured.get(self.objective, 'missing')}"
        known = {name: value for name, value in measured.items() if math.isfinite(value)}
        config = self.proposals[number].genome.to_config()
        record = {
            "type": "result",
            "number": number,
            "metrics": {
                **known,
                **self.evolution.constraints.of_network(config),
                **self.sizes(self.proposals[number].genome),
            },
            "message": message if metrics is not None or message is not None else "no metrics",
            "seconds": round(float(seconds), 3),
        }
        self._write(record)
        return self._result(record)

    def sizes(self, genome: Genome) -> dict[str, int]:
        """What is counted of a genome rather than measured; it stands in every result."""
        return counted(genome.to_config())

    def hold(self, numbers: Iterable[int]) -> None:
        """Marks genomes as handed out by other means, so that `ask` does not give them too."""
        self._out.update(numbers)

    def give_up(self, number: int) -> None:
        """Takes a genome back that was handed out and will not be told: it will be asked for again."""
        self._out.discard(number)

    # -- the state of the search ---------------------------------------------------------------------------------

    def current(self) -> list[Proposal]:
        """The genomes of the current generation."""
        return [p for p in self.proposals if p.generation == self.generation]

    def pending(self) -> list[int]:
        """Numbers proposed before the last result but without one themselves (interrupted when a run died)."""
        last = max((c.number for c in self.archive), default=-1)
        return [p.number for p in self.proposals if p.number < last and p.number not in self.archive]

    def done(self) -> bool:
        """Whether everything has been evaluated."""
        over = self.exhausted or self.generation >= self.evolution.generations
        return over and all(p.number in self.archive for p in self.current())

    def left(self) -> int:
        """Evaluations still to come, if the space does not run out."""
        ahead = 0 if self.exhausted else self.evolution.generations - self.generation
        return ahead * self.evolution.population_size + sum(p.number not in self.archive for p in self.current())

    def ranked(self) -> list[Candidate]:
        """Completed candidates by the objective, best first, infeasible ones behind."""
        return ByScore()(list(self.archive))

    def best(self) -> Candidate:
        """The candidate of the best objective value inside the constraints."""
        return self.ranked()[0]

    def history(self, energy_mj: float | None = None, parameters: float | None = None) -> list[dict[str, Any]]:
        """One row a finished generation: best and median score, size of the front, hypervolume, seconds, what is left.

        Args:
            energy_mj: energy of the space's largest network, which the hypervolume is measured against.
            parameters: its parameters; without both there is no hypervolume.
        """
        rows = []
        for generation in range(self.generation + 1):
            members = [p.number for p in self.proposals if p.generation == generation]
            if not members or any(number not in self.archive for number in members):
                continue
            known = self.archive.until(generation)
            scores = [self.archive[n].score for n in members if self.archive[n].completed]
            feasible = [c.fitness for c in known if c.feasible]
            front = self.archive.front(generation)
            rows.append(
                {
                    "generation": generation,
                    "evaluations": len(members),
                    "failed": sum(not self.archive[n].completed for n in members),
                    "infeasible": sum(self.archive[n].violation > 0 for n in members),
                    "best": (max(feasible) if self.direction == "max" else -max(feasible)) if feasible else None,
                    "median": statistics.median([float(s) for s in scores if s is not None]) if scores else None,
                    "front": len(front),
                    "hypervolume": hypervolume(front, energy_mj, parameters) if energy_mj and parameters else None,
                    "seconds": sum(self.archive[n].seconds for n in members),
                    "left": max(0, self.evolution.trials - len(known)),
                }
            )
        return rows

    # -- the journal --------------------------------------------------------------------------------------------

    def _write(self, record: dict[str, Any]) -> None:
        if self.journal is not None:
            self.journal.append(record)

    def _replay(self, journal: Journal) -> None:
        seen: set[str] = set()
        for line, record in enumerate(journal.read(), start=1):
            try:
                records.check(record)
                if record["type"] in seen and record["type"] in records.ONCE:
                    raise ValueError(f"a second {record['type']}; two searches have written into this journal")
                self._take(record)
            except (ValueError, OverflowError) as error:  # OverflowError: an integer too large for a float
                journal.refuse(line, str(error))
            seen.add(record["type"])

    def _take(self, record: Mapping[str, Any]) -> None:
        if record["type"] == "generation":
            left = [p.number for p in self.current() if p.number not in self.archive]
            records.check_generation(record, self.generation, len(self.proposals), left)
            self._begin(
                record["generation"], [Proposal.from_dict(p, self.evolution.space) for p in record["proposals"]]
            )
        elif record["type"] == "result":
            records.check_result(record, len(self.proposals), self.archive, self.objective)
            self._result(record)

    def _begin(self, generation: int, made: list[Proposal]) -> None:
        self.generation = generation
        self.proposals += made
        self.exhausted = not made

    def _result(self, record: Mapping[str, Any]) -> Candidate:
        proposal = self.proposals[record["number"]]
        metrics = record["metrics"]
        failed = record["message"] is not None
        score = None if failed else metrics[self.objective]
        candidate = Candidate(
            proposal,
            metrics,
            score,
            -math.inf if score is None else score if self.direction == "max" else -score,
            0.0 if failed else self.evolution.constraints.violation(metrics),
            record["message"],
            record["seconds"],
        )
        self.archive.add(candidate)
        self._out.discard(proposal.number)
        return candidate
