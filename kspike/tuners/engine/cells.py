"""Cost cells: turns a whole space into the few different costs that its networks have, each with its networks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from kspike.cost import Sizes
from kspike.space import Gene, Genome, SearchSpace
from kspike.tuners.engine.quantities import Quantity, quantity

#: Above these, a space counts as too rich: networks counted one by one; cells; sums of blocks under way.
MOST_COUNTED = 300_000
MOST_CELLS = 2_000_000
MOST_SUMS = 100_000

Sums = dict[tuple[int, ...], int]


class TooRich(ValueError):
    """A space has more different costs than are enumerated."""


class CostCells:
    """Holds every different cost of a space, how many networks have it, and gives those networks one after another.

        cost(network) = cost(network genes, depth) + sum over blocks of cost(network genes, genes of the block)

    so the networks of one choice of network genes and depth fall into as many cells as there are different sums of
    block costs: for AutoST's spaces one for each sum of MLP ratios. The sums are built up block by block, equal ones
    merged, in whole numbers; no network is visited, none is left out. All counts are those of `kspike.cost` (measured
    on one network a choice of network genes, depth, and choice in one block), so that whatever is counted there holds
    here.

    Source: the structure of AutoST's spaces (Wang et al. 2023, released code): neither heads nor the order of the
    ratios change parameters or FLOPs. Ours: the general form, for any gene.

    Args:
        space: any `SearchSpace`.
        names: quantities that tell cells apart: "parameters", "flops", "timesteps", "attention".

    Raises:
        TooRich: more cells than `MOST_CELLS`, or as much work before they are known.

    Attributes:
        values: quantity -> int64 `(cells,)`.
        counts: how many networks each cell has, exact.

    Example:
        >>> cells = CostCells(SearchSpace.load("autost_small"), ("parameters", "flops"))
        >>> len(cells), sum(cells.counts)
        (825, 13060693980)
    """

    def __init__(self, space: SearchSpace, names: Sequence[str] = ("parameters", "flops", "timesteps")) -> None:
        self.space = space
        self.quantities: tuple[Quantity, ...] = tuple(quantity(name) for name in names)
        ignored = frozenset.intersection(*(q.ignores for q in self.quantities))
        genes = [gene for gene in space.genes if gene.name != "depth"]
        self._net_genes, self._free_net = _split([g for g in genes if g.scope == "network"], ignored)
        self._block_genes, self._free_block = _split([g for g in genes if g.scope == "block"], ignored)
        self._depth_gene = next((g for g in space.genes if g.name == "depth"), None)
        self.depths: tuple[int, ...] = self._depth_gene.choices if self._depth_gene else (space.max_depth,)
        self._columns = {slot.name: i for i, slot in enumerate(space.slots)}
        self._nets = list(itertools.product(*(range(len(g.choices)) for g in self._net_genes)))
        #: What a block may be, as far as the quantities see it.
        self._kinds = list(itertools.product(*(range(len(g.choices)) for g in self._block_genes)))
        counted = len(self._nets) * (len(self.depths) + len(self._kinds))
        if counted > MOST_COUNTED:
            raise TooRich(
                f"{len(self._nets):,} choices of network genes, {len(self.depths)} depths and {len(self._kinds)} kinds "
                f"of block give {counted:,} networks to count one by one, above {MOST_COUNTED:,}."
            )
        self._enumerate()

    # -- enumeration --------------------------------------------------------------------------------------------

    def _enumerate(self) -> None:
        bases, steps = self._measure()  # (quantities, nets, depths), (quantities, nets, kinds)
        units = np.gcd.reduce(steps, axis=2)
        units[units == 0] = 1
        patterns = steps // units[:, :, None]  # the same for most nets: widths and T only scale it
        groups: dict[bytes, list[int]] = {}
        for net in range(len(self._nets)):
            groups.setdefault(patterns[:, net].tobytes(), []).append(net)
        #: For every pattern, one table a number of blocks: sum of steps -> sequences of block kinds that have it.
        self._tables: list[list[Sums]] = []
        self._steps: list[list[tuple[int, ...]]] = []
        columns: list[list[np.ndarray]] = [[] for _ in self.quantities]
        self.counts: list[int] = []
        self._keys: list[tuple[int, int, int]] = []  # pattern, net, depth; then the place of the sum
        places: list[np.ndarray] = []
        total = 0
        for number, nets in enumerate(groups.values()):
            kinds = [tuple(int(p) for p in patterns[:, nets[0], k]) for k in range(len(self._kinds))]
            tables = _tables(kinds, self.depths[-1])
            self._steps.append(kinds)
            self._tables.append(tables)
            for at, depth in enumerate(self.depths):
                sums = np.array(list(tables[depth]), np.int64)  # (sums, quantities)
                total += len(nets) * len(sums)
                if total > MOST_CELLS:
                    raise TooRich(f"it has more than {MOST_CELLS:,} different costs.")
                for q, column in enumerate(columns):
                    column.append((bases[q, nets, at][:, None] + units[q, nets][:, None] * sums[:, q]).ravel())
                free = self._free(depth)
                self.counts += [ways * free for ways in tables[depth].values()] * len(nets)
                self._keys += [(number, net, at) for net in nets]
                places.append(np.tile(np.arange(len(sums)), len(nets)))
        starts = np.flatnonzero(np.concatenate(places) == 0)
        self._place = np.concatenate(places)
        self._key_of = np.repeat(np.arange(len(self._keys)), np.diff([*starts, total]))
        self.values = {q.name: np.concatenate(c) for q, c in zip(self.quantities, columns, strict=True)}

    def _measure(self) -> tuple[np.ndarray, np.ndarray]:
        """What the nets count with every block of the first kind, and what another kind in one block changes."""
        nets, first = len(self._nets), self._kinds[0]
        rows = [self._indices(net, d, [first] * d) for net in self._nets for d in self.depths]
        least = self.depths[0]
        rows += [
            self._indices(net, least, [kind, *[first] * (least - 1)]) for net in self._nets for kind in self._kinds
        ]
        sizes = Sizes.of_space(self.space, np.array(rows, np.int32))
        counts = np.stack([np.asarray(q.count(sizes), np.int64) for q in self.quantities])
        bases = counts[:, : nets * len(self.depths)].reshape(len(counts), nets, len(self.depths))
        changed = counts[:, nets * len(self.depths) :].reshape(len(counts), nets, len(self._kinds))
        return bases, changed - bases[:, :, :1]

    def _indices(self, net: Sequence[int], depth: int, kinds: Sequence[Sequence[int]]) -> list[int]:
        out = [0] * len(self.space.slots)
        if self._depth_gene is not None:
            out[self._columns["depth"]] = self._depth_gene.index(depth)
        for gene, i in zip(self._net_genes, net, strict=True):
            out[self._columns[gene.name]] = i
        for block, kind in enumerate(kinds):
            for gene, i in zip(self._block_genes, kind, strict=True):
                out[self._columns[f"{gene.name}/{block}"]] = i
        return out

    def _free(self, depth: int) -> int:
        block = math.prod(len(g.choices) for g in self._free_block)
        return math.prod(len(g.choices) for g in self._free_net) * block**depth

    # -- what it holds ------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.counts)

    def distinct(self, *names: str) -> int:
        """How many different values the named quantities (all, if none is named) take together."""
        columns = [self.values[name] for name in names or self.values]
        return len(np.unique(np.stack(columns), axis=1).T)

    def genomes(self, cell: int) -> Iterator[Genome]:
        """The networks of a cell, lazily, each once, in a fixed order.

        First those whose neuron genes have the usual values (tau 2, threshold 1, attention's 0.5, or what is nearest),
        then outwards from them; among these by the order of the space's genes and choices, the last block fastest.
        """
        number, net, at = self._keys[self._key_of[cell]]
        depth = self.depths[at]
        tables = self._tables[number]
        target = next(itertools.islice(tables[depth], int(self._place[cell]), None))
        kinds_in_block = [(gene, block) for block in range(depth) for gene in self._free_block]
        outer = [(gene, gene.name) for gene in self._free_net]
        outer += [(gene, f"{gene.name}/{block}") for gene, block in kinds_in_block]
        for chosen in itertools.product(*(_usual_first(gene) for gene, _ in outer)):
            for kinds in self._sequences(number, depth, target):
                indices = self._indices(self._nets[net], depth, [self._kinds[k] for k in kinds])
                for (_, name), i in zip(outer, chosen, strict=True):
                    indices[self._columns[name]] = i
                yield self.space.decode(indices)

    def _sequences(self, number: int, depth: int, target: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        """Block kinds, first block first, whose steps add up to the target."""
        if depth == 0:
            yield ()
            return
        for kind, step in enumerate(self._steps[number]):
            rest = tuple(t - s for t, s in zip(target, step, strict=True))
            if rest in self._tables[number][depth - 1]:
                for others in self._sequences(number, depth - 1, rest):
                    yield (kind, *others)


def _split(genes: Sequence[Gene], ignored: frozenset[str]) -> tuple[list[Gene], list[Gene]]:
    return [g for g in genes if g.field not in ignored], [g for g in genes if g.field in ignored]


def _tables(steps: list[tuple[int, ...]], depth: int) -> list[Sums]:
    """For 0 to `depth` blocks: every sum of steps, and how many sequences of block kinds have it."""
    tables: list[Sums] = [{tuple([0] * len(steps[0])): 1}]
    for _ in range(depth):
        following: Sums = {}
        for before, ways in tables[-1].items():
            for step in steps:
                after = tuple(b + s for b, s in zip(before, step, strict=True))
                following[after] = following.get(after, 0) + ways
            if len(following) > MOST_SUMS:
                raise TooRich(f"its blocks add up to more than {MOST_SUMS:,} different sums.")
        tables.append(following)
    return tables


def _usual_first(gene: Any) -> list[int]:
    """Choices from the usual value outwards for neuron genes, in order for others."""
    order = range(len(gene.choices))
    if gene.field not in ("tau", "v_threshold"):
        return list(order)
    usual = 2.0 if gene.field == "tau" else 0.5 if gene.kind == "attention" else 1.0
    return sorted(order, key=lambda i: (abs(gene.choices[i] - usual), i))
