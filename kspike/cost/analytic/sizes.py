"""Sizes: what decides what a network costs, as arrays over one network or a whole population."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from kspike import components
from kspike.config import SpikformerConfig
from kspike.cost.analytic.declared import Declarations, Declared


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Holds the sizes of n networks, blocks padded to the deepest one; every array has n as its first axis.

    Args:
        timesteps, embed_dim, classes, image_channels, tokens: int64, `(n,)`.
        stem_channels: output channels of the first three stages of the stem, `(n, 3)`; anything where it has none.
        heads, hidden: heads, and hidden channels of the MLP, one a block, `(n, blocks)`; anything where not expressed.
        expressed: whether a network has that block (0 or 1), `(n, blocks)`.
        learned: weights that a group of its neurons learns, `(n,)`.
        stem, mixer, mlp: places in `stems`, `mixers` and `mlps`, `(n,)` for the stem, else `(n, blocks)`.
        stems, mixers, mlps: the different components of all n networks, as they are declared.

    Example:
        >>> import kspike
        >>> sizes = kspike.cost.Sizes.of_configs([kspike.SpikformerConfig(depth=d) for d in (1, 2, 3)])
        >>> kspike.cost.parameters(sizes).tolist()
        [3985210, 5765050, 7544890]
    """

    timesteps: np.ndarray
    embed_dim: np.ndarray
    classes: np.ndarray
    image_channels: np.ndarray
    tokens: np.ndarray
    stem_channels: np.ndarray
    heads: np.ndarray
    hidden: np.ndarray
    expressed: np.ndarray
    learned: np.ndarray
    stem: np.ndarray
    mixer: np.ndarray
    mlp: np.ndarray
    stems: tuple[Declared, ...]
    mixers: tuple[Declared, ...]
    mlps: tuple[Declared, ...]

    def __len__(self) -> int:
        return len(self.timesteps)

    def __getitem__(self, some: slice | np.ndarray) -> Sizes:
        """A part of the population: a slice, indices or a mask."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        part: dict[str, Any] = {name: v[some] for name, v in fields.items() if isinstance(v, np.ndarray)}
        return dataclasses.replace(self, **part)

    def dimensions(self, block: int | None, some: slice | np.ndarray) -> dict[str, np.ndarray]:
        """The sizes that parts name, of some of the networks: in one block, or in the stem (`kspike.components.parts`).

        `SpikformerConfig.sizes` gives those of one network.
        """
        found = {"width": self.embed_dim, "image": self.image_channels, "tokens": self.tokens}
        found |= {f"stem_{stage}": self.stem_channels[:, stage] for stage in range(3)}
        if block is not None:
            found |= {"hidden": self.hidden[:, block], "heads": self.heads[:, block]}
        return {name: values[some] for name, values in found.items()}

    @classmethod
    def of_configs(cls, configs: Sequence[SpikformerConfig]) -> Sizes:
        """Reads the sizes off configs, which may differ in everything."""
        blocks = max((c.depth for c in configs), default=0)
        stems, mixers, mlps = (Declarations(role) for role in ("stem", "mixer", "mlp"))
        networks, grids = [c.network for c in configs], [c.grid for c in configs]

        learned = {word: _learned(word) for word in {c.neuron for c in configs}}

        def padded(rows: list[Sequence[int]], by: int) -> np.ndarray:
            return _array([(*row, *[by] * (blocks - len(row))) for row in rows]).reshape(len(rows), blocks)

        def places(found: Declarations) -> np.ndarray:
            each = zip(configs, networks, grids, strict=True)
            return padded([found.places(getattr(c, found.role), net, at) for c, net, at in each], 0)

        return cls(
            timesteps=_array([c.timesteps for c in configs]),
            embed_dim=_array([c.embed_dim for c in configs]),
            classes=_array([c.num_classes for c in configs]),
            image_channels=_array([c.image_shape[2] for c in configs]),
            tokens=_array([height * width for height, width in grids]),
            stem_channels=_array([c.stem_channels for c in configs]).reshape(len(configs), 3),
            heads=padded([c.num_heads for c in configs], 1),
            hidden=padded([c.hidden_dims for c in configs], 1),
            expressed=padded([[1] * c.depth for c in configs], 0),
            learned=_array([learned[c.neuron] for c in configs]),
            stem=_array([stems.place(c.stem, c.stem_settings, c.image_shape[:2]) for c in configs]),
            mixer=places(mixers),
            mlp=places(mlps),
            stems=stems.all,
            mixers=mixers.all,
            mlps=mlps.all,
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
        base, n, depth = space.base, len(indices), space.max_depth
        stems, mixers, mlps = (Declarations(role) for role in ("stem", "mixer", "mlp"))
        read = _Read(space, indices)
        stem = read.network("stem", base.stem, lambda word: stems.place(word, base.stem_settings, base.image_shape[:2]))
        grid = stems.all[0].grid  # of every choice of stem
        width = read.network("embed_dim", base.embed_dim)
        if "stem_channels.0" in read.slots:
            stages = [read.network(f"stem_channels.{stage}", None) for stage in range(3)]
        elif space.stem_follows_width:
            stages = [width // 8, width // 4, width // 2]
        else:
            stages = [np.full(n, channels) for channels in base.stem_channels]
        ratio = read.blocks("mlp_ratio", base.mlp_ratio, dtype=np.float64)
        return cls(
            timesteps=read.network("timesteps", base.timesteps),
            embed_dim=width,
            classes=np.full(n, base.num_classes),
            image_channels=np.full(n, base.image_shape[2]),
            tokens=np.full(n, grid[0] * grid[1]),
            stem_channels=np.stack(stages, axis=1),
            heads=read.blocks("num_heads", base.num_heads),
            hidden=(width[:, None] * ratio).astype(np.int64),  # truncates, as SpikformerConfig.hidden_dims
            expressed=(np.arange(depth) < read.network("depth", depth)[:, None]).astype(np.int64),
            learned=read.network("neuron", base.neuron, _learned),
            stem=stem,
            mixer=read.blocks("mixer", base.mixer, lambda word: mixers.place(word, base.network, grid)),
            mlp=read.blocks("mlp", base.mlp, lambda word: mlps.place(word, base.network, grid)),
            stems=stems.all,
            mixers=mixers.all,
            mlps=mlps.all,
        )


class _Read:
    """Reads fields off the genomes of a population: their genes' choices, or what the base says."""

    def __init__(self, space: Any, indices: np.ndarray) -> None:
        self._indices = indices
        self._depth = space.max_depth
        #: Gene -> block (None: of the whole network) -> its column and choices.
        self.slots: dict[str, dict[int | None, tuple[int, tuple]]] = {}
        for column, slot in enumerate(space.slots):
            self.slots.setdefault(slot.gene.name, {})[slot.block] = column, slot.gene.choices

    def network(self, name: str, base: Any, number: Any = int) -> np.ndarray:
        """A field with one value a network, `(n,)`; `number` says what of a value is read."""
        if name not in self.slots:
            return np.full(len(self._indices), number(base), np.int64)
        return self._column(*self.slots[name][None], number, np.int64)

    def blocks(self, name: str, base: Sequence[Any], number: Any = None, dtype: Any = np.int64) -> np.ndarray:
        """A field with one value a block, `(n, blocks)`; the base's are spread where the space is deeper."""
        number = number or dtype
        spread = base[: self._depth] if len(base) >= self._depth else base[:1] * self._depth
        slots = self.slots.get(name, {})
        found = np.empty((len(self._indices), self._depth), dtype)
        for block in range(self._depth):
            slot = slots.get(block, slots.get(None))
            found[:, block] = number(spread[block]) if slot is None else self._column(*slot, number, dtype)
        return found

    def _column(self, column: int, choices: tuple, number: Any, dtype: Any) -> np.ndarray:
        return np.array([number(choice) for choice in choices], dtype)[self._indices[:, column]]


def _learned(word: Any) -> int:
    """Weights that a group of these neurons learns."""
    return len(components.get("neuron", word).weights(2.0))


def _array(values: Any) -> np.ndarray:
    return np.asarray(values, dtype=np.int64)
