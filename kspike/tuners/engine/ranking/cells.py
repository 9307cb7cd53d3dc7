"""Cost cells: groups the networks of a space by cost; a space has far fewer different costs than networks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np

from kspike.cost import Sizes
from kspike.space import Gene, Genome, SearchSpace
from kspike.tuners.engine.ranking.block_sums import BlockSums, TooManyCosts
from kspike.tuners.engine.ranking.quantities import Quantity, quantity

#: Limits above which a space is not enumerated: networks counted one by one; cells.
MOST_COUNTED = 300_000
MOST_CELLS = 2_000_000


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
        TooManyCosts: more cells than `MOST_CELLS`, or more networks to count than `MOST_COUNTED`.

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
        #: Kinds of block: choices of the genes that change a quantity.
        self._kinds = list(itertools.product(*(range(len(g.choices)) for g in self._block_genes)))
        counted = len(self._nets) * (len(self.depths) + len(self._kinds))
        if counted > MOST_COUNTED:
            raise TooManyCosts(
                f"{len(self._nets):,} choices of network genes, {len(self.depths)} depths and {len(self._kinds)} kinds "
                f"of block give {counted:,} networks to count one by one, above {MOST_COUNTED:,}."
            )
        self._enumerate()

    # -- enumeration --------------------------------------------------------------------------------------------

    def _enumerate(self) -> None:
        bases, steps = self._measure()  # (quantities, nets, depths), (quantities, nets, kinds)
        units = np.gcd.reduce(steps, axis=2)
        units[units == 0] = 1
        patterns = steps // units[:, :, None]  # mostly equal: widths and T only scale the steps
        groups: dict[bytes, list[int]] = {}
        for net in range(len(self._nets)):
            groups.setdefault(patterns[:, net].tobytes(), []).append(net)
        self._sums: list[BlockSums] = []  # one a pattern
        columns: list[list[np.ndarray]] = [[] for _ in self.quantities]
        self.counts: list[int] = []
        self._keys: list[tuple[int, int, int]] = []  # pattern, net, depth; then the place of the sum
        places: list[np.ndarray] = []
        total = 0
        for number, nets in enumerate(groups.values()):
            added = [tuple(int(p) for p in patterns[:, nets[0], k]) for k in range(len(self._kinds))]
            self._sums.append(BlockSums(added, self.depths[-1]))
            for at, depth in enumerate(self.depths):
                found = self._sums[-1].of(depth)
                sums = np.array(list(found), np.int64)  # (sums, quantities)
                total += len(nets) * len(sums)
                if total > MOST_CELLS:
                    raise TooManyCosts(f"it has more than {MOST_CELLS:,} different costs.")
                for q, column in enumerate(columns):
                    column.append((bases[q, nets, at][:, None] + units[q, nets][:, None] * sums[:, q]).ravel())
                free = self._free(depth)
                self.counts += [ways * free for ways in found.values()] * len(nets)
                self._keys += [(number, net, at) for net in nets]
                places.append(np.tile(np.arange(len(sums)), len(nets)))
        starts = np.flatnonzero(np.concatenate(places) == 0)
        self._place = np.concatenate(places)
        self._key_of = np.repeat(np.arange(len(self._keys)), np.diff([*starts, total]))
        self.values = {q.name: np.concatenate(c) for q, c in zip(self.quantities, columns, strict=True)}

    def _measure(self) -> tuple[np.ndarray, np.ndarray]:
        """Counts of the networks with every block of the first kind, and the change by another kind in one block."""
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

        Neuron genes first have the usual values (tau 2, threshold 1, attention's 0.5, or the nearest choices), then
        values at growing distance from them. Other genes follow the order of the space's genes and choices, the last
        block fastest.
        """
        number, net, at = self._keys[self._key_of[cell]]
        depth = self.depths[at]
        sums = self._sums[number]
        target = next(itertools.islice(sums.of(depth), int(self._place[cell]), None))
        kinds_in_block = [(gene, block) for block in range(depth) for gene in self._free_block]
        outer = [(gene, gene.name) for gene in self._free_net]
        outer += [(gene, f"{gene.name}/{block}") for gene, block in kinds_in_block]
        for chosen in itertools.product(*(_usual_first(gene) for gene, _ in outer)):
            for kinds in sums.sequences(depth, target):
                indices = self._indices(self._nets[net], depth, [self._kinds[k] for k in kinds])
                for (_, name), i in zip(outer, chosen, strict=True):
                    indices[self._columns[name]] = i
                yield self.space.decode(indices)


def _split(genes: Sequence[Gene], ignored: frozenset[str]) -> tuple[list[Gene], list[Gene]]:
    return [g for g in genes if g.field not in ignored], [g for g in genes if g.field in ignored]


def _usual_first(gene: Gene) -> list[int]:
    """Indices of a neuron gene's choices by distance from the usual value; of other genes in order."""
    order = range(len(gene.choices))
    if gene.field not in ("tau", "v_threshold"):
        return list(order)
    usual = 2.0 if gene.field == "tau" else 0.5 if gene.kind == "attention" else 1.0
    return sorted(order, key=lambda i: (abs(gene.choices[i] - usual), i))
