"""Expression: turns gene values into the network they stand for, the base giving what no gene does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kspike import components
from kspike.config import BLOCK_KINDS, SpikformerConfig
from kspike.space.gene import NEURON_FIELDS, SETTABLE, STEM_DEFAULTS, reads, stem_settings

if TYPE_CHECKING:
    from kspike.space.search_space import SearchSpace


def express(space: SearchSpace, values: Mapping[str, Any]) -> SpikformerConfig:
    """Builds the network of gene values; those beyond `depth`, or without use for its words, are ignored."""
    depth = values.get("depth", space.max_depth)
    changes: dict[str, Any] = {"depth": depth}
    for field in ("embed_dim", "timesteps"):
        if field in values:
            changes[field] = values[field]
    neuron = components.get("neuron", values.get("neuron", space.base.neuron))
    stem = components.get("stem", values.get("stem", space.base.stem))
    for word in (w for w in ("stem", "neuron") if w in values):
        changes[word] = values[word]
    if stem.name != SETTABLE:
        changes |= STEM_DEFAULTS
    elif "stem_channels.0" in values:
        changes["stem_channels"] = tuple(values[f"stem_channels.{stage}"] for stage in range(3))
    elif space.stem_follows_width:
        changes["stem_channels"] = None
    for field in ("mixer", "mlp", "num_heads", "mlp_ratio"):  # the config resets what a block has no use for
        blocks = values[field] if field in values else spread(getattr(space.base, field), field, space.max_depth)
        changes[field] = blocks[:depth]
    for field in NEURON_FIELDS:
        acts = values if reads(field, neuron) else {}
        changes[field] = _neurons(space, field, acts, depth, "stem" in stem.kinds(stem_settings(space.base, stem)))
    return space.base.replace(**changes)


def _neurons(space: SearchSpace, field: str, values: Mapping[str, Any], depth: int, stem: bool) -> dict[str, Any]:
    base = getattr(space.base, field)
    out = {"stem": values.get(f"{field}.stem", base["stem"]) if stem else base["stem"], "head": base["head"]}
    for kind in BLOCK_KINDS:
        if f"{field}.{kind}" in values:
            blocks = values[f"{field}.{kind}"]
        elif field in values and not (field == "v_threshold" and kind == "attention"):
            blocks = values[field]  # a plain gene: attention keeps its own threshold, as in a config
        else:
            blocks = spread(base[kind], f"{field} of {kind}", space.max_depth)
        out[kind] = blocks[:depth]
    return out


def spread(values: tuple, name: str, depth: int) -> tuple:
    """Spreads the base's values over the maximum depth, which they may only do if they are all one value."""
    if len(values) >= depth:
        return values
    if len(set(values)) > 1:
        raise ValueError(
            f"base has {len(values)} different values of {name}, but the space reaches depth {depth}; "
            "give the base one value for all blocks, or one for each block of the maximum depth."
        )
    return values[:1] * depth
