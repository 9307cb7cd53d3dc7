"""Sizes: what decides what a network costs, as arrays over one network or a whole population."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from kspike import components
from kspike._stages import Place
from kspike.components import BRANCHES, PATHS
from kspike.config import SpikformerConfig, stem_channels_of
from kspike.cost.analytic.declared import Declarations, Declared
from kspike.space.gene import stem_settings

#: Fields of a config that place components in a network -> their role.
FIELDS = {"stem": "stem", "downsample": "downsample", **BRANCHES, "head": "head"}


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Holds the sizes of n networks, blocks padded to the deepest one; every array has n as its first axis.

    Args:
        timesteps, classes, image_channels: int64, `(n,)`.
        embed_dim, tokens: channels and number of the tokens, one a stage, `(n, stages)`; a stage that a network does
            not have repeats its last.
        depths: blocks of every stage, `(n, stages)`; 0 of a stage that a network does not have.
        stem_channels: output channels of the stem's first three convolutions, `(n, 3)`; anything where it has none.
        heads, hidden: heads, and hidden channels of the MLP, one a block, `(n, blocks)`; anything where not expressed.
        expressed: whether a network has that block (0 or 1), `(n, blocks)`.
        learned: weights that a group of its neurons learns, `(n,)`.
        averages_logits: whether its linear layer runs in every time step (0 or 1), `(n,)`.
        placed: what stands where: field of the config -> places in `declared` of that field: `(n,)` for the stem and
            the head, `(n, stages - 1)` for downsamplings, `(n, blocks)` for the branches of a block.
        declared: field -> the different components of all n networks, as they are declared.

    Example:
        >>> import kspike
        >>> sizes = kspike.cost.Sizes.of_configs([kspike.SpikformerConfig(depth=d) for d in (1, 2, 3)])
        >>> kspike.cost.parameters(sizes).tolist()
        [3985210, 5765050, 7544890]
    """

    timesteps: np.ndarray
    classes: np.ndarray
    image_channels: np.ndarray
    embed_dim: np.ndarray
    tokens: np.ndarray
    depths: np.ndarray
    stem_channels: np.ndarray
    heads: np.ndarray
    hidden: np.ndarray
    expressed: np.ndarray
    learned: np.ndarray
    averages_logits: np.ndarray
    placed: dict[str, np.ndarray]
    declared: dict[str, tuple[Declared, ...]]

    def __len__(self) -> int:
        return len(self.timesteps)

    def __getitem__(self, some: slice | np.ndarray) -> Sizes:
        """A part of the population: a slice, indices or a mask."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        part: dict[str, Any] = {name: v[some] for name, v in fields.items() if isinstance(v, np.ndarray)}
        return dataclasses.replace(self, **part, placed={field: v[some] for field, v in self.placed.items()})

    @functools.cached_property
    def starts(self) -> np.ndarray:
        """The first block of every stage, `(n, stages)`."""
        return np.cumsum(self.depths, axis=1) - self.depths

    def _of_block(self, values: np.ndarray, block: int) -> np.ndarray:
        """Of values one a stage, `(n, stages)`, those of the stage in which a block stands, `(n,)`."""
        if values.shape[1] == 1:
            return values[:, 0]
        stage = (self.starts[:, 1:] <= block).sum(axis=1)
        return values[np.arange(len(values)), stage]

    def dimensions(self, place: Place, some: slice | np.ndarray) -> dict[str, np.ndarray]:
        """The sizes that parts name (`kspike.components.parts`), of some of the networks, in one place.

        `SpikformerConfig.sizes` and `between` give those of one network.
        """
        if place.field == "downsample":
            found = {"before": self.embed_dim[:, place.index], "width": self.embed_dim[:, place.index + 1]}
        elif place.field == "head":
            found = {"width": self.embed_dim[:, -1], "tokens": self.tokens[:, -1]}
        elif place.field == "stem":
            found = {"width": self.embed_dim[:, 0], "image": self.image_channels, "tokens": self.tokens[:, 0]}
            found |= {f"stem_{stage}": self.stem_channels[:, stage] for stage in range(3)}
        else:
            found = {
                "width": self._of_block(self.embed_dim, place.index),
                "tokens": self._of_block(self.tokens, place.index),
                "hidden": self.hidden[:, place.index],
                "heads": self.heads[:, place.index],
            }
        return {name: values[some] for name, values in found.items()}

    def places(self) -> Iterator[tuple[Place, np.ndarray, np.ndarray]]:
        """Every place in running order: it, what stands there in each network, and in which it is (1, else 0).

        Where networks differ in the depth of their stages, a downsampling comes before the first block that it stands
        before in any of them.
        """
        everywhere = np.ones_like(self.timesteps)
        yield Place("stem", 0, "stem"), self.placed["stem"], everywhere
        stages = self.embed_dim.shape[1]
        waiting = list(range(1, stages))
        for block in range(self.expressed.shape[1]):
            while waiting and len(self) and self.starts[self.depths[:, waiting[0]] > 0, waiting[0]].min() <= block:
                stage = waiting.pop(0)
                there = (self.depths[:, stage] > 0).astype(np.int64)
                yield Place("downsample", stage - 1, f"down_{stage}"), self.placed["downsample"][:, stage - 1], there
            for field, path in PATHS.items():
                place = Place(field, block, f"block_{block}/{path}")
                yield place, self.placed[field][:, block], self.expressed[:, block]
        yield Place("head", 0, "decoding"), self.placed["head"], everywhere

    @classmethod
    def of_configs(cls, configs: Sequence[SpikformerConfig]) -> Sizes:
        """Reads the sizes off configs, which may differ in everything."""
        blocks = max((c.num_blocks for c in configs), default=0)
        stages = max((c.stages for c in configs), default=1)
        found = {field: Declarations(role) for field, role in FIELDS.items()}
        networks, ends = [c.network for c in configs], [c.settings_of("downsample") for c in configs]

        learned = {word: _learned(word) for word in {c.neuron for c in configs}}

        def padded(rows: Sequence[Sequence[int]], by: int | None, length: int) -> np.ndarray:
            """One row a network; those too short are filled up, by their last number where none is given."""
            filled = [(*row, *[row[-1] if by is None else by] * (length - len(row))) for row in rows]
            return _array(filled).reshape(len(rows), length)

        def branches(field: str) -> np.ndarray:
            """Place of every block's component, stage by stage: declarations differ by the token grid."""
            rows = []
            for c, network in zip(configs, networks, strict=True):
                words = [getattr(c, field)[a : a + d] for a, d in zip(c.starts, c.depths, strict=True)]
                each = [found[field].places(w, network, g) for w, g in zip(words, c.grids, strict=True)]
                rows.append(tuple(itertools.chain.from_iterable(each)))
            return padded(rows, 0, blocks)

        downs = [
            [found["downsample"].place(w, end, g) for w, g in zip(c.downsample, c.grids, strict=False)]
            for c, end in zip(configs, ends, strict=True)
        ]
        return cls(
            timesteps=_array([c.timesteps for c in configs]),
            classes=_array([c.num_classes for c in configs]),
            image_channels=_array([c.image_shape[2] for c in configs]),
            embed_dim=padded([c.widths for c in configs], None, stages),
            tokens=padded([[height * width for height, width in c.grids] for c in configs], None, stages),
            depths=padded([c.depths for c in configs], 0, stages),
            stem_channels=_array([c.stem_channels for c in configs]).reshape(len(configs), 3),
            heads=padded([c.num_heads for c in configs], 1, blocks),
            hidden=padded([c.hidden_dims for c in configs], 1, blocks),
            expressed=padded([[1] * c.num_blocks for c in configs], 0, blocks),
            learned=_array([learned[c.neuron] for c in configs]),
            averages_logits=_array([c.averages_logits for c in configs]),
            placed={
                "stem": _array([found["stem"].place(c.stem, c.stem_settings, c.image_shape[:2]) for c in configs]),
                "downsample": padded(downs, 0, stages - 1),
                **{field: branches(field) for field in BRANCHES},
                "head": _array(
                    [found["head"].place(c.head, end, c.grid) for c, end in zip(configs, ends, strict=True)]
                ),
            },
            declared={field: each.all for field, each in found.items()},
        )

    @classmethod
    def of_space(cls, space: Any, indices: Any) -> Sizes:
        """Reads the sizes of a population off its indices `(n, slots)`, as `SearchSpace.encode` gives them.

        No config is made: a million networks take seconds. Equal to `of_configs` of the same genomes, by test.

        Args:
            space: a `kspike.space.SearchSpace`.
            indices: int array `(n, slots)`, one row a genome, in the order of `space.slots`.

        Raises:
            ValueError: `indices` has another shape, or an index that is none of its slot's.
        """
        indices = np.asarray(indices)
        if indices.ndim != 2 or indices.shape[1] != len(space.slots) or not np.issubdtype(indices.dtype, np.integer):
            raise ValueError(
                f"indices must be whole numbers of shape (genomes, {len(space.slots)}), one column a slot of the "
                f"space, got {indices.dtype} of shape {indices.shape}; see SearchSpace.encode."
            )
        if len(indices) and ((indices < 0) | (indices >= space.cardinalities)).any():
            raise ValueError(
                "indices must lie from 0 to the number of choices of their slot; see SearchSpace.cardinalities."
            )
        base, n, grids, end = space.base, len(indices), space.grids, space.base.settings_of("downsample")
        found = {field: Declarations(role) for field, role in FIELDS.items()}
        read = _Read(space, indices)

        def stem(word: Any) -> int:
            return found["stem"].place(word, stem_settings(base, components.get("stem", word)), base.image_shape[:2])

        def branch(field: str) -> np.ndarray:
            return read.blocks(field, lambda word, stage: found[field].place(word, base.network, grids[stage]))

        width = np.stack([read.column("embed_dim", int, stage=stage) for stage in range(space.stages)], axis=1)
        if space.stem_follows_width:
            stem_channels = list(stem_channels_of(width[:, 0]))
        else:
            stem_channels = [read.column("stem_channels", int, stage=i) for i in range(3)]
        depths = np.stack([read.column("depth", int, stage=stage) for stage in range(space.stages)], axis=1)
        stage_of = [space.stage(block) for block in range(space.max_depth)]
        expressed = np.stack(
            [block - space.starts[stage] < depths[:, stage] for block, stage in enumerate(stage_of)], axis=1
        )
        ratio = read.blocks("mlp_ratio", lambda value, _: value, np.float64)
        of_block = {
            "heads": read.blocks("num_heads", lambda value, _: value),
            "hidden": (width[:, stage_of] * ratio).astype(np.int64),  # truncates, as SpikformerConfig.hidden_dims
            "expressed": expressed.astype(np.int64),
            **{field: branch(field) for field in BRANCHES},
        }
        if space.stages > 1:  # expressed blocks stand side by side in a network, as they do not in its genome
            order = np.argsort(~expressed, axis=1, kind="stable")
            of_block = {name: np.take_along_axis(values, order, axis=1) for name, values in of_block.items()}
        downs = [
            read.column("downsample", lambda word, at=grids[s]: found["downsample"].place(word, end, at), stage=s + 1)
            for s in range(space.stages - 1)
        ]
        return cls(
            timesteps=read.column("timesteps", int),
            classes=np.full(n, base.num_classes),
            image_channels=np.full(n, base.image_shape[2]),
            embed_dim=width,
            tokens=np.tile([height * width for height, width in grids], (n, 1)),
            depths=depths,
            stem_channels=np.stack(stem_channels, axis=1),
            heads=of_block["heads"],
            hidden=of_block["hidden"],
            expressed=of_block["expressed"],
            learned=read.column("neuron", _learned),
            averages_logits=read.column("head", lambda word: int(components.get("head", word).averages_logits)),
            placed={
                "stem": read.column("stem", stem),
                "downsample": np.stack(downs, axis=1) if downs else np.zeros((n, 0), np.int64),
                **{field: of_block[field] for field in BRANCHES},
                "head": read.column("head", lambda word: found["head"].place(word, end, grids[-1])),
            },
            declared={field: each.all for field, each in found.items()},
        )


