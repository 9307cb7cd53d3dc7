"""Expression: turns gene values into the network they stand for, the base giving what no gene does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kspike import _stages, components
from kspike.config import BLOCK_KINDS, SpikformerConfig
from kspike.space.gene import BLOCK_FIELDS, NEURON_FIELDS, SETTABLE, STEM_DEFAULTS, reads, settings_of

if TYPE_CHECKING:
    from kspike.space.search_space import SearchSpace


def express(space: SearchSpace, values: Mapping[str, Any]) -> SpikformerConfig:
    """Builds the network of gene values; those beyond the depth, or without use for its words, are ignored."""
    depths = depths_of(space, values)
    changes: dict[str, Any] = {"depth": _stages.collapsed(depths)}
    for field in ("timesteps", "head", "neuron", "stem"):
        if field in values:
            changes[field] = values[field]
    changes["embed_dim"] = _stages.collapsed(
        [_of_stage(space, "embed_dim", stage, values, width) for stage, width in enumerate(space.base.widths)]
    )
    changes["downsample"] = tuple(
        _of_stage(space, "downsample", stage, values, word) for stage, word in enumerate(space.base.downsample, 1)
    )
    made = lambda role: components.get(role, values.get(role, getattr(space.base, role)))
    if made("stem").name != SETTABLE:
        changes |= STEM_DEFAULTS
    elif "stem_channels.0" in values:
        changes["stem_channels"] = tuple(values[f"stem_channels.{stage}"] for stage in range(3))
    elif space.stem_follows_width:
        changes["stem_channels"] = None
    blocks = blocks_of(space, depths)
    for field in (f for f in BLOCK_FIELDS if f not in NEURON_FIELDS):  # the config resets what a block has no use for
        slots = [_of_block(space, field, slot, values) for slot in blocks]
        changes[field] = tuple(slots)
    passed = [made("stem"), *(components.get("downsample", word) for word in changes["downsample"])]
    stem = any("stem" in each.kinds(settings_of(space.base, each)) for each in passed)
    for field in NEURON_FIELDS:
        acts = values if reads(field, made("neuron")) else {}
        changes[field] = _neurons(space, field, acts, blocks, stem)
    return space.base.replace(**changes)


def depths_of(space: SearchSpace, values: Mapping[str, Any]) -> tuple[int, ...]:
    """Number of blocks of every stage, of gene values."""
    return tuple(_of_stage(space, "depth", stage, values, most) for stage, most in enumerate(space.max_depths))


def blocks_of(space: SearchSpace, depths: tuple[int, ...]) -> tuple[int, ...]:
    """The block slots that are expressed, in running order."""
    return tuple(start + i for start, depth in zip(space.starts, depths, strict=True) for i in range(depth))


def _of_stage(space: SearchSpace, field: str, stage: int, values: Mapping[str, Any], otherwise: Any) -> Any:
    gene = space.gene(field, stage=stage)
    return otherwise if gene is None else values.get(gene.name, otherwise)


def _of_block(space: SearchSpace, field: str, slot: int, values: Mapping[str, Any]) -> Any:
    gene = space.gene(field, block=slot)
    if gene is None or gene.name not in values:
        return space.of_base(field, slot)
    return values[gene.name][slot if gene.stage is None else slot - space.starts[gene.stage]]


def _neurons(
    space: SearchSpace, field: str, values: Mapping[str, Any], blocks: tuple[int, ...], stem: bool
) -> dict[str, Any]:
    base = getattr(space.base, field)
    out = {"stem": values.get(f"{field}.stem", base["stem"]) if stem else base["stem"]}
    out["head"] = values.get(f"{field}.head", base["head"])  # the config resets it where there is none
    for kind in BLOCK_KINDS:
        name = f"{field}.{kind}"
        if name not in values and not (field == "v_threshold" and kind == "attention"):
            name = field  # a plain gene: attention keeps its own threshold, as in a config
        out[kind] = tuple(values[name][s] if name in values else space.of_base(field, s, kind) for s in blocks)
    return out


def spread(values: tuple, name: str, depth: int, where: str = "") -> tuple:
    """Spreads the base's values over the maximum depth, which they may only do if they are all one value."""
    if len(values) >= depth:
        return values
    if len(set(values)) > 1:
        raise ValueError(
            f"base has {len(values)} different values of {name}{where}, but the space reaches depth {depth}; "
            "give the base one value for all blocks, or one for each block of the maximum depth."
        )
    return values[:1] * depth
