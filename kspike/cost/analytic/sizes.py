"""Sizes: the dimensions that decide what a Spikformer costs, as arrays over one network or a whole population."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from kspike.config import SpikformerConfig


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Holds the dimensions of n networks, blocks padded to the deepest one; every array has n as its first axis.

    Args:
        timesteps, embed_dim, classes, image_channels: int64, `(n,)`.
        stage_pixels: pixels at the input of each of the four stages of the stem, then the tokens, `(n, 5)`.
        stem_channels: output channels of the first three stages, `(n, 3)`.
        pooled: whether a max-pool follows a stage (0 or 1), `(n, 4)`.
        heads, hidden: heads, and hidden channels of the MLP, one a block, `(n, blocks)`; any value where not expressed.
        expressed: whether a network has that block (0 or 1), `(n, blocks)`.
        qkv_bias, proj_bias, mlp_bias, membrane, plif: 0 or 1, `(n,)`.
        pools_first: 1 where a pool stands before its stage's neuron, `(n,)`.

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
    stage_pixels: np.ndarray
    stem_channels: np.ndarray
    pooled: np.ndarray
    heads: np.ndarray
    hidden: np.ndarray
    expressed: np.ndarray
    qkv_bias: np.ndarray
    proj_bias: np.ndarray
    mlp_bias: np.ndarray
    membrane: np.ndarray
    pools_first: np.ndarray
    plif: np.ndarray

    def __len__(self) -> int:
        return len(self.timesteps)

    def __getitem__(self, some: slice | np.ndarray) -> Sizes:
        """A part of the population: a slice, indices or a mask."""
        return Sizes(**{f.name: getattr(self, f.name)[some] for f in dataclasses.fields(self)})

    @property
    def tokens(self) -> np.ndarray:
        """Tokens, N, `(n,)`."""
        return self.stage_pixels[:, 4]

    @classmethod
    def of_configs(cls, configs: Sequence[SpikformerConfig]) -> Sizes:
        """Reads the sizes from configs, which may differ in every field."""
        blocks = max((c.depth for c in configs), default=0)

        def padded(rows: list[tuple[int, ...]]) -> np.ndarray:
            return _array([(*row, *[1] * (blocks - len(row))) for row in rows]).reshape(len(rows), blocks)

        return cls(
            timesteps=_array([c.timesteps for c in configs]),
            embed_dim=_array([c.embed_dim for c in configs]),
            classes=_array([c.num_classes for c in configs]),
            image_channels=_array([c.image_shape[2] for c in configs]),
            stage_pixels=_array([[h * w for h, w in (*c.stage_sizes, c.grid)] for c in configs]),
            stem_channels=_array([c.stem_channels for c in configs]),
            pooled=_array([c.stem_pool for c in configs]),
            heads=padded([c.num_heads for c in configs]),
            hidden=padded([c.hidden_dims for c in configs]),
            expressed=_array([[b < c.depth for b in range(blocks)] for c in configs]),
            qkv_bias=_array([c.qkv_bias for c in configs]),
            proj_bias=_array([c.proj_bias for c in configs]),
            mlp_bias=_array([c.mlp_bias for c in configs]),
            membrane=_array([c.residual == "membrane" for c in configs]),
            pools_first=_array([c.pool_after == "norm" for c in configs]),
            plif=_array([c.neuron == "plif" for c in configs]),
        )

    @classmethod
    def of_space(cls, space: Any, indices: Any) -> Sizes:
        """Reads the sizes of a population from its indices `(n, slots)`, as `SearchSpace.encode` gives them.

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
        one = cls.of_configs([space.max_config()])
        n, depth = len(indices), space.max_depth
        genes: dict[str, np.ndarray] = {}
        for column, slot in enumerate(space.slots):
            chosen = np.asarray(slot.gene.choices)[indices[:, column]]
            if slot.block is None:
                genes[slot.gene.name] = chosen
            else:
                genes.setdefault(slot.gene.name, np.zeros((n, depth), chosen.dtype))[:, slot.block] = chosen

        fixed = {f.name: np.repeat(getattr(one, f.name), n, axis=0) for f in dataclasses.fields(cls)}
        width = genes.get("embed_dim", fixed["embed_dim"]).astype(np.int64)
        if "stem_channels.0" in genes:
            stem = np.stack([genes[f"stem_channels.{stage}"] for stage in range(3)], axis=1)
        elif space.stem_follows_width:
            stem = np.stack([width // 8, width // 4, width // 2], axis=1)
        else:
            stem = fixed["stem_channels"]
        ratio = genes.get("mlp_ratio", np.asarray([space.max_config().mlp_ratio], dtype=float))
        expressed = np.arange(depth) < genes.get("depth", np.full(n, depth))[:, None]
        return cls(
            **{
                **fixed,
                "timesteps": genes.get("timesteps", fixed["timesteps"]).astype(np.int64),
                "embed_dim": width,
                "stem_channels": stem.astype(np.int64),
                "heads": genes.get("num_heads", fixed["heads"]).astype(np.int64),
                "hidden": (width[:, None] * ratio).astype(np.int64),  # truncates, as SpikformerConfig.hidden_dims
                "expressed": expressed.astype(np.int64),
            }
        )


def _array(values: Any) -> np.ndarray:
    return np.asarray(values, dtype=np.int64)
