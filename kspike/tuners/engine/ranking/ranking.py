"""Ranking: proposes the best networks of a whole space by counts alone, exactly; nothing is built or trained."""

from __future__ import annotations

import collections
import dataclasses
import functools
import itertools
from collections.abc import Iterator

import numpy as np

from kspike._registry import nearest
from kspike.space import Genome, SearchSpace
from kspike.tuners.engine.checks import whole
from kspike.tuners.engine.constraints import EXACT, Constraints, nothing_inside
from kspike.tuners.engine.ranking.block_sums import TooManyCosts
from kspike.tuners.engine.ranking.cells import CostCells
from kspike.tuners.engine.ranking.sample import Sample

#: Scores that follow from the architecture -> the quantity of it; more is better, as in AutoST's search.
COUNTED = {"flops": "flops", "params": "parameters"}
#: Networks in a row outside the bounds of functions of a config before a ranking gives up looking for more.
LOOKED_AT = 20_000
#: Second scores that follow from the architecture; less is better.
TIE_BREAKS = {"attention": "attention", "params": "parameters", "flops": "flops"}


@dataclasses.dataclass(frozen=True)
class Standings:
    """Facts about a ranking.

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
    """Ranks all networks of a space inside the constraints by a count, ties by a second one; iterates best first.

    Exact: the space is grouped into its cost cells (`CostCells`), the cells are sorted, and the networks of a cell are
    made lazily. A space with too many different costs is sampled instead, and `standings` says so.

    Networks equal in both come cost by cost, those of one cost as `CostCells.genomes` states: usual neurons first, then
    gene by gene.

    Args:
        space: where the networks come from.
        score: "flops" (AutoST's) or "params"; the more the better.
        tie_break: what ranks networks of equal score: "attention" (fewer operations of attention as K^T V, then
            Q (K^T V), that is more heads), "params" or "flops" (fewer), or None for the order of the genes alone.
        constraints: bounds; those on measured quantities are not looked at here, those that a function of a config says
            as networks are made: `standings` counts before them.
        seed: of the sample, where one is taken.
        per_cost: at most so many networks of the same parameters, FLOPs and time steps; None for all of them. The first
            of each cost come, by the second score.

    Raises:
        ValueError: an unknown score, or no network keeps the constraints.

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
    seed: int = 0
    per_cost: int | None = None

    def __post_init__(self) -> None:
        for name, value, known in (("score", self.score, COUNTED), ("tie_break", self.tie_break, TIE_BREAKS)):
            if value not in known and not (name == "tie_break" and value is None):
                raise ValueError(f"{name} must be one of {list(known)}, got {value!r}{nearest(value, list(known))}.")
        if TIE_BREAKS.get(self.tie_break or "") == COUNTED[self.score]:
            raise ValueError(f"tie_break {self.tie_break!r} is the score itself, which cannot break its ties.")
        whole("seed", self.seed, 0)
        if self.per_cost is not None:
            whole("per_cost", self.per_cost, 1)
        self.constraints.networks(self.space)

    # -- the ranking --------------------------------------------------------------------------------------------

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*EXACT, COUNTED[self.score], *self._second)))

    @property
    def _second(self) -> tuple[str, ...]:
        return () if self.tie_break is None else (TIE_BREAKS[self.tie_break],)

    @functools.cached_property
    def _ranked(self) -> tuple[CostCells | Sample, str, np.ndarray]:
        """(cells of the space, or a sample; why a sample; cells inside the constraints, best first)."""
        found: CostCells | Sample
        reason = ""
        try:
            found = CostCells(self.space, self._names)
        except TooManyCosts as error:
            reason = str(error)
            found = Sample(self.space, self._names, self.seed)
        places = np.flatnonzero(self.constraints.inside(found.values))
        if not len(places):
            looked = f" A random sample of {len(found.counts):,} networks was looked at: {reason}" if reason else ""
            raise ValueError(nothing_inside(self.space, self.constraints) + looked)
        keys = [found.values[name][places] for name in reversed(self._second)]
        order = np.lexsort((*keys, -found.values[COUNTED[self.score]][places]))  # stable: equal ones stay in order
        return found, reason, places[order]

    @functools.cached_property
    def standings(self) -> Standings:
        """How many networks were ranked, and how many are tied.

        Raises:
            ValueError: no network keeps the constraints.
        """
        found, reason, places = self._ranked
        values = {name: column[places] for name, column in found.values.items()}
        best = values[COUNTED[self.score]] == values[COUNTED[self.score]][0]
        after = best.copy()
        for name in self._second:
            after &= values[name] == values[name][0]
        total = lambda mask: sum(found.counts[i] for i in places[mask])
        cells = len(np.unique(np.stack([values[name] for name in EXACT]), axis=1).T)
        return Standings(not reason, reason, total(np.ones_like(best)), cells, total(best), total(after))

    def genomes(self) -> Iterator[Genome]:
        """Networks inside the constraints, best first, lazily, each once.

        Where functions of a config bound them, it ends after `LOOKED_AT` networks in a row that are outside.

        Raises:
            ValueError: no network keeps the constraints.
        """
        found, _, places = self._ranked
        given: collections.Counter[tuple[int, ...]] = collections.Counter()
        outside = [0]  # networks in a row
        for place in places:
            spent = tuple(int(found.values[name][place]) for name in EXACT)
            left = None if self.per_cost is None else self.per_cost - given[spent]
            for genome in itertools.islice(self._admitted(found.genomes(int(place)), outside), left):
                given[spent] += 1
                yield genome
            if outside[0] >= LOOKED_AT:
                break
        if not given:
            raise ValueError(nothing_inside(self.space, self.constraints))

    def _admitted(self, genomes: Iterator[Genome], outside: list[int]) -> Iterator[Genome]:
        """Those of the genomes that functions of their config admit; counts those in a row that they do not."""
        for genome in genomes:
            if self.constraints.admits(genome):
                outside[0] = 0
                yield genome
                continue
            outside[0] += 1
            if outside[0] >= LOOKED_AT:
                return

    def top(self, n: int) -> list[Genome]:
        """The n best networks, or all where there are fewer."""
        return list(itertools.islice(self.genomes(), n))

    def costs(self, most: int) -> list[tuple[int, int]]:
        """Different (parameters, FLOPs) inside the constraints; where there are more, `most` of them, evenly spaced."""
        found, _, places = self._ranked
        pairs = np.unique(np.stack([found.values[name][places] for name in ("parameters", "flops")], axis=1), axis=0)
        kept = pairs[np.unique(np.linspace(0, len(pairs) - 1, most).astype(int))]
        return [(int(parameters), int(flops)) for parameters, flops in kept]

    def describe(self) -> dict[str, object]:
        """Everything that decides the ranking, as plain JSON values: what tells one project from another."""
        return {
            "space": self.space.to_dict(),
            "score": self.score,
            "tie_break": self.tie_break,
            "constraints": self.constraints.to_dict(),
            "per_cost": self.per_cost,
            "seed": int(self.seed),
        }
