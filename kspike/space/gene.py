"""Genes: turns what a user writes, `embed_dim=(32, 48)` or `tau={"fc1": (1.5, 2.0)}`, into checked, ordered genes."""

from __future__ import annotations

import dataclasses
import functools
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

from kspike import components
from kspike._registry import nearest, unknown
from kspike.components import KINDS, SINGLE_KINDS, Component
from kspike.config import SpikformerConfig

#: Fields with one value a network, and fields with one value a block, in the order that slots keep: words stand before
#: what depends on them.
NETWORK_FIELDS = ("stem", "neuron", "embed_dim", "depth", "timesteps", "stem_channels")
BLOCK_FIELDS = ("mixer", "mlp", "num_heads", "mlp_ratio", "tau", "v_threshold")
NEURON_FIELDS = ("tau", "v_threshold")
FIELDS = NETWORK_FIELDS + BLOCK_FIELDS
#: Fields whose choices are components, by the role of that name.
WORDS = ("stem", "neuron", "mixer", "mlp")
#: The stem that stem_channels, stem_pool and pool_after are settings of; the config has defaults with any other.
SETTABLE = "sps"
STEM_DEFAULTS = {
    field.name: field.default
    for field in dataclasses.fields(SpikformerConfig)
    if field.name in ("stem_channels", "stem_pool", "pool_after")
}
#: Fields whose choices are whole numbers.
WHOLE = ("embed_dim", "depth", "timesteps", "stem_channels", "num_heads")


@dataclasses.dataclass(frozen=True)
class Gene:
    """One thing that the search may choose, and the values it may take.

    Args:
        name: unique name: `"embed_dim"`, `"mlp_ratio"`, `"stem_channels.0"`, `"v_threshold.fc1"`, `"mixer"`.
        choices: the possible values without repetition: numbers ascending; words as given, each a component's name, or
            the component where its settings are not all defaults.
        scope: "network" (one value a network) or "block" (one value a block).
        field: the field of `SpikformerConfig` that the gene sets.
        kind: the neuron kind, where the gene is of one kind alone; None for a plain `tau` or `v_threshold`.
        stage: stage of the patch splitting (0, 1 or 2) for `stem_channels`, else None.
    """

    name: str
    choices: tuple[Any, ...]
    scope: str
    field: str
    kind: str | None = None
    stage: int | None = None

    @property
    def structural(self) -> bool:
        """Whether the gene shapes the whole network (depth, width, stem widths, T), as Auto-Spikformer divides them."""
        return self.field in NETWORK_FIELDS

    @property
    def word(self) -> bool:
        """Whether the choices are components; else they are numbers."""
        return self.field in WORDS

    @property
    def components(self) -> tuple[Any, ...]:
        """The choices of a word as objects."""
        return tuple(components.get(self.field, choice) for choice in self.choices)

    @functools.cached_property
    def labels(self) -> tuple[str, ...]:
        """The choices as text, for reports and for KerasTuner: `gate(bias=False)`, `2.5`."""
        if self.word:
            return tuple(component.label for component in self.components)
        return tuple(f"{choice:g}" for choice in self.choices)

    @property
    def plain(self) -> tuple[Any, ...]:
        """The choices as plain JSON values."""
        return tuple(components.describe(c) for c in self.choices) if self.word else self.choices

    def index(self, value: Any) -> int:
        """Position of a value among the choices; of a word its name, its object or what JSON has for it.

        Raises:
            ValueError: the value is not a choice.
        """
        if self.word and isinstance(value, (Component, Mapping)):
            value = components.get(self.field, value).word
        for i, choice in enumerate(self.choices):
            if choice == value:
                return i
        shown = value.label if isinstance(value, Component) else repr(value)
        known = self.labels if self.word else self.choices
        raise ValueError(f"{self.name} must be one of {list(known)}, got {shown}.")


@dataclasses.dataclass(frozen=True)
class Slot:
    """One position of a genome: a network gene, or a block gene in one block."""

    gene: Gene
    block: int | None
    cardinality: int

    @property
    def name(self) -> str:
        """Unique name of the position, `"embed_dim"` or `"mlp_ratio/2"` (also the KerasTuner hyperparameter's)."""
        return self.gene.name if self.block is None else f"{self.gene.name}/{self.block}"


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
    kept = sorted(int(float(v)) if whole else float(v) for v in listed)
    if len(set(kept)) != len(kept):
        raise ValueError(f"{name} lists a choice twice: {listed}; list each once.")
    return tuple(kept)


