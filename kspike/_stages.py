"""Stages: runs of blocks of one width and one token grid; how one value is spread over stages and blocks."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a component stands in a network.

    Args:
        field: of the config: "stem", "downsample", "head", or a branch of a block.
        index: block, or downsampling, counted from 0.
        path: of its layer in the model.
    """

    field: str
    index: int
    path: str


def several(value: Any) -> bool:
    """Whether a value is a list or tuple of values."""
    return isinstance(value, (list, tuple))


def resolve(embed_dim: Any, depth: Any, width_of: Callable, depth_of: Callable) -> tuple[tuple, tuple]:
    """Widths and depths, one a stage; either may be one number for all stages.

    Args:
        embed_dim, depth: a number, or one a stage.
        width_of, depth_of: check one number and return it.

    Raises:
        ValueError: lists of different lengths, or an empty one.
    """
    lengths = {len(value) for value in (embed_dim, depth) if several(value)}
    if len(lengths) > 1 or 0 in lengths:
        raise ValueError(
            f"embed_dim and depth must each be one number, or one a stage; got {len(tuple(embed_dim))} values of "
            f"embed_dim, {tuple(embed_dim)}, and {len(tuple(depth))} of depth, {tuple(depth)}."
            if len(lengths) > 1
            else "embed_dim and depth must not be empty: give one number, or one a stage."
        )
    stages = lengths.pop() if lengths else 1
    widths = tuple(embed_dim) if several(embed_dim) else (embed_dim,) * stages
    depths = tuple(depth) if several(depth) else (depth,) * stages
    return tuple(width_of(w) for w in widths), tuple(depth_of(d) for d in depths)


def per_block(value: Any, depths: Sequence[int], name: str) -> tuple:
    """Spreads a value over all blocks: one value, one a stage (where there are several), or one a block.

    Raises:
        ValueError: another number of values.

    Example:
        >>> per_block(("token_qk", "ssa"), (1, 2), "mixer")
        ('token_qk', 'ssa', 'ssa')
    """
    blocks = sum(depths)
    if not several(value):
        return (value,) * blocks
    if len(value) == blocks:
        return tuple(value)
    if len(depths) > 1 and len(value) == len(depths):
        return tuple(itertools.chain.from_iterable([v] * d for v, d in zip(value, depths, strict=True)))
    by_stage = f", or one a stage ({len(depths)})" if len(depths) > 1 else ""
    depth = depths[0] if len(depths) == 1 else tuple(depths)
    raise ValueError(
        f"{name} must be one value, or one a block{by_stage}: expected {blocks} values (depth={depth}), "
        f"got {len(value)}: {tuple(value)}."
    )


def starts(depths: Sequence[int]) -> tuple[int, ...]:
    """The number of each stage's first block.

    Example:
        >>> starts((1, 1, 2))
        (0, 1, 2)
    """
    return tuple(itertools.accumulate((0, *depths[:-1])))


def stage_of(block: int, depths: Sequence[int]) -> int:
    """The stage that a block stands in; blocks are numbered through all stages.

    Example:
        >>> [stage_of(i, (1, 1, 2)) for i in range(4)]
        [0, 1, 2, 2]
    """
    return next(s for s, end in enumerate(itertools.accumulate(depths)) if block < end)


def collapsed(values: Sequence[Any]) -> Any:
    """One value a stage; of one stage the value itself."""
    return values[0] if len(values) == 1 else tuple(values)


def in_words(depth: Any, embed_dim: Any) -> str:
    """Blocks and widths in words: `2 blocks of width 64`, `1, 1, 2 blocks of widths 32, 64, 128`.

    Example:
        >>> in_words((1, 2), (64, 128))
        '1, 2 blocks of widths 64, 128'
    """
    if isinstance(depth, (list, tuple)):
        return f"{', '.join(map(str, depth))} blocks of widths {', '.join(map(str, embed_dim))}"
    return f"{depth} block{'s' if depth > 1 else ''} of width {embed_dim}"
