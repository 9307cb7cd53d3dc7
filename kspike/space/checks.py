"""Checks of a search space: every choice must build a network, and no two choices the same one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kspike.space.expression import spread

if TYPE_CHECKING:
    from kspike.space.search_space import SearchSpace


def check(space: SearchSpace) -> None:
    """Raises ValueError where a choice could not be built or could not act."""
    by_name = {gene.name: gene for gene in space.genes}
    base = space.base
    if base.has_time and "timesteps" in by_name:
        raise ValueError(
            f"timesteps cannot be a gene where the input has frames (input_shape {base.input_shape}); "
            "leave it out: T is the number of frames."
        )
    if base.neuron == "plif" and any(gene.field == "tau" for gene in space.genes):
        raise ValueError("tau cannot be a gene with neuron='plif', which learns it; leave it out, or use neuron='lif'.")
    widths = by_name["embed_dim"].choices if "embed_dim" in by_name else (base.embed_dim,)
    if "num_heads" in by_name:
        heads = by_name["num_heads"].choices
    else:
        heads = spread(base.num_heads, "num_heads", space.max_depth)
    ratios = by_name["mlp_ratio"].choices if "mlp_ratio" in by_name else ()
    for width in widths:
        for h in heads:
            if h < 1 or width % h:
                raise ValueError(
                    f"num_heads must divide embed_dim for every pair of choices: {h} heads do not divide "
                    f"width {width}; heads {sorted(set(heads))}, widths {list(widths)}."
                )
        if len({int(width * r) for r in ratios}) < len(ratios):
            raise ValueError(
                f"mlp_ratio {list(ratios)}: two choices give the same hidden width at embed_dim {width}; "
                "take choices that differ by at least one channel."
            )
    small, large = space.smallest(), space.largest()
    for at, slot in enumerate(space.slots):  # the config is the judge of every value
        for i in range(slot.cardinality if slot.block in (None, 0) else 0):
            for end in (small, large):
                space.decode((*end.indices[:at], i, *end.indices[at + 1 :])).to_config()
