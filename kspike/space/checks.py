"""Checks of a search space: every choice must build a network, and no two choices the same one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kspike.components import BRANCHES, geometry
from kspike.config import SpikformerConfig
from kspike.space.gene import NEURON_FIELDS, Gene, reads, settings_of

if TYPE_CHECKING:
    from kspike.space.genome import Genome
    from kspike.space.search_space import SearchSpace


#: Base and genes of what this process has built already: that of a space over mixers takes half a second.
_BUILT: set[tuple[SpikformerConfig, tuple[Gene, ...]]] = set()


def check(space: SearchSpace) -> None:
    """Raises ValueError where a choice could not be built or could not act."""
    base = space.base
    if base.has_time and space.gene("timesteps") is not None:
        raise ValueError(
            f"timesteps cannot be a gene where the input has frames (input_shape {base.input_shape}); "
            "leave it out: T is the number of frames."
        )
    _check_words(space)
    for stage in range(space.stages):
        _check_widths(space, stage)
    _build(space)


def _check_widths(space: SearchSpace, stage: int) -> None:
    """Heads divide every width of their stage, and no two ratios give the same hidden channels."""
    widths = space.choices("embed_dim", stage=stage)
    here = f" of stage {stage}" if space.stages > 1 else ""
    heads = _heads(space, stage)
    block = space.starts[stage]
    fixed = space.gene("num_heads", block) is None
    usual = SpikformerConfig.num_heads
    hint = f" They are the base's, {usual} where its own mixers have none: give num_heads." if fixed else ""
    gene = space.gene("mlp_ratio", stage=stage)
    ratios = () if gene is None else gene.choices
    for width in widths:
        for h in heads:
            if h < 1 or width % h:
                raise ValueError(
                    f"num_heads must divide embed_dim for every pair of choices: {h} heads do not divide "
                    f"width {width}{here}; heads {sorted(set(heads))}, widths {list(widths)}.{hint}"
                )
        if len({int(width * r) for r in ratios}) < len(ratios):
            raise ValueError(
                f"{gene.name if gene else ''} {list(ratios)}: two choices give the same hidden width at embed_dim "
                f"{width}{here}; take choices that differ by at least one channel."
            )


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
            network = settings_of(space.base, component)
            component.declared(network)  # refuses a shortcut that it is not made for
            given = component.given(network)
            settings = {name: given.get(name, value) for name, value in settings.items()}
        key = repr((type(component), sorted(settings.items())))
        if key in seen:
            raise ValueError(f"{gene.name}: {seen[key]} and {label} build the same network here; keep one of them.")
        seen[key] = label


def _heads(space: SearchSpace, stage: int) -> tuple[int, ...]:
    """Numbers of heads that blocks of a stage may have, where some choice has heads."""
    network, start = space.base.network, space.starts[stage]
    found: dict[int, None] = {}
    for block in range(start, start + space.max_depths[stage]):
        there = (made for field in BRANCHES for made in space.components(field, block))
        if any(made.uses("heads", network) for made in there):
            found |= dict.fromkeys(space.choices("num_heads", block))
    return tuple(found)


def _build(space: SearchSpace) -> None:
    """Builds every choice at both extremes, and in these with every other word; the config is the judge."""
    words = [gene for gene in space.genes if gene.word]
    _check_grids(space)
    if (what := (space.base, space.genes)) in _BUILT:
        return
    variants: dict[tuple[int, ...], Genome] = {}
    for end in (space.smallest(), space.largest()):
        changed: list[Mapping[str, int]] = [{}]
        changed += [{gene.name: i} for gene in words for i in range(len(gene.choices))]
        changed += [
            space.conditions.where(at) or {} for at, table in enumerate(space.conditions.tables) if not table.all()
        ]
        for each in changed:
            made = _with(end, each)
            variants.setdefault(made.indices, made)
    first = {None, *space.starts}
    built: set[tuple[int, ...]] = set()
    for end in variants.values():
        for at, slot in enumerate(space.slots):
            for i in range(slot.cardinality if slot.block in first else 0):
                found = space.decode((*end.indices[:at], i, *end.indices[at + 1 :]))
                if found.expressed not in built:
                    built.add(found.expressed)
                    found.to_config()
    _BUILT.add(what)


def _with(genome: Genome, words: Mapping[str, int]) -> Genome:
    """A genome with other words, by gene, in all blocks."""
    slots = zip(genome.space.slots, genome.indices, strict=True)
    return genome.space.decode([words.get(slot.gene.name, i) if slot.gene.word else i for slot, i in slots])


def _check_grids(space: SearchSpace) -> None:
    """Refuses stems, and downsamplings of one transition, that give different grids of tokens."""
    before = space.base.image_shape[:2]
    for stage, grid in enumerate(space.grids):
        name = f"downsample.{stage}" if stage else "stem"
        choices = space.components("downsample", stage=stage) if stage else space.components("stem")
        grids = [geometry.last(made.declared(settings_of(space.base, made)), before) for made in choices]
        if len(set(grids)) > 1:
            sizes = zip(choices, grids, strict=True)
            shown = ", ".join(f"{made.label} gives {height}x{width}" for made, (height, width) in sizes)
            raise ValueError(
                f"{name}: all choices must give the same grid of tokens: {shown}; change their strides or pools."
            )
        before = grid
