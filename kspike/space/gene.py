"""Genes: turns what a user writes, `embed_dim=(32, 48)` or `tau={"fc1": (1.5, 2.0)}`, into checked, ordered genes."""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

from kspike import components
from kspike._registry import nearest, unknown
from kspike.components import BLOCK_KINDS, KINDS

#: Fields with one value a network, and fields with one value a block, in the order that slots keep.
NETWORK_FIELDS = ("embed_dim", "depth", "timesteps", "stem_channels")
BLOCK_FIELDS = ("num_heads", "mlp_ratio", "tau", "v_threshold")
NEURON_FIELDS = ("tau", "v_threshold")
FIELDS = NETWORK_FIELDS + BLOCK_FIELDS
#: Fields whose choices are whole numbers.
WHOLE = ("embed_dim", "depth", "timesteps", "stem_channels", "num_heads")


@dataclasses.dataclass(frozen=True)
class Gene:
    """One thing that the search may choose, and the values it may take.

    Args:
        name: unique name: `"embed_dim"`, `"mlp_ratio"`, `"stem_channels.0"`, `"v_threshold.fc1"`.
        choices: the possible values, ascending, without repetition.
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

    def index(self, value: Any) -> int:
        """Position of a value among the choices.

        Raises:
            ValueError: the value is not a choice.
        """
        for i, choice in enumerate(self.choices):
            if choice == value:
                return i
        raise ValueError(f"{self.name} must be one of {list(self.choices)}, got {value!r}.")


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


def parse(genes: Mapping[str, Any], residual: str) -> tuple[Gene, ...]:
    """Turns the keyword arguments of a search space into genes, in one fixed order.

    Raises:
        ValueError: an unknown gene or neuron kind, or a neuron kind that the shortcut does not have.
    """
    for name in genes:
        if name not in FIELDS:
            raise unknown("gene", name, FIELDS)
    found: list[Gene] = []
    for field in FIELDS:
        if field in genes:
            found += _of_field(field, genes[field], residual)
    # network genes first: the stem's tau and threshold stand before all block genes
    return tuple(sorted(found, key=lambda gene: gene.scope != "network"))


def _of_field(field: str, spec: Any, residual: str) -> list[Gene]:
    scope = "network" if field in NETWORK_FIELDS else "block"
    if field == "stem_channels":
        if not isinstance(spec, Sequence) or len(spec) != 3:
            raise ValueError(f"stem_channels must be three tuples of choices, one a stage of the stem, got {spec!r}.")
        return [
            Gene(f"{field}.{i}", choices(c, f"{field}.{i}", True), scope, field, stage=i) for i, c in enumerate(spec)
        ]
    if field not in NEURON_FIELDS or not isinstance(spec, Mapping):
        return [Gene(field, choices(spec, field, field in WHOLE), scope, field)]
    network = {"residual": residual, "scale": 0.125, "qkv_bias": True, "proj_bias": True, "mlp_bias": True}
    here = components.get("mixer", "ssa").kinds(network) | components.get("mlp", "spiking").kinds(network)
    present = ("stem", *(kind for kind in BLOCK_KINDS if kind in here))
    for kind in spec:
        if kind not in KINDS:
            raise ValueError(f"{field}: unknown neuron kind {kind!r}{nearest(kind, KINDS)}; known: {', '.join(KINDS)}.")
        if kind not in present:
            raise ValueError(
                f"{field}: residual={residual!r} has no neuron of kind {kind!r}, so the gene could not act; "
                f"known here: {', '.join(present)}."
            )
    if not spec:
        raise ValueError(f"{field} names no neuron kind; give choices for at least one of {', '.join(present)}.")
    ordered = [kind for kind in ("stem", *BLOCK_KINDS) if kind in spec]
    return [
        Gene(f"{field}.{k}", choices(spec[k], f"{field}.{k}", False), "network" if k == "stem" else "block", field, k)
        for k in ordered
    ]


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
            spec[field] = list(of_field[0].choices)
        else:
            spec[field] = {gene.kind: list(gene.choices) for gene in of_field}
    return spec
