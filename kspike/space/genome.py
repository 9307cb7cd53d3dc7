"""Genome: one candidate of a search space, as an index into the choices of every slot."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kspike._registry import nearest
from kspike.config import SpikformerConfig

if TYPE_CHECKING:
    from kspike.space.search_space import SearchSpace


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Genome:
    """Holds one value a network gene and one a block for every block gene, always at the space's maximum depth.

    Only the first `depth` blocks are expressed. Two genomes are equal, and hash equal, if they express the same
    network: what blocks beyond the depth would be is carried along for crossover, but does not tell them apart.

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
        """Gene name -> value, or a tuple of `max_depth` values for a block gene."""
        out: dict[str, Any] = {}
        for slot, i in zip(self.space.slots, self.indices, strict=True):
            value = slot.gene.choices[i]
            if slot.block is None:
                out[slot.gene.name] = value
            else:
                out[slot.gene.name] = (*out.get(slot.gene.name, ()), value)
        return out

    @property
    def depth(self) -> int:
        """Number of expressed blocks."""
        return self.values.get("depth", self.space.max_depth)

    @functools.cached_property
    def expressed(self) -> tuple[int, ...]:
        """The indices with those of unexpressed blocks set to -1: the key on which genomes are compared."""
        return tuple(
            -1 if slot.block is not None and slot.block >= self.depth else i
            for slot, i in zip(self.space.slots, self.indices, strict=True)
        )

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

    def to_dict(self) -> dict[str, Any]:
        """Gene name -> value as plain JSON, unexpressed blocks included."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in self.values.items()}

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
        for gene in space.genes:
            if gene.name not in data and len(gene.choices) > 1:
                raise ValueError(f"The genome lacks {gene.name}; give one of {list(gene.choices)}.")
            value = data.get(gene.name, gene.choices[0])
            if gene.scope == "network":
                indices.append(gene.index(value))
                continue
            per_block = list(value) if isinstance(value, (list, tuple)) else [value] * space.max_depth
            depth = data.get("depth", space.max_depth)
            if len(per_block) not in (depth, space.max_depth):
                raise ValueError(
                    f"{gene.name} must be one value, {depth} values (depth) or {space.max_depth} (maximum depth), "
                    f"got {len(per_block)}."
                )
            filled = [gene.index(v) for v in per_block]
            indices += filled + [0] * (space.max_depth - len(filled))
        return cls(space, tuple(indices))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Genome):
            return NotImplemented
        return self.expressed == other.expressed and self.space == other.space

    def __hash__(self) -> int:
        return hash(self.expressed)

    def __str__(self) -> str:
        """Gene values, without unexpressed blocks and genes of one choice: `embed_dim=64 depth=2 num_heads=2,4`."""
        parts = []
        for gene in self.space.genes:
            if len(gene.choices) == 1:
                continue
            name, value = gene.name, self.values[gene.name]
            shown = value[: self.depth] if isinstance(value, tuple) else (value,)
            if len(set(shown)) == 1:
                shown = shown[:1]
            parts.append(f"{name}={','.join(f'{v:g}' for v in shown)}")
        return " ".join(parts)

    def __repr__(self) -> str:
        return f"Genome({self.id}: {self})"
