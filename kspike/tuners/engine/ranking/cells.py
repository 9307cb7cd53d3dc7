"""Cost cells: groups the networks of a space by cost; a space has far fewer different costs than networks."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from kspike.components import BRANCHES
from kspike.cost import Sizes
from kspike.space import Gene, Genome, SearchSpace
from kspike.space.expression import blocks_of
from kspike.tuners.engine.ranking.block_sums import StageSums, TooManyCosts
from kspike.tuners.engine.ranking.quantities import Quantity, quantity

#: Limits above which a space is not enumerated: networks counted one by one; cells.
MOST_COUNTED = 300_000
MOST_CELLS = 2_000_000


class CostCells:
    """Holds every different cost of a space, how many networks have it, and gives those networks one after another.

        cost(network) = cost(network genes, depths) + sum over blocks of cost(network genes, genes of the block)

    so the networks of one choice of network genes and depths fall into as many cells as there are different sums of
    block costs: for AutoST's spaces one for each sum of MLP ratios. Blocks of one stage cost the same, those of another
    have costs of their own. The sums are built up block by block, equal ones merged, in whole numbers; no network is
    visited, none is left out. All counts are those of `kspike.cost` (measured on one network a choice of network genes,
    depths, and choice in one block of every stage), so that whatever is counted there holds here.

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
        ignored = frozenset.intersection(*(q.ignored(space) for q in self.quantities))
        genes = [gene for gene in space.genes if gene.field != "depth"]
        self._net_genes, self._free_net = _split([g for g in genes if g.scope == "network"], ignored)
        #: Of every stage, the genes of its blocks that the quantities see, and those that they do not.
        of_block = [
            [g for g in genes if g.scope == "block" and g.stage in (None, stage)] for stage in range(space.stages)
        ]
        self._block_genes = [_split(some, ignored)[0] for some in of_block]
        self._free_block = [_split(some, ignored)[1] for some in of_block]
        #: Blocks of every stage.
        self.depths = list(itertools.product(*(space.choices("depth", stage=stage) for stage in range(space.stages))))
        self._columns = {slot.name: i for i, slot in enumerate(space.slots)}
        self._refuse_fixed(ignored)
        self._nets = self._different(self._net_genes, self._acts)
        #: What a block of every stage may be, as far as the quantities see it.
        self._kinds = [
            self._different(some, functools.partial(self._acts_in, stage))
            for stage, some in enumerate(self._block_genes)
        ]
        kinds = sum(map(len, self._kinds))
        counted = len(self._nets) * (len(self.depths) + kinds)
        if counted > MOST_COUNTED:
            raise TooManyCosts(
                f"{len(self._nets):,} choices of network genes, {len(self.depths)} depths and {kinds} kinds "
                f"of block give {counted:,} networks to count one by one, above {MOST_COUNTED:,}."
            )
        self._enumerate()

    # -- enumeration --------------------------------------------------------------------------------------------

    def _enumerate(self) -> None:
        bases, steps = self._measure()  # (quantities, nets, depths), (quantities, nets, kinds)
        units = np.gcd.reduce(steps, axis=2)
        units[units == 0] = 1
        patterns = steps // units[:, :, None]  # the same for most nets: widths and T only scale it
        groups: dict[tuple[bytes, tuple[tuple[int, ...], ...]], list[int]] = {}
        for net in range(len(self._nets)):
            ways = self._ways(self._nets[net])
            groups.setdefault((patterns[:, net].tobytes(), ways), []).append(net)
        self._sums: list[StageSums] = []  # one a pattern
        columns: list[list[np.ndarray]] = [[] for _ in self.quantities]
        self.counts: list[int] = []
        self._keys: list[tuple[int, int, int]] = []  # pattern, net, depth; then the place of the sum
        places: list[np.ndarray] = []
        total = 0
        for number, ((_, ways), nets) in enumerate(groups.items()):
            added = iter(tuple(int(p) for p in each) for each in patterns[:, nets[0]].T)
            of_kinds = [list(itertools.islice(added, len(kinds))) for kinds in self._kinds]
            self._sums.append(StageSums(list(zip(of_kinds, self.space.max_depths, ways, strict=True))))
            for at, depths in enumerate(self.depths):
                found = self._sums[-1].of(depths)
                sums = np.array(list(found), np.int64)  # (sums, quantities)
                total += len(nets) * len(sums)
                if total > MOST_CELLS:
                    raise TooManyCosts(f"it has more than {MOST_CELLS:,} different costs.")
                for q, column in enumerate(columns):
                    column.append((bases[q, nets, at][:, None] + units[q, nets][:, None] * sums[:, q]).ravel())
                for net in nets:
                    free = math.prod(len(gene.choices) for gene in self._free_of(self._nets[net]))
                    self.counts += [stacks * free for stacks in found.values()]
                self._keys += [(number, net, at) for net in nets]
                places.append(np.tile(np.arange(len(sums)), len(nets)))
        starts = np.flatnonzero(np.concatenate(places) == 0)
        self._place = np.concatenate(places)
        self._key_of = np.repeat(np.arange(len(self._keys)), np.diff([*starts, total]))
        self.values = {q.name: np.concatenate(c) for q, c in zip(self.quantities, columns, strict=True)}

    def _measure(self) -> tuple[np.ndarray, np.ndarray]:
        """Counts of the networks with every block of the first kind, and the change by another kind in one block."""
        nets, least = len(self._nets), self.depths[0]
        first = lambda depths: [
            kinds[0] for kinds, depth in zip(self._kinds, depths, strict=True) for _ in range(depth)
        ]
        rows = [self._indices(net, depths, first(depths)) for net in self._nets for depths in self.depths]
        for net in self._nets:
            for stage, kinds in enumerate(self._kinds):
                at, usual = sum(least[:stage]), first(least)
                rows += [self._indices(net, least, [*usual[:at], kind, *usual[at + 1 :]]) for kind in kinds]
        sizes = Sizes.of_space(self.space, np.array(rows, np.int32))
        counts = np.stack([np.asarray(q.count(sizes), np.int64) for q in self.quantities])
        bases = counts[:, : nets * len(self.depths)].reshape(len(counts), nets, len(self.depths))
        changed = counts[:, nets * len(self.depths) :].reshape(len(counts), nets, -1)
        return bases, changed - bases[:, :, :1]

    def _indices(self, net: Sequence[int], depths: Sequence[int], kinds: Sequence[Sequence[int]]) -> list[int]:
        """Indices of a network: its choice of network genes, blocks of every stage, and kinds of block in order."""
        out = [0] * len(self.space.slots)
        for stage, depth in enumerate(depths):
            gene = self.space.depth_gene(stage)
            if gene is not None:
                out[self._columns[gene.name]] = gene.index(depth)
        for gene, i in zip(self._net_genes, net, strict=True):
            out[self._columns[gene.name]] = i
        for block, kind in zip(blocks_of(self.space, tuple(depths)), kinds, strict=True):
            for gene, i in zip(self._block_genes[self.space.stage(block)], kind, strict=True):
                out[self._columns[f"{gene.name}/{block}"]] = i
        return out

    # -- what words have a use for ------------------------------------------------------------------------------

    def _refuse_fixed(self, ignored: frozenset[str]) -> None:
        """What a gene changes in a block is measured in a stage's first one, and has to be that in all of the stage."""
        space = self.space
        for stage, start in enumerate(space.starts):
            blocks = range(start, start + space.max_depths[stage])
            here = f" of stage {stage}" if space.stages > 1 else ""
            genes = self._block_genes[stage]
            numbers = [f for f in ("num_heads", "mlp_ratio") if f not in ignored and any(gene.word for gene in genes)]
            for field in (*(BRANCHES if genes or self._free_block[stage] else ()), *numbers):
                values = space.components if field in BRANCHES else space.choices
                if len({values(field, block) for block in blocks}) > 1:
                    raise TooManyCosts(
                        f"its base has different values of {field} in different blocks{here}, and so do costs."
                    )

    def _acts(self, gene: Gene, net: Sequence[int], kind: Sequence[int] | None = None, stage: int = 0) -> bool:
        """Whether a gene acts with the words of a choice of network genes, and of a kind of block for a block gene."""
        place = "" if kind is None else f"/{self.space.starts[stage]}"
        chosen = {self._columns[g.name]: i for g, i in zip(self._net_genes, net, strict=True)}
        if kind is not None:
            named = zip(self._block_genes[stage], kind, strict=True)
            chosen |= {self._columns[f"{g.name}{place}"]: i for g, i in named}
        return self.space.conditions.acts(self._columns[f"{gene.name}{place}"], chosen)

    def _acts_in(self, stage: int, gene: Gene, kind: Sequence[int]) -> bool:
        return self._acts(gene, self._nets[0], kind, stage)

    def _different(self, genes: Sequence[Gene], acts: Callable[[Gene, Sequence[int]], bool]) -> list[tuple[int, ...]]:
        """Choices of some genes, each different network once: the first choice where a gene does not act."""
        chosen = itertools.product(*(range(len(gene.choices)) for gene in genes))
        if self.space.conditions.none:
            return list(chosen)
        return [c for c in chosen if all(i == 0 or acts(gene, c) for gene, i in zip(genes, c, strict=True))]

    def _ways(self, net: Sequence[int]) -> tuple[tuple[int, ...], ...]:
        """Stage by stage, how many blocks each kind stands for: choices of the genes that its quantities do not see,
        where they act."""
        return tuple(
            tuple(
                math.prod(len(gene.choices) for gene in self._free_block[stage] if self._acts(gene, net, kind, stage))
                for kind in kinds
            )
            for stage, kinds in enumerate(self._kinds)
        )

    def _free_of(self, net: Sequence[int]) -> list[Gene]:
        return [gene for gene in self._free_net if self._acts(gene, net)]

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
        Where words decide which genes act: all stacks of blocks with usual values first, then stack by stack.
        """
        number, net, at = self._keys[self._key_of[cell]]
        depths = self.depths[at]
        sums = self._sums[number]
        target = next(itertools.islice(sums.of(depths), int(self._place[cell]), None))
        chosen_net = self._nets[net]
        outer = [(gene, gene.name) for gene in self._free_of(chosen_net)]
        blocks = [(block, self.space.stage(block)) for block in blocks_of(self.space, depths)]

        def free(kinds: Sequence[int]) -> list[tuple[Gene, str]]:
            """Genes that the quantities do not see, where they act, with the names of their slots."""
            return outer + [
                (gene, f"{gene.name}/{block}")
                for (block, stage), kind in zip(blocks, kinds, strict=True)
                for gene in self._free_block[stage]
                if self._acts(gene, chosen_net, self._kinds[stage][kind], stage)
            ]

        def made(kinds: Sequence[int], names: Sequence[tuple[Gene, str]], chosen: Sequence[int]) -> Genome:
            of_kind = [self._kinds[stage][k] for (_, stage), k in zip(blocks, kinds, strict=True)]
            indices = self._indices(chosen_net, depths, of_kind)
            for (_, name), i in zip(names, chosen, strict=True):
                indices[self._columns[name]] = i
            return self.space.decode(indices)

        if self.space.conditions.none:
            names = free([0] * len(blocks))
            for chosen in itertools.product(*(_usual_first(gene) for gene, _ in names)):
                for kinds in sums.sequences(depths, target):
                    yield made(kinds, names, chosen)
            return
        for rest in (False, True):  # which genes act differs from stack to stack
            for kinds in sums.sequences(depths, target):
                names = free(kinds)
                walk = itertools.product(*(_usual_first(gene) for gene, _ in names))
                for chosen in itertools.islice(walk, *((1, None) if rest else (1,))):
                    yield made(kinds, names, chosen)


def _split(genes: Sequence[Gene], ignored: frozenset[str]) -> tuple[list[Gene], list[Gene]]:
    return [g for g in genes if g.field not in ignored], [g for g in genes if g.field in ignored]


def _usual_first(gene: Gene) -> list[int]:
    """Indices of a neuron gene's choices by distance from the usual value; of other genes in order."""
    order = range(len(gene.choices))
    if gene.field not in ("tau", "v_threshold"):
        return list(order)
    usual = 2.0 if gene.field == "tau" else 0.5 if gene.kind == "attention" else 1.0
    return sorted(order, key=lambda i: (abs(gene.choices[i] - usual), i))
