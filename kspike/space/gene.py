"""Genes and slots: what a search may choose, and the positions of a genome; which fields of a config are genes."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

from kspike import components
from kspike.components import BRANCHES, Component
from kspike.config import SpikformerConfig

#: Fields with one value a network or a stage, and fields with one value a block, in the order that slots keep: words
#: stand before what depends on them.
NETWORK_FIELDS = ("stem", "downsample", "head", "neuron", "embed_dim", "depth", "timesteps", "stem_channels")
BLOCK_FIELDS = (*BRANCHES, "num_heads", "mlp_ratio", "tau", "v_threshold")
NEURON_FIELDS = ("tau", "v_threshold")
FIELDS = NETWORK_FIELDS + BLOCK_FIELDS
#: Fields whose choices are components.
WORDS = ("stem", "downsample", "head", "neuron", *BRANCHES)
#: Fields that a network of several stages has one a stage, and those that a gene may set in one stage alone.
STAGED = ("embed_dim", "depth")
BY_STAGE = (*STAGED, "downsample", *BRANCHES, "num_heads", "mlp_ratio")
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
        name: unique name: `"embed_dim"`, `"mlp_ratio"`, `"stem_channels.0"`, `"v_threshold.fc1"`, `"mixer"`, and
            `"embed_dim.1"`, `"mixer.1"` of a stage.
        choices: the possible values without repetition: numbers ascending; words as given, each a component's name, or
            the component where its settings are not all defaults.
        scope: "network" (one value a network) or "block" (one value a block; of a stage, one in each of its blocks).
        field: the field of `SpikformerConfig` that the gene sets.
        kind: the neuron kind, where the gene is of one kind alone; None for a plain `tau` or `v_threshold`.
        stage: the stage of the network that the gene is of, for a downsampling the one that begins; None where it is of
            the whole network. For `stem_channels` the stage of the patch splitting (0, 1 or 2).
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
    def role(self) -> str:
        """What the choices of a word are to a network: "mixer" of "local" too."""
        return BRANCHES.get(self.field, self.field)

    @property
    def components(self) -> tuple[Any, ...]:
        """The choices of a word as objects."""
        return tuple(components.get(self.role, choice) for choice in self.choices)

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
            value = components.get(self.role, value).word
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


def stem_settings(base: SpikformerConfig, stem: Any) -> dict[str, Any]:
    """The settings that a stem of a space may name: those of the config are `sps`'s, another stem has defaults."""
    own = base.stem_settings
    if stem.name == SETTABLE:
        return own
    return {name: STEM_DEFAULTS.get(name, value) for name, value in own.items()}


def reads(field: str, neuron: Any) -> bool:
    """Whether a neuron takes tau or v_threshold from its config for good: a learned tau only starts there."""
    return field in neuron.reads and not (field == "tau" and neuron.learns_tau)


def settings_of(base: SpikformerConfig, component: Any) -> Mapping[str, Any]:
    """The settings of a space's networks that a component (any but a neuron) may name."""
    if component.role == "stem":
        return stem_settings(base, component)
    return base.settings_of(component.role)
