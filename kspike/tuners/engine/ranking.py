"""Ranking: proposes the best networks of a whole space by counts alone, exactly; nothing is built or trained."""

from __future__ import annotations

import collections
import dataclasses
import functools
import itertools
import math
from collections.abc import Iterator

import numpy as np

from kspike.config import nearest
from kspike.cost import Sizes
from kspike.space import Genome, SearchSpace
from kspike.tuners.engine.archive import Archive
from kspike.tuners.engine.candidate import Proposal
from kspike.tuners.engine.cells import CostCells, TooRich
from kspike.tuners.engine.constraints import EXACT, Constraints
from kspike.tuners.engine.evolution import nothing_inside
from kspike.tuners.engine.quantities import quantity

#: Scores that follow from the architecture -> the quantity of it; more is better, as in AutoST's search.
COUNTED = {"flops": "flops", "params": "parameters"}
#: Second scores that follow from the architecture; less is better.
TIE_BREAKS = {"attention": "attention", "params": "parameters", "flops": "flops"}
#: Random networks that are ranked where a space is too rich to be enumerated.
SAMPLE = 100_000


@dataclasses.dataclass(frozen=True)
class Standings:
    """How a ranking came about.

    Args:
        exact: whether every network of the space was ranked; else a random sample.
        reason: why it was not, else "".
        networks: networks ranked that keep the constraints (of a sample: how many of it).
        cells: different costs in parameters, FLOPs and time steps among them.
        tied: networks that have the best score.
        tied_after: how many of these the second score leaves equal.
    """

    exact: bool
    reason: str
    networks: int
    cells: int
    tied: int
    tied_after: int


