"""What a genome makes of the shared weights: slices of them in eager code, masks over them in compiled code.

Both views answer the same questions (how many channels, heads, steps; which tau and threshold), so that the elastic
layers are written once. A slice computes only what the subnet needs. A mask computes all of it, but its numbers are
tensors looked up by the genome's indices in constant tables, so one compiled program serves the whole space.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from keras import ops

from kspike._types import Array, PerStep, Scalar
from kspike.config import SpikformerConfig
from kspike.space import SearchSpace
from kspike.space.expression import spread


@dataclasses.dataclass(frozen=True)
class Leading:
    """The first `size` channels of an axis, by slicing."""

    size: int

    def take(self, x: Array, axis: int) -> Array:
        """The active part of a weight."""
        if x.shape[axis] == self.size:
            return x
        return x[(slice(None),) * (axis % len(x.shape)) + (slice(0, self.size),)]

    def mask(self, x: Annotated[Array, "... channels"]) -> Annotated[Array, "... channels"]:
        """Activations hold active channels alone."""
        return x


@dataclasses.dataclass(frozen=True)
class Masked:
    """The first channels of an axis, by a mask of ones and zeros over all of them."""

    ones: Annotated[Array, "... channels"]

    def take(self, x: Array, axis: int) -> Array:
        """Weights stay whole: what they multiply is zero beyond the active channels."""
        return x

    def mask(self, x: Annotated[Array, "... channels"]) -> Annotated[Array, "... channels"]:
        """Sets inactive channels (last axis, once or several times side by side) to zero."""
        ones = self.ones
        if x.shape[-1] != ones.shape[0]:
            ones = ops.tile(ones, x.shape[-1] // ones.shape[0])
        return x * ops.cast(ones, x.dtype)


class SlicedView:
    """One genome as plain numbers."""

    time_mask: None = None

    def __init__(self, config: SpikformerConfig) -> None:
        self.config = config
        self.timesteps = config.timesteps
        self.embed = Leading(config.embed_dim)
        self.stem = tuple(Leading(c) for c in config.stem_channels)

    def hidden(self, block: int) -> Leading:
        """Hidden channels of a block's MLP."""
        return Leading(self.config.hidden_dims[block])

    def active(self, block: int) -> bool:
        """Whether the block runs."""
        return block < self.config.depth

    def heads(self, block: int) -> int:
        """Attention heads of a block."""
        return self.config.num_heads[block]

    def neuron(self, kind: str, block: int | None = None) -> Mapping[str, float | Array]:
        """tau and v_threshold of one neuron."""
        return self.config.neuron_args(kind, block)


class MaskedView:
    """A genome as tensors: `genes` holds one index a slot of the space."""

    def __init__(self, space: SearchSpace, genes: Annotated[Array, "slots"]) -> None:
        self.space = space
        self.genes = genes
        self.largest = space.max_config()
        self._position = {slot.name: at for at, slot in enumerate(space.slots)}
        self._gene = {gene.name: gene for gene in space.genes}
        self.timesteps = self.largest.timesteps
        self.embed = self._extent([self._choices("embed_dim", self.largest.embed_dim)], ["embed_dim"])
        self.stem = tuple(self._stem(stage) for stage in range(3))
        self.time_mask: PerStep | None = None
        if "timesteps" in self._gene:
            self.time_mask = self._extent([self._gene["timesteps"].choices], ["timesteps"]).ones

    def _choices(self, gene: str, otherwise: float) -> tuple:
        return self._gene[gene].choices if gene in self._gene else (otherwise,)

    def _pick(self, table: Annotated[Array, "*slots ..."], slots: list[str]) -> Annotated[Array, "..."]:
        """Looks a table up by the genome; slots that the space does not have are single entries of the table."""
        x: Any = ops.convert_to_tensor(table)
        for slot in slots:
            x = ops.take(x, self.genes[self._position[slot]], axis=0) if slot in self._position else x[0]
        return x

    def _extent(self, sizes: list, slots: list[str]) -> Masked:
        counts = np.array(sizes[0] if len(sizes) == 1 else sizes)
        table = (np.arange(counts.max()) < counts[..., None]).astype("float32")
        return Masked(self._pick(table, slots))

    def _stem(self, stage: int) -> Masked:
        name = f"stem_channels.{stage}"
        if name in self._gene:
            return self._extent([self._gene[name].choices], [name])
        if self.space.stem_follows_width:
            return self._extent(
                [[d >> (3 - stage) for d in self._choices("embed_dim", self.largest.embed_dim)]], ["embed_dim"]
            )
        return self._extent([(self.largest.stem_channels[stage],)], [""])

    def hidden(self, block: int) -> Masked:
        """Hidden channels of a block's MLP."""
        ratios = self._choices("mlp_ratio", self.largest.mlp_ratio[block])
        widths = self._choices("embed_dim", self.largest.embed_dim)
        sizes = [[int(d * ratio) for ratio in ratios] for d in widths]
        largest = int(self.largest.embed_dim * max(self._choices("mlp_ratio", max(self.largest.mlp_ratio))))
        table = (np.arange(largest) < np.array(sizes)[..., None]).astype("float32")
        return Masked(self._pick(table, ["embed_dim", f"mlp_ratio/{block}"]))

    def active(self, block: int) -> Scalar:
        """1.0 where the block runs, else 0.0."""
        depths = self._choices("depth", self.largest.depth)
        return self._pick(np.array([float(block < d) for d in depths], "float32"), ["depth"])

    def heads(self, block: int) -> tuple[tuple[int, ...], Scalar]:
        """The widths that heads may have, and which of them they have, as an index: it follows width and heads."""
        widths = self._choices("embed_dim", self.largest.embed_dim)
        heads = self._choices("num_heads", self.largest.num_heads[block])
        dims = np.array([[d // h for h in heads] for d in widths])
        known, index = np.unique(dims, return_inverse=True)
        table = index.reshape(dims.shape).astype("int32")
        return tuple(known.tolist()), self._pick(table, ["embed_dim", f"num_heads/{block}"])

    def neuron(self, kind: str, block: int | None = None) -> Mapping[str, float | Array]:
        """tau and v_threshold of one neuron; plain numbers where no gene sets them."""
        return {field: self._neuron(field, kind, block) for field in ("tau", "v_threshold")}

    def _neuron(self, field: str, kind: str, block: int | None) -> float | Scalar:
        gene = f"{field}.{kind}"
        if gene not in self._gene and kind != "stem" and not (field == "v_threshold" and kind == "attention"):
            gene = field
        if gene in self._gene:
            slot = gene if block is None else f"{gene}/{block}"
            return self._pick(np.array(self._gene[gene].choices, "float32"), [slot])
        values = getattr(self.space.base, field)[kind]
        return values if block is None else spread(values, field, self.space.max_depth)[block]


#: The leading channels of an axis, and a genome, in either form.
Extent = Leading | Masked
View = SlicedView | MaskedView
