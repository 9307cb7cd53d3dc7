"""Parsing: turns what a user writes, `embed_dim=(32, 48)` or `tau={"fc1": (1.5, 2.0)}`, into checked, ordered genes."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from typing import Any

from kspike import components
from kspike._registry import nearest, unknown
from kspike.components import BRANCHES, KINDS, SINGLE_KINDS, Component
from kspike.config import SpikformerConfig
from kspike.space.gene import (
    BY_STAGE,
    FIELDS,
    NETWORK_FIELDS,
    NEURON_FIELDS,
    STAGED,
    WHOLE,
    WORDS,
    Gene,
    settings_of,
)


def parse(genes: Mapping[str, Any], base: SpikformerConfig) -> tuple[Gene, ...]:
    """Turns the keyword arguments of a search space into genes, in one fixed order.

    Raises:
        ValueError: an unknown gene, component, stage or neuron kind, or a neuron kind that no choice has.
    """
    for name in genes:
        if name not in FIELDS:
            raise unknown("gene", name, FIELDS)
    found: list[Gene] = []
    for field in FIELDS:
        if field in genes:
            found += _of_field(field, genes[field], found, base)
    # network genes first: the stem's tau and threshold stand before all block genes
    return tuple(sorted(found, key=lambda gene: gene.scope != "network"))


def _of_field(field: str, spec: Any, found: Sequence[Gene], base: SpikformerConfig) -> list[Gene]:
    scope = "network" if field in NETWORK_FIELDS else "block"
    if field == "stem_channels":
        if not isinstance(spec, Sequence) or len(spec) != 3:
            raise ValueError(f"stem_channels must be three tuples of choices, one a stage of the stem, got {spec!r}.")
        return [
            Gene(f"{field}.{i}", choices(c, f"{field}.{i}", True), scope, field, stage=i) for i, c in enumerate(spec)
        ]
    if field in NEURON_FIELDS and isinstance(spec, Mapping):
        return _by_kind(field, spec, found, base)
    if field == "downsample" and base.stages == 1:
        raise ValueError(
            "downsample cannot be a gene: the base has one stage, so nothing stands between two; give its embed_dim "
            "and depth one value a stage."
        )
    if field in BY_STAGE and names_stages(field, spec):
        listed = by_stage(field, spec, base.stages)
        if base.stages > 1:
            return [_gene(field, values, scope, stage) for stage, values in listed.items()]
        spec = listed[0]  # the one stage is the network
    elif field == "downsample":
        return [_gene(field, spec, scope, stage) for stage in range(1, base.stages)]
    elif field in STAGED and base.stages > 1:
        raise ValueError(
            f"{field} must name the stage of its choices: the base has {base.stages} stages; write for example "
            f"{field}={{{base.stages - 1}: {spec!r}}}."
        )
    return [_gene(field, spec, scope, None)]


def _gene(field: str, values: Any, scope: str, stage: int | None) -> Gene:
    name = field if stage is None else f"{field}.{stage}"
    if field in WORDS:
        return Gene(name, words(values, name, BRANCHES.get(field, field)), scope, field, stage=stage)
    return Gene(name, choices(values, name, field in WHOLE), scope, field, stage=stage)


# -- stages -----------------------------------------------------------------------------------------------------


def names_stages(field: str, spec: Any) -> bool:
    """Whether a mapping is from stage to choices; of words it may be one component, as JSON has it."""
    return isinstance(spec, Mapping) and not (field in WORDS and "name" in spec)


def by_stage(field: str, spec: Mapping[Any, Any], stages: int) -> dict[int, Any]:
    """Reads a mapping from stage to anything, whose keys JSON holds as text; in the order of the stages.

    Raises:
        ValueError: no key, one that is no stage, or a stage twice.
    """
    first = 1 if field == "downsample" else 0
    if not spec:
        raise ValueError(f"{field} names no stage; give values for at least one of {list(range(first, stages))}.")
    found: dict[int, Any] = {}
    for key, values in spec.items():
        known = [stage for stage in range(first, stages) if str(key) == str(stage)]
        if not known or isinstance(key, bool):
            begins = " (the one that begins)" if field == "downsample" else ""
            raise ValueError(
                f"{field} by stage{begins}: expected one of {list(range(first, stages))}, got {key!r}; stages count "
                "from 0."
            )
        if known[0] in found:
            raise ValueError(f"{field} names stage {known[0]} twice; name it once.")
        found[known[0]] = values
    return dict(sorted(found.items()))


# -- neuron kinds -----------------------------------------------------------------------------------------------


def _by_kind(field: str, spec: Mapping[str, Any], found: Sequence[Gene], base: SpikformerConfig) -> list[Gene]:
    present = _kinds(found, base)
    for kind in spec:
        if kind not in KINDS:
            raise ValueError(f"{field}: unknown neuron kind {kind!r}{nearest(kind, KINDS)}; known: {', '.join(KINDS)}.")
        if kind not in present:
            raise ValueError(
                f"{field}: no choice has a neuron of kind {kind!r} with residual={base.residual!r}, so the gene could "
                f"not act; known here: {', '.join(present)}."
            )
    if not spec:
        raise ValueError(f"{field} names no neuron kind; give choices for at least one of {', '.join(present)}.")
    return [
        Gene(
            f"{field}.{kind}",
            choices(spec[kind], f"{field}.{kind}", False),
            "network" if kind in SINGLE_KINDS else "block",
            field,
            kind,
        )
        for kind in KINDS
        if kind in spec
    ]


def _kinds(genes: Sequence[Gene], base: SpikformerConfig) -> tuple[str, ...]:
    """Neuron kinds that any network has; of genes, all words are there already."""
    of = {(gene.field, gene.stage): gene.components for gene in genes if gene.word}
    there: set[Any] = {*of.get(("stem", None), (base.stem_component,)), *of.get(("head", None), (base.head_component,))}
    for stage in range(base.stages):
        if stage:
            there |= {*of.get(("downsample", stage), (base.downsamples[stage - 1],))}
        blocks = base.blocks[base.starts[stage] : base.starts[stage] + base.depths[stage]]
        for field in BRANCHES:
            given = of.get((field, stage), of.get((field, None)))
            there |= {branches[field] for branches in blocks} if given is None else {*given}
    found = frozenset[str]().union(*(component.kinds(settings_of(base, component)) for component in there))
    return tuple(kind for kind in KINDS if kind in found)


# -- choices ----------------------------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """Turns NumPy scalars into Python's own, which JSON and KerasTuner take."""
    return value.item() if hasattr(value, "item") else value