class _Read:
    """Reads fields off the genomes of a population: their genes' choices, or what the base says."""

    def __init__(self, space: Any, indices: np.ndarray) -> None:
        self._space, self._indices = space, indices

    def column(
        self, field: str, number: Any, block: int | None = None, stage: int | None = None, dtype: Any = np.int64
    ) -> np.ndarray:
        """A field in one place, `(n,)`; `number` says what of a value is read."""
        numbers = np.array([number(choice) for choice in self._space.choices(field, block, stage)], dtype)
        at = self._space.position(field, block, stage)
        return np.full(len(self._indices), numbers[0]) if at is None else numbers[self._indices[:, at]]

    def blocks(self, field: str, number: Any, dtype: Any = np.int64) -> np.ndarray:
        """A field with one value a block, `(n, block slots)`; `number` is told the stage too."""
        found = np.empty((len(self._indices), self._space.max_depth), dtype)
        for block in range(self._space.max_depth):
            told = functools.partial(_told, number, self._space.stage(block))
            found[:, block] = self.column(field, told, block, dtype=dtype)
        return found


def _told(number: Any, stage: int, value: Any) -> Any:
    return number(value, stage)


def _learned(word: Any) -> int:
    """Weights that a group of these neurons learns."""
    return len(components.get("neuron", word).weights(2.0))


def _array(values: Any) -> np.ndarray:
    return np.asarray(values, dtype=np.int64)