@dataclasses.dataclass(frozen=True)
class Ranking:
    """Ranks all networks of a space inside the constraints by a count, ties by a second one; walks from the best on.

    Exact: the space is collapsed to its cost cells (`CostCells`), the cells are sorted, and the networks of a cell are
    made only when their turn comes. A space too rich for that is sampled, and `standings` says so.

    Networks equal in both come in the order that `CostCells.genomes` states: usual neurons first, then gene by gene.

    Args:
        space: where the networks come from.
        score: "flops" (AutoST's) or "params"; the more the better.
        tie_break: what ranks networks of equal score: "attention" (fewer operations of attention as K^T V, then
            Q (K^T V), that is more heads), "params" or "flops" (fewer), or None for the order of the genes alone.
        constraints: bounds; those on measured quantities are not looked at here.
        max_trials: how many networks are proposed.
        seed: of the sample, where one is taken.
        per_cost: at most so many networks of the same parameters, FLOPs and time steps; None for all of them. The first
            of each cost come, by the second score.
        chosen: what is proposed in place of the best by count, where a shortlist was measured.

    Example:
        >>> best = next(Ranking(SearchSpace.load("autost_small"),
        ...     constraints=Constraints.of({"parameters": (11e6, 12e6)})).genomes())
        >>> best.to_config().embed_dim, best.depth
        (512, 3)
    """

    space: SearchSpace
    score: str = "flops"
    tie_break: str | None = "attention"
    constraints: Constraints = Constraints()
    max_trials: int = 10
    seed: int = 0
    per_cost: int | None = None
    chosen: list[Genome] = dataclasses.field(default_factory=list, compare=False, repr=False)

    def __post_init__(self) -> None:
        for name, value, known in (("score", self.score, COUNTED), ("tie_break", self.tie_break, TIE_BREAKS)):
            if value not in known and not (name == "tie_break" and value is None):
                raise ValueError(f"{name} must be one of {list(known)}, got {value!r}{nearest(value, list(known))}.")
        if TIE_BREAKS.get(self.tie_break or "") == COUNTED[self.score]:
            raise ValueError(f"tie_break {self.tie_break!r} is the score itself, which cannot break its ties.")
        for name, least in (("max_trials", 1), ("seed", 0), ("per_cost", 1)):
            value = getattr(self, name)
            if name == "per_cost" and value is None:
                continue
            if isinstance(value, bool) or not hasattr(value, "__index__") or int(value) < least:
                raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}.")

    # -- the ranking --------------------------------------------------------------------------------------------

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*EXACT, COUNTED[self.score], *self._second)))

    @property
    def _second(self) -> tuple[str, ...]:
        return () if self.tie_break is None else (TIE_BREAKS[self.tie_break],)

    @functools.cached_property
    def _ranked(self) -> tuple[CostCells | np.ndarray, str, np.ndarray, dict[str, np.ndarray]]:
        """(cells or sampled indices, why sampled, places from the best on, values of the quantities)."""
        reason = ""
        found: CostCells | np.ndarray
        try:
            found = CostCells(self.space, self._names)
            values = found.values
        except TooRich as error:
            reason = str(error)
            rng = np.random.default_rng(self.seed)
            found = rng.integers(0, self.space.cardinalities, (SAMPLE, len(self.space.slots)), dtype=np.int32)
            sizes = Sizes.of_space(self.space, found)
            values = {name: np.asarray(quantity(name).count(sizes)) for name in self._names}
        places = np.flatnonzero(self._inside(values))
        if not len(places):
            raise ValueError(nothing_inside(self.space, self.constraints))
        keys = [values[name][places] for name in reversed(self._second)]
        order = np.lexsort((*keys, -values[COUNTED[self.score]][places]))  # stable: equal ones stay in order
        return found, reason, places[order], values

    def _inside(self, values: dict[str, np.ndarray]) -> np.ndarray:
        kept = np.ones(len(values[COUNTED[self.score]]), bool)
        for name, (low, high) in self.constraints.bounds:
            if name in EXACT:
                kept &= (values[name] >= (-math.inf if low is None else low)) & (
                    values[name] <= (math.inf if high is None else high)
                )
        return kept

    @functools.cached_property
    def standings(self) -> Standings:
        """How many networks were ranked, and how many are tied.

        Raises:
            ValueError: no network keeps the constraints.
        """
        found, reason, places, values = self._ranked
        score = values[COUNTED[self.score]][places]
        best = score == score[0]
        after = best.copy()
        for name in self._second:
            after &= values[name][places] == values[name][places[0]]
        counts = found.counts if isinstance(found, CostCells) else None
        total = lambda mask: int(mask.sum()) if counts is None else sum(counts[i] for i in places[mask])
        cells = len(np.unique(np.stack([values[name][places] for name in EXACT]), axis=1).T)
        return Standings(not reason, reason, total(np.ones_like(best)), cells, total(best), total(after))

    def genomes(self) -> Iterator[Genome]:
        """Networks inside the constraints from the best on, lazily, each once.

        Raises:
            ValueError: no network keeps the constraints.
        """
        found, _, places, values = self._ranked
        given: collections.Counter[tuple[int, ...]] = collections.Counter()
        seen = set()
        for place in places:
            one = found.genomes(int(place)) if isinstance(found, CostCells) else iter([self.space.decode(found[place])])
            spent = tuple(int(values[name][place]) for name in EXACT)
            left = None if self.per_cost is None else self.per_cost - given[spent]
            for genome in itertools.islice(one, left):
                if isinstance(found, CostCells):
                    given[spent] += 1
                    yield genome
                elif genome not in seen:  # a sample may draw a network twice
                    seen.add(genome)
                    given[spent] += 1
                    yield genome

    def top(self, n: int) -> list[Genome]:
        """The n best networks, or all where there are fewer."""
        return list(itertools.islice(self.genomes(), n))

    # -- as the engine asks for it, in place of `Evolution` -------------------------------------------------------

    @property
    def generations(self) -> int:
        """A ranking is one generation."""
        return 0

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
        genomes = self.chosen[: self.max_trials] or self.top(self.max_trials)
        return [Proposal(first_number + i, 0, genome, "ranking") for i, genome in enumerate(genomes)]

    def describe(self) -> dict[str, object]:
        """Everything that decides the ranking, as plain JSON values: what a project is recognised by."""
        return {
            "space": self.space.to_dict(),
            "score": self.score,
            "tie_break": self.tie_break,
            "constraints": self.constraints.to_dict(),
            "max_trials": int(self.max_trials),
            "per_cost": self.per_cost,
            "seed": int(self.seed),
        }
