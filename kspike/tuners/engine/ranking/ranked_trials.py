"""RankedTrials: proposes the top of a ranking through the interface of an `Evolution`."""

from __future__ import annotations

import dataclasses

from kspike.space import Genome, SearchSpace
from kspike.tuners.engine.archive import Archive
from kspike.tuners.engine.candidate import Proposal
from kspike.tuners.engine.checks import at_most, whole
from kspike.tuners.engine.constraints import Constraints
from kspike.tuners.engine.evolution.evolution import MOST_GENOMES
from kspike.tuners.engine.ranking.ranking import Ranking


@dataclasses.dataclass
class RankedTrials:
    """Proposes the best networks of a ranking, all in one generation; used in place of an `Evolution`.

    Args:
        ranking: where they come from.
        max_trials: how many are proposed.
        chosen: what is proposed instead, best first, once a shortlist was measured and ordered.
    """

    ranking: Ranking
    max_trials: int = 10
    chosen: list[Genome] = dataclasses.field(default_factory=list, repr=False)
    generations: int = dataclasses.field(default=0, init=False)

    def __post_init__(self) -> None:
        at_most("max_trials", whole("max_trials", self.max_trials, 1), MOST_GENOMES)

    @property
    def space(self) -> SearchSpace:
        """The ranking's."""
        return self.ranking.space

    @property
    def constraints(self) -> Constraints:
        """The ranking's."""
        return self.ranking.constraints

    @property
    def seed(self) -> int:
        """The ranking's."""
        return self.ranking.seed

    @property
    def population_size(self) -> int:
        """All trials are proposed at once."""
        return self.max_trials

    @property
    def trials(self) -> int:
        """Evaluations in all, if the space has as many networks."""
        return self.max_trials

    def propose(self, generation: int, archive: Archive, first_number: int) -> list[Proposal]:
        """The best `max_trials` networks."""
        genomes = self.chosen[: self.max_trials] or self.ranking.top(self.max_trials)
        return [Proposal(first_number + i, 0, genome, "ranking") for i, genome in enumerate(genomes)]

    def describe(self) -> dict[str, object]:
        """Everything that decides what is proposed, as plain JSON values: what tells one project from another."""
        return {**self.ranking.describe(), "max_trials": int(self.max_trials)}