def choices(values: Any, name: str, whole: bool) -> tuple[Any, ...]:
    """Checks the choices of one gene and sorts them; a plain number is one choice."""
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, (Sequence, numbers.Number)):
        as_list = getattr(values, "tolist", None)  # a NumPy array
        if as_list is None:
            raise ValueError(f"{name} must be a number or a tuple of numbers to choose from, got {values!r}.")
        values = as_list()
    listed = [plain(v) for v in (values if isinstance(values, Sequence) else (values,))]
    if not listed:
        raise ValueError(f"{name} has no choices; give at least one, or leave the gene out to keep the base's value.")
    for v in listed:
        if isinstance(v, bool) or not isinstance(v, numbers.Real):
            raise ValueError(f"{name} must list numbers, got {v!r} among {listed}.")
        if whole and not float(v).is_integer():
            raise ValueError(f"{name} must list whole numbers, got {v!r} among {listed}.")
        if whole and v < 1:
            raise ValueError(f"{name} must list whole numbers of at least 1, got {v!r} among {listed}.")
    kept = sorted(int(float(v)) if whole else float(v) for v in listed)
    if len(set(kept)) != len(kept):
        raise ValueError(f"{name} lists a choice twice: {listed}; list each once.")
    return tuple(kept)


def words(values: Any, name: str, role: str) -> tuple[Any, ...]:
    """Checks the choices of a word and keeps their order; a name, an object or what JSON has for one is one choice."""
    one = isinstance(values, (str, Mapping, Component))
    if hasattr(values, "tolist"):  # a NumPy array
        values = values.tolist()
    if not one and not isinstance(values, Sequence):
        raise ValueError(f"{name} must be the name of a {role}, the object, or a tuple of them, got {values!r}.")
    kept = [_component(value, name, role).word for value in ((values,) if one else values)]
    if not kept:
        raise ValueError(f"{name} has no choices; give at least one, or leave the gene out to keep the base's.")
    for i, choice in enumerate(kept):
        if choice in kept[:i]:
            label = components.get(role, choice).label
            raise ValueError(f"{name} lists a choice twice: {label}, under its name or as an object; list each once.")
    return tuple(kept)


def _component(value: Any, name: str, role: str) -> Any:
    try:
        return components.get(role, value)
    except ValueError as error:
        if name == role:
            raise
        raise ValueError(f"{name}: {error}") from error


# -- as data ----------------------------------------------------------------------------------------------------


def to_spec(genes: Sequence[Gene]) -> dict[str, Any]:
    """Writes genes back as the keyword arguments (plain lists and dicts) that `parse` reads."""
    spec: dict[str, Any] = {}
    for field in FIELDS:
        of_field = [gene for gene in genes if gene.field == field]
        if not of_field:
            continue
        if field == "stem_channels":
            spec[field] = [list(gene.choices) for gene in of_field]
        elif of_field[0].stage is not None:
            spec[field] = {str(gene.stage): list(gene.plain) for gene in of_field}
        elif of_field[0].kind is None:
            spec[field] = list(of_field[0].plain)
        else:
            spec[field] = {gene.kind: list(gene.choices) for gene in of_field}
    return spec
