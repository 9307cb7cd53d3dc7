"""Conditions: which slots of a genome act, given its depths and its words; the rest is not expressed."""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kspike.components import BRANCHES
from kspike.space.gene import NEURON_FIELDS, Gene, Slot, reads, settings_of

if TYPE_CHECKING:
    from kspike.space.search_space import SearchSpace

#: A word's place: its field, and the block slot, or the stage that a downsampling begins; None of the whole network.
Place = tuple[str, int | None]
NEURON: Place = ("neuron", None)


class Conditions:
    """Holds for every slot of a space, as a table over the choices of words, whether it acts.

    num_heads acts in a block whose branches have parts that depend on heads, mlp_ratio where one has hidden channels,
    tau and v_threshold where there are neurons of their kind that read them, stem_channels where the stem has them.
    Everything else acts in every block up to its stage's depth.

    Args:
        space: a search space, whose genes and slots are known.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._space, self._slots = space, space.slots
        #: What may stand in a word's place, and its column where it is a gene.
        self._words: dict[Place, tuple] = {(field, None): space.components(field) for field in ("stem", "head")}
        self._words |= {("downsample", stage): space.components("downsample", stage=stage) for stage in self._after}
        self._words[NEURON] = space.components("neuron")
        self._words |= {
            (field, block): space.components(field, block) for field in BRANCHES for block in range(space.max_depth)
        }
        self._column = {place: space.position(place[0], *self._where(place)) for place in self._words}
        self._depth = [space.position("depth", stage=stage) for stage in range(space.stages)]
        self.axes: list[tuple[Place, ...]] = [self._axes(slot) for slot in self._slots]
        self.tables: list[np.ndarray] = [
            self._table(slot.gene, axes) for slot, axes in zip(self._slots, self.axes, strict=True)
        ]
        #: Whether all slots act in every network that has their block.
        self.none = all(table.all() for table in self.tables)

    @property
    def _after(self) -> range:
        """Stages before which a downsampling stands."""
        return range(1, self._space.stages)

    @staticmethod
    def _where(place: Place) -> tuple[int | None, int | None]:
        """Block and stage of a place."""
        return (None, place[1]) if place[0] == "downsample" else (place[1], None)

    def _axes(self, slot: Slot) -> tuple[Place, ...]:
        """The words on which a slot may depend, one axis of its table each."""
        gene, branches = slot.gene, [(field, slot.block) for field in BRANCHES]
        if gene.field == "stem_channels":
            return (("stem", None),)
        if gene.field in NEURON_FIELDS and slot.block is None:
            passed: dict[str, list[Place]] = {
                "head": [("head", None)],
                "stem": [("stem", None), *(("downsample", stage) for stage in self._after)],
            }
            return (*passed[gene.kind or "stem"], NEURON)
        if gene.field in NEURON_FIELDS:
            return (NEURON, *branches)
        return tuple(branches) if gene.field in ("num_heads", "mlp_ratio") else ()

    def _table(self, gene: Gene, axes: Sequence[Place]) -> np.ndarray:
        choices = [self._words[axis] for axis in axes]
        found = [
            _acts(gene, self._space.base, dict(zip(axes, each, strict=True))) for each in itertools.product(*choices)
        ]
        return np.array(found, bool).reshape([len(words) for words in choices])

    def acts(self, slot: int, chosen: Mapping[int, int]) -> bool:
        """Whether a slot acts in a network that has its block, of column of a word -> which choice (0 if not given)."""
        columns = [self._column[axis] for axis in self.axes[slot]]
        return bool(self.tables[slot].item(tuple(0 if at is None else chosen.get(at, 0) for at in columns)))

    def mask(self, indices: np.ndarray) -> np.ndarray:
        """Which slots act: indices `(n, slots)` -> bool `(n, slots)`."""
        found = np.ones(indices.shape, bool)
        depths = [
            np.full(len(indices), most) if at is None else np.array(self._slots[at].gene.choices)[indices[:, at]]
            for at, most in zip(self._depth, self._space.max_depths, strict=True)
        ]
        for column, (slot, axes, table) in enumerate(zip(self._slots, self.axes, self.tables, strict=True)):
            if slot.block is not None:
                stage = self._space.stage(slot.block)
                found[:, column] = slot.block - self._space.starts[stage] < depths[stage]
            if not table.all():
                found[:, column] &= table[tuple(self._chosen(axis, indices) for axis in axes)]
        return found

    def _chosen(self, place: Place, indices: np.ndarray) -> Any:
        column = self._column[place]
        return np.zeros(len(indices), int) if column is None else indices[:, column]

    # -- counting -----------------------------------------------------------------------------------------------

    def size(self) -> int:
        """Number of different networks: network choices, times those of every stage by depth, summed over words."""
        total = 0
        places = [place for place in self._words if place[0] not in BRANCHES]
        for chosen in itertools.product(*(range(len(self._words[place])) for place in places)):
            words = dict(zip(places, chosen, strict=True))
            network = math.prod(
                slot.cardinality
                for slot, axes, table in zip(self._slots, self.axes, self.tables, strict=True)
                if slot.block is None and not slot.gene.word and slot.gene.field != "depth"
                if table[tuple(words[axis] for axis in axes)]
            )
            total += network * math.prod(each[words[NEURON]] for each in self._stacks)
        return total

    @functools.cached_property
    def _stacks(self) -> list[list[int]]:
        """Stage -> neuron -> how many stacks of blocks may stand there."""
        found: list[list[int]] = []
        for stage, (start, most) in enumerate(zip(self._space.starts, self._space.max_depths, strict=True)):
            depths = self._space.choices("depth", stage=stage)
            ways = [self._ways(block) for block in range(start, start + most)]
            found.append([])
            for neuron in range(len(self._words[NEURON])):
                stacks = list(itertools.accumulate((way[neuron] for way in ways), operator.mul, initial=1))
                found[-1].append(sum(stacks[depth] for depth in depths))
        return found

    def _ways(self, block: int) -> list[int]:
        """Neuron -> how many blocks may stand in a slot."""
        places = (NEURON, *((field, block) for field in BRANCHES))
        ways = np.ones([len(self._words[place]) for place in places], object)  # whole numbers of any size
        for slot, axes, table in zip(self._slots, self.axes, self.tables, strict=True):
            if slot.block == block and not slot.gene.word:
                seen = table.reshape([len(self._words[place]) if place in axes else 1 for place in places])
                ways = ways * np.where(seen, slot.cardinality, 1).astype(object)
        return [int(each.sum()) for each in ways]

    def walk(self) -> Iterator[tuple[int, ...]]:
        """Indices of every network once, 0 where a slot does not act: by depths, then words, then other genes."""
        words = [i for i, slot in enumerate(self._slots) if slot.gene.word]
        deep = [i for i in self._depth if i is not None]
        fixed = {*words, *deep}
        for depths in itertools.product(*(range(self._slots[i].cardinality) for i in deep)):
            start = np.zeros((1, len(self._slots)), int)
            start[0, deep] = depths
            there = self.mask(start)[0]
            for chosen in itertools.product(*(range(self._slots[i].cardinality if there[i] else 1) for i in words)):
                start[0, words] = chosen
                acts = self.mask(start)[0]
                yield from itertools.product(
                    *(
                        (int(start[0, i]),) if i in fixed else range(slot.cardinality if acts[i] else 1)
                        for i, slot in enumerate(self._slots)
                    )
                )

    def scopes(self, slot: int) -> list[dict[str, tuple[str, ...]]]:
        """Under which words a slot acts: slot name of a word -> labels, all at once; the slot acts under any of these.

        Empty where it acts in no network; `[{}]` where words do not matter.
        """
        table, axes = self.tables[slot], self.axes[slot]
        if not table.any():
            return []
        columns = [self._column[axis] for axis in axes]
        words = [None if at is None else self._slots[at] for at in columns]
        found = []
        for part in _rectangles(table):
            allowed = zip(words, _sides(part), strict=True)
            found.append(
                {
                    word.name: tuple(itertools.compress(word.gene.labels, some))
                    for word, some in allowed
                    if word is not None and not some.all()
                }
            )
        return found

    def always(self, gene: Gene) -> bool:
        """Whether a gene acts in every network that has its blocks."""
        return all(t.all() for slot, t in zip(self._slots, self.tables, strict=True) if slot.gene.name == gene.name)

    def where(self, slot: int) -> dict[str, int] | None:
        """Words, as indices by gene name, under which a slot acts; None where it never does."""
        table = self.tables[slot]
        if not table.any():
            return None
        found = {}
        for axis, i in zip(self.axes[slot], np.unravel_index(int(table.argmax()), table.shape), strict=True):
            column = self._column[axis]
            if column is not None:
                found[self._slots[column].gene.name] = int(i)
        return found


def _sides(table: np.ndarray) -> list[np.ndarray]:
    """For every axis, which of its places hold anything."""
    return [np.asarray(table.any(axis=tuple({*range(table.ndim)} - {i}))) for i in range(table.ndim)]


def _rectangles(table: np.ndarray) -> list[np.ndarray]:
    """A table as a union of tables, each a product over its axes: the whole, or parts for each place of an axis."""
    if not table.ndim or (functools.reduce(np.multiply.outer, _sides(table)) == table).all():
        return [table]
    kept = []
    axis = next(i for i in reversed(range(table.ndim)) if _differs(table, i))
    for place in range(table.shape[axis]):
        one = np.zeros_like(table)
        np.moveaxis(one, axis, 0)[place] = np.moveaxis(table, axis, 0)[place]
        kept += _rectangles(one) if one.any() else []
    return kept


def _differs(table: np.ndarray, axis: int) -> bool:
    """Whether the places of an axis that hold anything hold different things: else splitting there splits nothing."""
    return len({each.tobytes() for each in np.moveaxis(table, axis, 0) if each.any()}) > 1


def _acts(gene: Gene, base: Any, words: Mapping[Place, Any]) -> bool:
    """Whether a gene acts among the components of its slot's axes."""
    neuron = words.get(NEURON)
    parts = [made for place, made in words.items() if place != NEURON]
    if gene.field == "stem_channels":
        return any(made.uses(f"stem_{gene.stage}", settings_of(base, made)) for made in parts)
    size = {"num_heads": "heads", "mlp_ratio": "hidden"}.get(gene.field)
    if size:
        return any(made.uses(size, settings_of(base, made)) for made in parts)
    if gene.field not in NEURON_FIELDS:
        return True
    kinds = frozenset[str]().union(*(made.kinds(settings_of(base, made)) for made in parts))
    if gene.kind is None and gene.field == "v_threshold":
        kinds -= {"attention"}  # keeps its own threshold, as in a config
    return reads(gene.field, neuron) and (gene.kind in kinds if gene.kind else bool(kinds))
