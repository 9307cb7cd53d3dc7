"""Conditions: which slots of a genome act, given its depth and its words; the rest is not expressed."""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from kspike.space.gene import NEURON_FIELDS, Gene, Slot, reads, stem_settings

#: Words on which a slot may depend, one axis of its table each: a network slot's, a block slot's.
NETWORK_AXES = ("stem", "neuron")
BLOCK_AXES = ("neuron", "mixer", "mlp")


class Conditions:
    """Holds for every slot of a space, as a table over the choices of words, whether it acts.

    num_heads acts in a block whose mixer or MLP has parts that depend on heads, mlp_ratio where one has hidden
    channels, tau and v_threshold where there are neurons of their kind that read them, stem_channels where the stem has
    them. Everything else acts in every block up to the depth.

    Args:
        slots: of the space.
        base: what its genes leave open.
        max_depth: blocks of the deepest network.
        components: role and block (None for the whole network) -> what may stand there.
    """

    def __init__(
        self, slots: Sequence[Slot], base: Any, max_depth: int, components: Callable[[str, int | None], tuple]
    ) -> None:
        self._slots, self._base = slots, base
        self._genes = {slot.gene.name: slot.gene for slot in slots}
        self._column = {slot.name: i for i, slot in enumerate(slots)}
        self._depths = self._genes["depth"].choices if "depth" in self._genes else (max_depth,)
        self._words: dict[tuple[str, int | None], tuple] = {
            (role, None): components(role, None) for role in NETWORK_AXES
        }
        self._words |= {(role, b): components(role, b) for role in ("mixer", "mlp") for b in range(max_depth)}
        self.tables: list[np.ndarray] = [self._table(slot.gene, slot.block) for slot in self._slots]
        #: Whether all slots act in every network that has their block.
        self.none = all(table.all() for table in self.tables)

    def _table(self, gene: Gene, block: int | None) -> np.ndarray:
        """(stems, neurons) of a network slot, (neurons, mixers, mlps) of a block slot."""
        axes = [self._words[axis, None if axis in NETWORK_AXES else block] for axis in self.axes(block)]
        acts = _in_network if block is None else _in_block
        found = [acts(gene, self._base, *chosen) for chosen in itertools.product(*axes)]
        return np.array(found, bool).reshape([len(axis) for axis in axes])

    @staticmethod
    def axes(block: int | None) -> tuple[str, ...]:
        """Roles of the axes of a slot's table."""
        return NETWORK_AXES if block is None else BLOCK_AXES

    def mask(self, indices: np.ndarray) -> np.ndarray:
        """Which slots act: indices `(n, slots)` -> bool `(n, slots)`."""
        found = np.ones(indices.shape, bool)
        depths = np.array(self._depths)[indices[:, self._column["depth"]] if "depth" in self._column else [0]]
        for column, (slot, table) in enumerate(zip(self._slots, self.tables, strict=True)):
            if slot.block is not None:
                found[:, column] = slot.block < depths
            if not table.all():
                chosen = [self._chosen(axis, slot.block, indices) for axis in self.axes(slot.block)]
                found[:, column] &= table[tuple(chosen)]
        return found

    def _chosen(self, role: str, block: int | None, indices: np.ndarray) -> Any:
        name = role if role in NETWORK_AXES else f"{role}/{block}"
        return indices[:, self._column[name]] if name in self._column else np.zeros(len(indices), int)

    # -- counting -----------------------------------------------------------------------------------------------

    def size(self) -> int:
        """Number of different networks: network choices, times those of the blocks by depth, summed over words."""
        total = 0
        for stem, neuron in np.ndindex(len(self._words["stem", None]), len(self._words["neuron", None])):
            network = math.prod(
                len(slot.gene.choices)
                for slot, table in zip(self._slots, self.tables, strict=True)
                if slot.block is None and not slot.gene.word and slot.name != "depth" and table[stem, neuron]
            )
            blocks = (counts[neuron] for counts in self._blocks)
            stacks = list(itertools.accumulate(blocks, operator.mul, initial=1))
            total += network * sum(stacks[depth] for depth in self._depths)
        return total

    @functools.cached_property
    def _blocks(self) -> list[list[int]]:
        """Block -> neuron -> how many blocks may stand there."""
        found = []
        for block in range(max(self._depths)):
            shape = tuple(len(self._words[axis, None if axis == "neuron" else block]) for axis in BLOCK_AXES)
            ways = np.ones(shape, object)  # whole numbers of any size
            for slot, table in zip(self._slots, self.tables, strict=True):
                if slot.block == block and not slot.gene.word:
                    ways = ways * np.where(table, len(slot.gene.choices), 1).astype(object)
            found.append([int(each.sum()) for each in ways])
        return found

    def walk(self) -> Iterator[tuple[int, ...]]:
        """Indices of every network once, 0 where a slot does not act: by depth, then by words, then by other genes."""
        words = [i for i, slot in enumerate(self._slots) if slot.gene.word]
        for depth in range(len(self._depths)):
            start = np.zeros((1, len(self._slots)), int)
            if "depth" in self._column:
                start[0, self._column["depth"]] = depth
            there = self.mask(start)[0]
            for chosen in itertools.product(*(range(self._slots[i].cardinality if there[i] else 1) for i in words)):
                start[0, words] = chosen
                acts = self.mask(start)[0]
                fixed = {*words, self._column.get("depth", -1)}
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
        table, block = self.tables[slot], self._slots[slot].block
        if not table.any():
            return []
        names = [axis if axis in NETWORK_AXES else f"{axis}/{block}" for axis in self.axes(block)]
        found = []
        for part in _rectangles(table):
            allowed = dict(zip(names, _sides(part), strict=True))
            found.append(
                {
                    name: tuple(itertools.compress(self._genes[name.partition("/")[0]].labels, some))
                    for name, some in allowed.items()
                    if not some.all()
                }
            )
        return found

    def always(self, gene: Gene) -> bool:
        """Whether a gene acts in every network that has its blocks."""
        return all(t.all() for slot, t in zip(self._slots, self.tables, strict=True) if slot.gene.name == gene.name)

    def where(self, slot: int) -> dict[str, int] | None:
        """Words, as indices by role, under which a slot acts; None where it never does."""
        table = self.tables[slot]
        if not table.any():
            return None
        place = np.unravel_index(int(table.argmax()), table.shape)
        return {axis: int(i) for axis, i in zip(self.axes(self._slots[slot].block), place, strict=True)}


