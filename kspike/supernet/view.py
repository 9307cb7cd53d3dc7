"""What a genome makes of the shared weights: slices of them in eager code, masks over them in compiled code.

Both views answer the same questions (how many channels, heads, steps; which tau and threshold), so that the elastic
layers are written once. A slice computes only what the subnet needs. A mask computes all of it, but its numbers are
tensors looked up by the genome's indices in constant tables, so one compiled program serves the whole space.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from keras import ops

from kspike._stages import Place
from kspike._types import Array, PerStep, Scalar
from kspike.components import BRANCHES, SINGLE_KINDS
from kspike.components.parts import Size, number_of, split
from kspike.config import SpikformerConfig
from kspike.space import SearchSpace, extremes
from kspike.supernet.elastic import Leading, Masked

WHOLE = Size("width")


class SlicedView:
    """One genome as plain numbers; no block beyond `depth` runs.

    Args:
        config: the network it expresses.
        choices: place of a word gene -> which of its choices; see `word_choices`.
        blocks: the block slot of every block; None for one each.
    """

    time_mask: None = None

    def __init__(
        self, config: SpikformerConfig, choices: Mapping[At, int] | None = None, blocks: Sequence[int] | None = None
    ) -> None:
        self.config = config
        self.timesteps = config.timesteps
        self.features = Leading(config.features)
        self._choices = choices or {}
        #: The block slots that run, each with its block.
        self.blocks = {slot: i for i, slot in enumerate(range(config.num_blocks) if blocks is None else blocks)}
        #: What was made of these answers, for whoever asks again (`kspike.supernet.places`).
        self.kept: dict[Any, Any] = {}
        self._sizes: dict[Place, dict[str, int]] = {}

    def sizes(self, at: Place) -> dict[str, int]:
        """The dimensions that parts name, in a place."""
        if at not in self._sizes:
            index = self.blocks[at.index] if at.field in BRANCHES else at.index
            self._sizes[at] = self.config.sizes_at(at.field, index)
        return self._sizes[at]

    def extent(self, size: str, at: Place) -> Leading:
        """The channels of a dimension, by its name in `kspike.components.parts`."""
        return Leading(number_of(self.sizes(at), size))

    def choice(self, field: str, index: int = 0) -> int:
        """Which of the components to choose from."""
        return self._choices.get((field, index), 0)

    def active(self, block: int) -> None:
        """None: a block that is asked runs."""

    def heads(self, at: Place) -> int:
        """Attention heads of a block."""
        return self.config.num_heads[self.blocks[at.index]]

    def neuron(self, kind: str, at: Place) -> Mapping[str, float | Array]:
        """tau and v_threshold of one neuron."""
        return self.config.neuron_args(kind, None if kind in SINGLE_KINDS else self.blocks[at.index])


class MaskedView:
    """A genome as tensors: `genes` holds one index a slot of the space.

    Args:
        space: the space.
        genes: one index a slot.
    """

    def __init__(self, space: SearchSpace, genes: Annotated[Array, "slots"]) -> None:
        self.space = space
        self.genes = genes
        self.timesteps = space.max_timesteps
        #: The block slots that may run: all.
        self.blocks = range(space.max_depth)
        #: What was made of these answers, for whoever asks again: tensors of one program, as the genes are.
        self.kept: dict[Any, Any] = {}
        self.features = self._width(space.stages - 1)
        self.time_mask: PerStep | None = None
        if space.gene("timesteps") is not None:
            self.time_mask = self._extent([space.choices("timesteps")], [space.position("timesteps")]).ones

    def of_timesteps(self, table: Annotated[np.ndarray, "choices ..."]) -> Annotated[Array, "..."]:
        """The row of a table by choices of T that is the genome's."""
        return self._pick(table, [self.space.position("timesteps")])

    def _pick(self, table: Annotated[Array, "*slots ..."], slots: Sequence[int | None]) -> Annotated[Array, "..."]:
        """Looks a table up by the genome; slots that the space does not have are single entries of the table."""
        x: Any = ops.convert_to_tensor(table)
        for slot in slots:
            x = x[0] if slot is None else ops.take(x, self.genes[slot], axis=0)
        return x

    def _extent(self, sizes: Sequence, slots: Sequence[int | None]) -> Masked:
        counts = np.array(sizes[0] if len(sizes) == 1 else sizes)
        table = (np.arange(counts.max()) < counts[..., None]).astype("float32")
        return Masked(self._pick(table, slots))

    def choice(self, field: str, index: int = 0) -> int | Scalar:
        """Which of the components to choose from, as an index tensor; a number where there is nothing to choose."""
        gene, slot = word_of(self.space, field, index)
        return 0 if slot is None or len(gene.choices) == 1 else self.genes[slot]

    def extent(self, size: str, at: Place) -> Masked:
        """The channels of a dimension, by its name in `kspike.components.parts`, among the largest network's."""
        named = split(size)
        stage = stage_of(self.space, at)
        if named.dimension == "width":
            return self._width(stage, named)
        if named.dimension == "before":
            return self._width(stage - 1, named)
        if named.dimension == "hidden":
            ratios = self.space.choices("mlp_ratio", at.index)
            sizes = [[named.of(int(d * ratio)) for ratio in ratios] for d in self._widths(stage)]
            largest = number_of(largest_sizes(self.space, stage), size)
            table = (np.arange(largest) < np.array(sizes)[..., None]).astype("float32")
            return Masked(self._pick(table, [self._slot(stage), self.space.position("mlp_ratio", at.index)]))
        if named.dimension == "heads":
            counts = named.of(np.array(self.space.choices("num_heads", at.index)))
            largest = number_of(largest_sizes(self.space, stage), size)
            table = (np.arange(largest) < counts[:, None]).astype("float32")
            return Masked(self._pick(table, [self.space.position("num_heads", at.index)]))
        if named.dimension.startswith("stem_"):
            return self._stem(int(named.dimension[5:]), named)
        return self._extent([[number_of(largest_sizes(self.space, stage), size)]], [None])

    def _widths(self, stage: int) -> tuple[int, ...]:
        return self.space.choices("embed_dim", stage=stage)

    def _slot(self, stage: int) -> int | None:
        """The slot of a stage's width."""
        return self.space.position("embed_dim", stage=stage)

    def _width(self, stage: int, size: Size = WHOLE) -> Masked:
        return self._extent([[size.of(d) for d in self._widths(stage)]], [self._slot(stage)])

    def _stem(self, convolution: int, size: Size) -> Masked:
        space = self.space
        if space.gene("stem_channels", stage=convolution) is None and space.stem_follows_width:
            return self._extent([[size.of(d >> (3 - convolution)) for d in self._widths(0)]], [self._slot(0)])
        choices = space.choices("stem_channels", stage=convolution)
        return self._extent([[size.of(c) for c in choices]], [space.position("stem_channels", stage=convolution)])

    def membership(self, at: Place) -> Annotated[Array, "width heads"]:
        """1.0 where a channel of the largest width belongs to a head of the most heads, else 0.0."""
        stage = stage_of(self.space, at)
        widths, heads = self._widths(stage), self.space.choices("num_heads", at.index)
        channel, head = np.arange(max(widths))[:, None], np.arange(largest_sizes(self.space, stage)["heads"])
        table = [[(channel // max(d // h, 1) == head) & (channel < d) for h in heads] for d in widths]
        slots = [self._slot(stage), self.space.position("num_heads", at.index)]
        return self._pick(np.array(table).astype("float32"), slots)

    def active(self, block: int) -> Scalar:
        """1.0 where the block of a slot runs, else 0.0."""
        stage = self.space.stage(block)
        depths, inside = self.space.choices("depth", stage=stage), block - self.space.starts[stage]
        slot = self.space.position("depth", stage=stage)
        return self._pick(np.array([float(inside < d) for d in depths], "float32"), [slot])

    def heads(self, at: Place) -> tuple[tuple[int, ...], Scalar]:
        """The widths that heads may have, and which of them they have, as an index: it follows width and heads."""
        stage = stage_of(self.space, at)
        dims = np.array([[d // h for h in self.space.choices("num_heads", at.index)] for d in self._widths(stage)])
        known, index = np.unique(dims, return_inverse=True)
        table = index.reshape(dims.shape).astype("int32")
        slots = [self._slot(stage), self.space.position("num_heads", at.index)]
        return tuple(known.tolist()), self._pick(table, slots)

    def neuron(self, kind: str, at: Place) -> Mapping[str, float | Array]:
        """tau and v_threshold of one neuron; plain numbers where no gene sets them."""
        block = None if kind in SINGLE_KINDS else at.index
        return {field: self._neuron(field, kind, block) for field in ("tau", "v_threshold")}

    def _neuron(self, field: str, kind: str, block: int | None) -> float | Scalar:
        space = self.space
        plain = block is not None and not (field == "v_threshold" and kind == "attention")
        # a plain gene: attention keeps its own threshold, as in a config
        of = None if plain and space.gene(field, block, kind=kind) is None else kind
        gene = space.gene(field, block, kind=of)
        if gene is not None:
            return self._pick(np.array(gene.choices, "float32"), [space.position(field, block, kind=of)])
        return getattr(space.base, field)[kind] if block is None else space.of_base(field, block, kind)


def stage_of(space: SearchSpace, at: Place) -> int:
    """The stage whose width a place has; a downsampling's is the one that begins."""
    if at.field in BRANCHES:
        return space.stage(at.index)
    return {"stem": 0, "downsample": at.index + 1, "head": space.stages - 1}[at.field]


def word_of(space: SearchSpace, field: str, index: int = 0) -> tuple[Any, int | None]:
    """The gene of what stands in a place, and its slot; None and None where the base says it."""
    block = index if field in BRANCHES else None
    stage = index + 1 if field == "downsample" else None
    return space.gene(field, block, stage), space.position(field, block, stage)


@functools.lru_cache(maxsize=256)
def largest_sizes(space: SearchSpace, stage: int) -> Mapping[str, int]:
    """The largest number of every dimension in a stage, over a space: what shared weights have to hold."""
    return extremes.largest_sizes(space, stage)


def word_choices(space: SearchSpace, indices: Sequence[int] | Annotated[np.ndarray, "slots"]) -> dict[At, int]:
    """(field, index) of a place with a word gene -> which of its choices a genome of these indices takes."""
    return {at: int(indices[i]) for i, at in _words(space)}


@functools.lru_cache(maxsize=64)
def _words(space: SearchSpace) -> tuple[tuple[int, At], ...]:
    """The slots of a space's word genes, each with (field, index) of its place."""
    found = []
    for i, slot in enumerate(space.slots):
        if slot.gene.word:
            first = (slot.gene.stage or 1) - 1 if slot.gene.field == "downsample" else 0
            found.append((i, (slot.gene.field, first if slot.block is None else slot.block)))
    return tuple(found)


#: Field and index of a place.
At = tuple[str, int]
#: A genome in either form.
View = SlicedView | MaskedView
