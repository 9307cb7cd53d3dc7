"""Evolution: turns the results of all generations so far into the next generation of genomes."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import numpy as np

from kspike.space import Genome, SearchSpace
from kspike.tuners.engine.archive import Archive
from kspike.tuners.engine.candidate import Candidate, Proposal
from kspike.tuners.engine.checks import at_most, whole
from kspike.tuners.engine.constraints import Constraints, nothing_inside
from kspike.tuners.engine.evolution.operators import Crossover, Mutation, check_rate
from kspike.tuners.engine.evolution.selection import NSGA2, ByScore

#: Attempts for each child wanted (Auto-Spikformer's ten), before random genomes fill the generation.
TRIES_A_CHILD = 10
#: Attempts for each random genome wanted, before the space counts as exhausted.
TRIES_AT_RANDOM = 2000
#: Genomes are made and checked in batches of up to this many.
MOST_AT_ONCE = 1024
#: Spaces up to this size are enumerated where random sampling finds nothing new.
WALKABLE = 20_000
#: Most genomes of a generation: each is kept in memory, and evaluating more would take months.
MOST_GENOMES = 100_000
#: A genome, the operator that made it, and the numbers of its parents.
Origin = tuple[Genome, str, tuple[int, ...]]


@dataclasses.dataclass(frozen=True)
class Evolution:
    """Evolves from the best candidates ever seen, as Auto-Spikformer and AutoFormer do (defaults are theirs).

    Generation 0 is random. Each later one has `mutation_share` mutants of the best `parents` candidates so far, the
    rest are crossovers of two of them; where ten attempts a child do not give enough new ones, random genomes fill up.
    A generation depends on the seed, its number and the results before it, and on nothing else: not on the clock,
    not on the order in which results came in, not on what was drawn before.

    Args:
        space: where genomes come from.
        generations: generations after the random one.
        population_size: genomes a generation; trials in all are `population_size * (generations + 1)`.
        parents: how many of the best become parents.
        mutation_share: share of a generation made by mutation.
        mutation: the mutation operator.
        crossover: the crossover operator.
        selection: how candidates are ranked: `ByScore()` or `NSGA2()`.
        constraints: bounds; what can be counted, or a function says, is checked before a genome is proposed.
        seed: any whole number, 0 included.

    Raises:
        ValueError: a setting out of range, no network keeps the constraints, or fewer do than `population_size`.
    """

    space: SearchSpace
    generations: int = 20
    population_size: int = 50
    parents: int = 10
    mutation_share: float = 0.5
    mutation: Mutation = Mutation()
    crossover: Crossover = Crossover()
    selection: ByScore | NSGA2 = ByScore()
    constraints: Constraints = Constraints()
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("generations", 0), ("population_size", 1), ("parents", 1), ("seed", 0)):
            whole(name, getattr(self, name), least)
        check_rate(self.mutation_share, "mutation_share")
        at_most("population_size", self.population_size, MOST_GENOMES)
        inside = self.constraints.networks(self.space)
        if inside is not None and self.population_size > inside:
            kept = f" that keep the constraints ({self.constraints})" if self.constraints.bounds else ""
            raise ValueError(
                f"population_size is {self.population_size:,}, but space {self.space.name!r} has {inside:,} networks"
                f"{kept}: give at most so many."
            )

    @property
    def trials(self) -> int:
        """Evaluations in all, if the space does not run out before."""
        return self.population_size * (self.generations + 1)

    def propose(self, generation: int, archive: Archive, first_number: int) -> list[Proposal]:
        """Makes one generation; fewer genomes than wanted, or none, where the space has no more new ones.

        Raises:
            ValueError: generation 0 finds no genome that keeps the constraints.
        """
        rng = np.random.default_rng([int(self.seed), generation])
        made: list[Origin] = []
        seen = archive.genomes()

        def take(origins: list[Origin], wanted: int) -> int:
            """Keeps up to `wanted` genomes that are new and inside the constraints; returns how many."""
            before = len(made)
            inside = self.constraints.keep(self.space, np.array([o[0].indices for o in origins]))
            for origin in itertools.compress(origins, inside):
                if origin[0] not in seen and len(made) - before < wanted:
                    seen.add(origin[0])
                    if not self.constraints.admits(origin[0]):
                        continue
                    made.append(origin)
            return len(made) - before

        if generation > 0:
            elite = self.selection(list(archive))[: self.parents]
            mutants = round(self.population_size * self.mutation_share)
            if elite:
                self._fill(mutants, TRIES_A_CHILD, lambda: self._mutant(elite, rng), take)
            if len(elite) > 1:
                crossed = self.population_size - len(made)
                self._fill(crossed, TRIES_A_CHILD, lambda: self._crossed(elite, rng), take)
        self._fill(self.population_size - len(made), TRIES_AT_RANDOM, lambda: self._random(rng), take)
        if len(made) < self.population_size and self.space.size() <= WALKABLE:
            rest = list(self.space.genomes())
            take([(rest[i], "random", ()) for i in rng.permutation(len(rest))], self.population_size - len(made))
        if generation == 0 and not made:
            raise ValueError(nothing_inside(self.space, self.constraints))
        return [Proposal(first_number + i, generation, *origin) for i, origin in enumerate(made)]

    @staticmethod
    def _fill(wanted: int, tries: int, make: Callable[[], Origin], take: Callable[[list[Origin], int], int]) -> None:
        left = wanted * tries
        while wanted > 0 and left > 0:
            batch = min(left, max(wanted, min(MOST_AT_ONCE, wanted * tries - left)))  # larger as it gets harder
            wanted -= take([make() for _ in range(batch)], wanted)
            left -= batch

    def _random(self, rng: np.random.Generator) -> Origin:
        return self.space.sample(rng=rng), "random", ()

    def _mutant(self, elite: list[Candidate], rng: np.random.Generator) -> Origin:
        parent = elite[rng.integers(len(elite))]
        return self.mutation(parent.genome, rng), "mutation", (parent.number,)

    def _crossed(self, elite: list[Candidate], rng: np.random.Generator) -> Origin:
        a, b = (elite[i] for i in rng.choice(len(elite), size=2, replace=False))
        return self.crossover(a.genome, b.genome, rng), "crossover", (a.number, b.number)