def _sides(table: np.ndarray) -> list[np.ndarray]:
    """For every axis, which of its places hold anything."""
    return [np.asarray(table.any(axis=tuple({*range(table.ndim)} - {i}))) for i in range(table.ndim)]


def _rectangles(table: np.ndarray) -> list[np.ndarray]:
    """A table as a union of tables, each a product over its axes: the whole, or a part for each MLP and mixer."""
    if (functools.reduce(np.multiply.outer, _sides(table)) == table).all():
        return [table]
    kept = []
    for place in range(table.shape[-1]):
        one = np.zeros_like(table)
        one[..., place] = table[..., place]
        kept += _rectangles(one) if one.any() else []
    return kept


def _in_network(gene: Gene, base: Any, stem: Any, neuron: Any) -> bool:
    settings = stem_settings(base, stem)
    if gene.field == "stem_channels":
        return stem.uses(f"stem_{gene.stage}", settings)
    return gene.field not in NEURON_FIELDS or (reads(gene.field, neuron) and "stem" in stem.kinds(settings))


def _in_block(gene: Gene, base: Any, neuron: Any, mixer: Any, mlp: Any) -> bool:
    network = base.network
    size = {"num_heads": "heads", "mlp_ratio": "hidden"}.get(gene.field)
    if size:
        return mixer.uses(size, network) or mlp.uses(size, network)
    if gene.field not in NEURON_FIELDS:
        return True
    kinds = mixer.kinds(network) | mlp.kinds(network)
    if gene.kind is None and gene.field == "v_threshold":
        kinds -= {"attention"}  # keeps its own threshold, as in a config
    return reads(gene.field, neuron) and (gene.kind in kinds if gene.kind else bool(kinds))
