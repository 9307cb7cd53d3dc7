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

from kspike._types import Array, PerStep, Scalar
from kspike.components.parts import split
from kspike.config import SpikformerConfig
from kspike.space import SearchSpace
from kspike.space.expression import spread
from kspike.supernet.elastic import Leading, Masked


class SlicedView:
    """One genome as plain numbers; no block beyond `depth` runs.

    Args:
        config: the network it expresses.
        choices: slot of a word gene -> which of its choices; see `choices_of`.
    """

    time_mask: None = None

    def __init__(self, config: SpikformerConfig, choices: Mapping[str, int] | None = None) -> None:
        self.config = config
        self.timesteps, self.depth = config.timesteps, config.depth
        self.embed = Leading(config.embed_dim)
        self._choices = choices or {}
        #: What was made of these answers, for whoever asks again (`kspike.supernet.places`).
        self.kept: dict[Any, Any] = {}
        self._sizes: dict[int | None, dict[str, int]] = {}

    def sizes(self, block: int | None = None) -> dict[str, int]:
        """The dimensions that parts name, of a block or of the stem."""
        if block not in self._sizes:
            self._sizes[block] = self.config.sizes(block)
        return self._sizes[block]

    def extent(self, size: str, block: int | None = None) -> Leading:
        """The channels of a dimension, by its name in `kspike.components.parts`."""
        sizes = self.sizes(block)
        if size in sizes:
            return Leading(sizes[size])
        dimension, fraction = split(size)
        return Leading(sizes[dimension] // fraction)

    def choice(self, field: str, block: int | None = None) -> int:
        """Which of the components to choose from."""
        return self._choices.get(slot_of(field, block), 0)

    def active(self, block: int) -> None:
        """None: a block that is asked runs."""

    def heads(self, block: int) -> int:
        """Attention heads of a block."""
        return self.config.num_heads[block]

    def neuron(self, kind: str, block: int | None = None) -> Mapping[str, float | Array]:
        """tau and v_threshold of one neuron."""
        return self.config.neuron_args(kind, block)


class MaskedView:
    """A genome as tensors: `genes` holds one index a slot of the space.

    Args:
        space: the space.
        genes: one index a slot.
    """

    def __init__(self, space: SearchSpace, genes: Annotated[Array, "slots"]) -> None:
        self.space = space
        self.genes = genes
        self.largest = space.max_config()
        #: What was made of these answers, for whoever asks again: tensors of one program, as the genes are.
        self.kept: dict[Any, Any] = {}
        self._position = {slot.name: at for at, slot in enumerate(space.slots)}
        self._gene = {gene.name: gene for gene in space.genes}
        self.timesteps, self.depth = self.largest.timesteps, space.max_depth
        self.embed = self._extent([self._choices("embed_dim", self.largest.embed_dim)], ["embed_dim"])
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

    def choice(self, field: str, block: int | None = None) -> int | Scalar:
        """Which of the components to choose from, as an index tensor; a number where there is nothing to choose."""
        slot = slot_of(field, block)
        if slot not in self._position or len(self._gene[field].choices) == 1:
            return 0
        return self.genes[self._position[slot]]

    def extent(self, size: str, block: int | None = None) -> Masked:
        """The channels of a dimension, by its name in `kspike.components.parts`, among the largest network's."""
        dimension, fraction = split(size)
        widths = self._choices("embed_dim", self.largest.embed_dim)
        if dimension == "width":
            return self._extent([[d // fraction for d in widths]], ["embed_dim"])
        if dimension == "hidden":
            ratios = self._of_block("mlp_ratio", block)
            sizes = [[int(d * ratio) // fraction for ratio in ratios] for d in widths]
            largest = largest_sizes(self.space)["hidden"] // fraction
            table = (np.arange(largest) < np.array(sizes)[..., None]).astype("float32")
            return Masked(self._pick(table, ["embed_dim", f"mlp_ratio/{block}"]))
        if dimension == "heads":
            counts = np.array(self._of_block("num_heads", block)) // fraction
            table = (np.arange(largest_sizes(self.space)["heads"] // fraction) < counts[:, None]).astype("float32")
            return Masked(self._pick(table, [f"num_heads/{block}"]))
        if dimension.startswith("stem_"):
            return self._stem(int(dimension[5:]), fraction)
        return self._extent([[largest_sizes(self.space)[dimension] // fraction]], [""])

    def _stem(self, stage: int, fraction: int) -> Masked:
        name = f"stem_channels.{stage}"
        if name in self._gene:
            return self._extent([[c // fraction for c in self._gene[name].choices]], [name])
        if self.space.stem_follows_width:
            widths = self._choices("embed_dim", self.largest.embed_dim)
            return self._extent([[(d >> (3 - stage)) // fraction for d in widths]], ["embed_dim"])
        return self._extent([(self.space.base.stem_channels[stage] // fraction,)], [""])

    def _of_block(self, field: str, block: int | None) -> tuple:
        """The values that a field of a block may have: a gene's choices, or the base's own value."""
        if field in self._gene:
            return self._gene[field].choices
        return (spread(getattr(self.space.base, field), field, self.space.max_depth)[block or 0],)

    def membership(self, block: int) -> Annotated[Array, "width heads"]:
        """1.0 where a channel of the largest width belongs to a head of the most heads, else 0.0."""
        widths, heads = self._choices("embed_dim", self.largest.embed_dim), self._of_block("num_heads", block)
        channel, head = np.arange(max(widths))[:, None], np.arange(largest_sizes(self.space)["heads"])
        table = [[(channel // max(d // h, 1) == head) & (channel < d) for h in heads] for d in widths]
        return self._pick(np.array(table).astype("float32"), ["embed_dim", f"num_heads/{block}"])

    def active(self, block: int) -> Scalar:
        """1.0 where the block runs, else 0.0."""
        depths = self._choices("depth", self.largest.depth)
        return self._pick(np.array([float(block < d) for d in depths], "float32"), ["depth"])

    def heads(self, block: int) -> tuple[tuple[int, ...], Scalar]:
        """The widths that heads may have, and which of them they have, as an index: it follows width and heads."""
        widths = self._choices("embed_dim", self.largest.embed_dim)
        heads = self._of_block("num_heads", block)
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


def slot_of(field: str, block: int | None) -> str:
    """Name of the slot of a gene, in a block or of the network."""
    return field if block is None else f"{field}/{block}"


@functools.lru_cache(maxsize=64)
def largest_sizes(space: SearchSpace) -> dict[str, int]:
    """The largest number of every dimension over a space: what shared weights have to hold."""
    genes = {gene.name: gene.choices for gene in space.genes}
    base, width = space.base, max(genes.get("embed_dim", (space.base.embed_dim,)))
    follows = space.stem_follows_width
    return {
        "width": width,
        "hidden": int(width * max(genes.get("mlp_ratio", base.mlp_ratio))),
        "heads": max(genes.get("num_heads", base.num_heads)),
        "tokens": space.max_config().tokens,
        "image": base.image_shape[2],
        **{
            f"stem_{i}": width >> (3 - i) if follows else max(genes.get(f"stem_channels.{i}", (base.stem_channels[i],)))
            for i in range(3)
        },
    }


def word_choices(space: SearchSpace, indices: Sequence[int] | Annotated[np.ndarray, "slots"]) -> dict[str, int]:
    """Slot of a word gene -> which of its choices a genome of these indices takes."""
    at = enumerate(space.slots)
    return {slot.name: int(indices[i]) for i, slot in at if slot.gene.field in ("stem", "mixer", "mlp", "neuron")}


#: A genome in either form.
View = SlicedView | MaskedView