def words(values: Any, role: str) -> tuple[Any, ...]:
    """Checks the choices of a word and keeps their order; a name, an object or what JSON has for one is one choice."""
    one = isinstance(values, (str, Mapping, Component))
    if hasattr(values, "tolist"):  # a NumPy array
        values = values.tolist()
    if not one and not isinstance(values, Sequence):
        raise ValueError(f"{role} must be the name of a {role}, the object, or a tuple of them, got {values!r}.")
    kept = [components.get(role, value).word for value in ((values,) if one else values)]
    if not kept:
        raise ValueError(f"{role} has no choices; give at least one, or leave the gene out to keep the base's.")
    for i, choice in enumerate(kept):
        if choice in kept[:i]:
            label = components.get(role, choice).label
            raise ValueError(f"{role} lists a choice twice: {label}, under its name or as an object; list each once.")
    return tuple(kept)


def parse(genes: Mapping[str, Any], base: SpikformerConfig) -> tuple[Gene, ...]:
    """Turns the keyword arguments of a search space into genes, in one fixed order.

    Raises:
        ValueError: an unknown gene, component or neuron kind, or a neuron kind that no choice has.
    """
    for name in genes:
        if name not in FIELDS:
            raise unknown("gene", name, FIELDS)
    found: list[Gene] = []
    for field in FIELDS:
        if field in genes:
            found += _of_field(field, genes[field], genes, base)
    # network genes first: the stem's tau and threshold stand before all block genes
    return tuple(sorted(found, key=lambda gene: gene.scope != "network"))


def _of_field(field: str, spec: Any, genes: Mapping[str, Any], base: SpikformerConfig) -> list[Gene]:
    scope = "network" if field in NETWORK_FIELDS else "block"
    if field in WORDS:
        return [Gene(field, words(spec, field), scope, field)]
    if field == "stem_channels":
        if not isinstance(spec, Sequence) or len(spec) != 3:
            raise ValueError(f"stem_channels must be three tuples of choices, one a stage of the stem, got {spec!r}.")
        return [
            Gene(f"{field}.{i}", choices(c, f"{field}.{i}", True), scope, field, stage=i) for i, c in enumerate(spec)
        ]
    if field not in NEURON_FIELDS or not isinstance(spec, Mapping):
        return [Gene(field, choices(spec, field, field in WHOLE), scope, field)]
    present = _kinds(genes, base)
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
    ordered = [kind for kind in KINDS if kind in spec]
    return [
        Gene(
            f"{field}.{k}",
            choices(spec[k], f"{field}.{k}", False),
            "network" if k in SINGLE_KINDS else "block",
            field,
            k,
        )
        for k in ordered
    ]


def _kinds(genes: Mapping[str, Any], base: SpikformerConfig) -> tuple[str, ...]:
    """Neuron kinds that any network has."""
    found: set[str] = set()
    for role in ("stem", "mixer", "mlp"):
        chosen = words(genes[role], role) if role in genes else getattr(base, role)
        for choice in {chosen} if role == "stem" and role not in genes else set(chosen):
            component = components.get(role, choice)
            found |= component.kinds(stem_settings(base, component) if role == "stem" else base.network)
    return tuple(kind for kind in KINDS if kind in found)


def stem_settings(base: SpikformerConfig, stem: Any) -> dict[str, Any]:
    """The settings that a stem of a space may name: those of the config are `sps`'s, another stem has defaults."""
    own = base.stem_settings
    if stem.name == SETTABLE:
        return own
    return {name: STEM_DEFAULTS.get(name, value) for name, value in own.items()}


def reads(field: str, neuron: Any) -> bool:
    """Whether a neuron takes tau or v_threshold from its config for good: a learned tau only starts there."""
    return field in neuron.reads and not (field == "tau" and neuron.learns_tau)


def to_spec(genes: Sequence[Gene]) -> dict[str, Any]:
    """Writes genes back as the keyword arguments (plain lists and dicts) that `parse` reads."""
    spec: dict[str, Any] = {}
    for field in FIELDS:
        of_field = [gene for gene in genes if gene.field == field]
        if not of_field:
            continue
        if field == "stem_channels":
            spec[field] = [list(gene.choices) for gene in of_field]
        elif of_field[0].kind is None:
            spec[field] = list(of_field[0].plain)
        else:
            spec[field] = {gene.kind: list(gene.choices) for gene in of_field}
    return spec
