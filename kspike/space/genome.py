"""Genome: one candidate of a search space, as an index into the choices of every slot."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from kspike._registry import nearest
from kspike.config import SpikformerConfig
from kspike.space.expression import blocks_of, depths_of
from kspike.space.gene import Gene

if TYPE_CHECKING:
    from kspike.space.search_space import SearchSpace


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Genome:
    """Holds one value a network gene and one a block for every block gene, always at the space's maximum depth.

    Only the first blocks of every stage are expressed, up to its depth, and of these what their words have a use for.
    Two genomes are equal, and hash equal, if they express the same network: the rest is carried along for crossover,
    and tells none apart.

    Args:
        space: the space that the genome belongs to.
        indices: for every slot of the space, which of its choices.

    Example:
        >>> from kspike.space import SearchSpace
        >>> space = SearchSpace(depth=(1, 2), mlp_ratio=(1, 2))
        >>> space.genome(depth=1, mlp_ratio=(2, 1)) == space.genome(depth=1, mlp_ratio=(2, 2))
        True
    """

    space: SearchSpace
    indices: tuple[int, ...]

    def __post_init__(self) -> None:
        slots = self.space.slots
        indices = tuple(int(i) for i in self.indices)
        if len(indices) != len(slots):
            raise ValueError(f"A genome of this space has {len(slots)} slots, got {len(indices)} indices.")
        for slot, i in zip(slots, indices, strict=True):
            if not 0 <= i < slot.cardinality:
                raise ValueError(f"The index of {slot.name} must be from 0 to {slot.cardinality - 1}, got {i}.")
        object.__setattr__(self, "indices", indices)

    @functools.cached_property
    def values(self) -> dict[str, Any]:
        """Gene name -> value, or for a block gene a tuple, one a block slot: of its stage, or of all (`max_depth`)."""
        out: dict[str, Any] = {}
        for slot, i in zip(self.space.slots, self.indices, strict=True):
            value = slot.gene.choices[i]
            if slot.block is None:
                out[slot.gene.name] = value
            else:
                out[slot.gene.name] = (*out.get(slot.gene.name, ()), value)
        return out

    @functools.cached_property
    def depths(self) -> tuple[int, ...]:
        """Number of expressed blocks, one a stage."""
        return depths_of(self.space, self.values)

    @property
    def depth(self) -> int:
        """Number of expressed blocks, of all stages."""
        return sum(self.depths)

    @functools.cached_property
    def blocks(self) -> tuple[int, ...]:
        """The block slots that are expressed: block i of `to_config()` is slot `blocks[i]` of the genome."""
        return blocks_of(self.space, self.depths)

    @functools.cached_property
    def expressed(self) -> tuple[int, ...]:
        """The indices, -1 beyond the depth and where the words have no use for a gene: what genomes are compared by."""
        if not self.space.conditions.none:
            acts = self.space.conditions.mask(np.array([self.indices], int))[0]
            return tuple(i if there else -1 for i, there in zip(self.indices, acts, strict=True))
        blocks = {None, *self.blocks}
        return tuple(i if slot.block in blocks else -1 for slot, i in zip(self.space.slots, self.indices, strict=True))

    @functools.cached_property
    def id(self) -> str:
        """Ten characters that name the expressed network within its space."""
        return hashlib.sha256(f"{self.space.fingerprint()}{self.expressed}".encode()).hexdigest()[:10]

    def to_config(self) -> SpikformerConfig:
        """The network that the genome expresses."""
        return self._config

    @functools.cached_property
    def _config(self) -> SpikformerConfig:
        return self.space.config_of(self.values)

    def expressed_values(self, gene: Gene) -> tuple[Any, ...]:
        """The values of a gene that the network has: one, or one a block where it acts; none where it acts nowhere."""
        return tuple(gene.choices[i] for i in self._places(gene) if i >= 0)

    def labels(self, gene: Gene) -> tuple[str, ...]:
        """A gene's values as text: one, or one an expressed block; "-" where it does not act."""
        return tuple(gene.labels[i] if i >= 0 else "-" for i in self._places(gene))

    def text(self, gene: Gene, between: str = ",") -> str:
        """`labels` as one text, "|" between stages: `2,4`, `token_qk|ssa,ssa`; one value where all are the same.

        Empty where the gene acts nowhere.
        """
        shown = self.labels(gene)
        if set(shown) <= {"-"}:
            return ""
        return shown[0] if len(set(shown)) == 1 else self.joined(gene, between)

    def joined(self, gene: Gene, between: str = ",") -> str:
        """`labels` as one text, block by block, "|" between stages."""
        shown = self.labels(gene)
        if gene.scope == "network" or gene.stage is not None:
            return between.join(shown)
        ends = [sum(self.depths[: stage + 1]) for stage in range(len(self.depths))]
        return "|".join(between.join(shown[end - depth : end]) for end, depth in zip(ends, self.depths, strict=True))

    def _places(self, gene: Gene) -> list[int]:
        """Of a gene, its indices in expressed blocks."""
        blocks = {None, *self.blocks}
        return [
            i
            for slot, i in zip(self.space.slots, self.expressed, strict=True)
            if slot.gene.name == gene.name and slot.block in blocks
        ]

    def to_dict(self, expressed: bool = False) -> dict[str, Any]:
        """Gene name -> value as plain JSON, which `from_dict` reads back.

        Args:
            expressed: leaves out the blocks beyond the depth of their stage.
        """
        out: dict[str, Any] = {}
        for slot, i in zip(self.space.slots, self.indices, strict=True):
            value = slot.gene.plain[i]
            if slot.block is None:
                out[slot.gene.name] = value
            elif not expressed or slot.block in self.blocks:
                out.setdefault(slot.gene.name, []).append(value)
        return out

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], space: SearchSpace) -> Genome:
        """Reads `to_dict`'s output back, checking every value against the space.

        Raises:
            ValueError: an unknown or missing gene, or a value that is not a choice.
        """
        names = [gene.name for gene in space.genes]
        for name in data:
            if name not in names:
                raise ValueError(
                    f"The space has no gene {name!r}{nearest(name, names)}; its genes: {', '.join(names)}."
                )
        indices: list[int] = []
        missing = [gene for gene in space.genes if gene.name not in data and len(gene.choices) > 1]
        for gene in missing:
            if space.conditions.always(gene):
                raise _lacks(gene)
        depths = tuple(
            stage.choices[stage.index(data[stage.name])] if stage is not None and stage.name in data else most
            for stage, most in zip(map(space.depth_gene, range(space.stages)), space.max_depths, strict=True)
        )
        for gene in space.genes:
            value = data.get(gene.name, gene.choices[0])
            if gene.scope == "network":
                indices.append(gene.index(value))
            else:
                indices += _in_slots(gene, value, space, depths)
        found = cls(space, tuple(indices))
        for gene in missing:  # of what the words given have no use for, nothing need be said
            if found.expressed_values(gene):
                raise _lacks(gene)
        return found

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Genome):
            return NotImplemented
        return self.expressed == other.expressed and self.space == other.space

    def __hash__(self) -> int:
        return hash(self.expressed)

    def __str__(self) -> str:
        """Gene values, without what is not expressed and genes of one choice: `embed_dim=64 depth=2 num_heads=2,4`."""
        parts = []
        for gene in self.space.genes:
            if len(gene.choices) == 1:
                continue
            shown = self.text(gene)
            if shown:
                parts.append(f"{gene.name}={shown}")
        return " ".join(parts)

    def __repr__(self) -> str:
        return f"Genome({self.id}: {self})"


def _in_slots(gene: Gene, value: Any, space: SearchSpace, depths: tuple[int, ...]) -> list[int]:
    """Indices in all block slots of a gene; 0 in those that were not given."""
    slots = [slot.block for slot in space.slots if slot.gene.name == gene.name and slot.block is not None]
    if not isinstance(value, (list, tuple)):
        return [gene.index(value)] * len(slots)
    there = [slot for slot in slots if slot in blocks_of(space, depths)]
    each = [gene.index(v) for v in value]
    if len(each) == len(slots):
        return each
    if len(each) == len(there):
        given = dict(zip(there, each, strict=True))
    elif gene.stage is None and 1 < space.stages == len(each):
        given = {slot: each[space.stage(slot)] for slot in slots}
    else:
        by_stage = f", {space.stages} (one a stage)" if gene.stage is None and space.stages > 1 else ""
        raise ValueError(
            f"{gene.name} must be one value{by_stage}, {len(there)} values (depth) or {len(slots)} (maximum depth), "
            f"got {len(each)}."
        )
    return [given.get(slot, 0) for slot in slots]


def _lacks(gene: Gene) -> ValueError:
    return ValueError(f"The genome lacks {gene.name}; give one of {list(gene.labels if gene.word else gene.choices)}.")
