"""Checks of a search space: every choice must build a network, and no two choices the same one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kspike.space.expression import spread
from kspike.space.gene import NEURON_FIELDS, Gene, reads, stem_settings

if TYPE_CHECKING:
    from kspike.space.genome import Genome
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
    _check_words(space)
    widths = by_name["embed_dim"].choices if "embed_dim" in by_name else (base.embed_dim,)
    heads = _heads(space, by_name)
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
    _build(space)


def _check_words(space: SearchSpace) -> None:
    """Refuses genes that act in no network, and words of which two build the same one."""
    neurons = space.components("neuron")
    for gene in space.genes:
        if gene.word:
            _check_choices(space, gene)
        elif gene.field in NEURON_FIELDS and not any(reads(gene.field, neuron) for neuron in neurons):
            shown = " and ".join(f"neuron={neuron.label!r}" for neuron in neurons)
            raise ValueError(
                f"{gene.name} cannot be a gene with {shown}, which learns it or does not read it; leave it out, or use "
                "neuron='lif'."
            )
    for gene in space.genes:
        slots = [at for at, slot in enumerate(space.slots) if slot.gene is gene]
        if all(space.conditions.where(at) is None for at in slots):
            used = {"num_heads": "mixer has heads", "mlp_ratio": "MLP has hidden channels"}
            why = used.get(gene.field, "stem has them" if gene.scope == "network" else "neuron of a block reads it")
            raise ValueError(f"{gene.name} could not act, no {why}: leave it out.")


def _check_choices(space: SearchSpace, gene: Gene) -> None:
    """Settings left to the network are as the network has them: two ways to say one component are one choice."""
    seen: dict[Any, str] = {}
    for component, label in zip(gene.components, gene.labels, strict=True):
        settings = {field.name: getattr(component, field.name) for field in dataclasses.fields(component)}
        if gene.field != "neuron":
            network = stem_settings(space.base, component) if gene.field == "stem" else space.base.network
            component.declared(network)  # refuses a shortcut that it is not made for
            given = component.given(network)
            settings = {name: given.get(name, value) for name, value in settings.items()}
        key = repr((type(component), sorted(settings.items())))
        if key in seen:
            raise ValueError(f"{gene.name}: {seen[key]} and {label} build the same network here; keep one of them.")
        seen[key] = label


def _heads(space: SearchSpace, by_name: dict[str, Gene]) -> tuple[int, ...]:
    """Numbers of heads that any network may have, in blocks where some choice has heads."""
    network, blocks = space.base.network, range(space.max_depth)
    uses = [
        any(made.uses("heads", network) for role in ("mixer", "mlp") for made in space.components(role, block))
        for block in blocks
    ]
    if "num_heads" in by_name:
        return by_name["num_heads"].choices if any(uses) else ()
    values = spread(space.base.num_heads, "num_heads", space.max_depth)
    return tuple(h for h, used in zip(values, uses, strict=False) if used)


def _build(space: SearchSpace) -> None:
    """Builds every choice at both extremes, and in these with every other word; the config is the judge."""
    words = [gene for gene in space.genes if gene.word]
    ends = [space.smallest(), space.largest()]
    variants = [*ends]
    for end in ends:
        variants += [_with(end, {gene.field: i}) for gene in words for i in range(len(gene.choices))]
        for at, table in enumerate(space.conditions.tables):
            if not table.all():
                variants.append(_with(end, space.conditions.where(at) or {}))
    if words:
        _check_grids(space, variants)
    built: set[tuple[int, ...]] = set()
    for end in variants:
        for at, slot in enumerate(space.slots):
            for i in range(slot.cardinality if slot.block in (None, 0) else 0):
                found = space.decode((*end.indices[:at], i, *end.indices[at + 1 :]))
                if found.expressed not in built:
                    built.add(found.expressed)
                    found.to_config()


def _with(genome: Genome, words: Mapping[str, int]) -> Genome:
    """A genome with other words, in all blocks."""
    slots = zip(genome.space.slots, genome.indices, strict=True)
    return genome.space.decode([words.get(slot.gene.field, i) if slot.gene.word else i for slot, i in slots])


def _check_grids(space: SearchSpace, variants: Sequence[Genome]) -> None:
    stems = {}
    for genome in variants:
        config = genome.to_config()
        stems[config.stem_component.label] = config.grid
    if len(set(stems.values())) > 1:
        sizes = ((made.label, *stems[made.label]) for made in space.components("stem"))
        shown = ", ".join(f"{label} gives {height}x{width}" for label, height, width in sizes)
        raise ValueError(
            f"stem: all choices must give the same grid of tokens: {shown}; change their strides or pools."
        )
