"""Tables of a network's layers: what each costs, and how many neurons it has. Nothing is built."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

from kspike.components.parts import Neuron, Pool
from kspike.config import SpikformerConfig
from kspike.cost.analytic.declared import Declared, Dimensions, updates
from kspike.cost.analytic.rows import NUMBERS, Row, rows
from kspike.cost.analytic.sizes import Sizes


def table(config: Any) -> tuple[Row, ...]:
    """Lists the cost of every layer of a network, in the order in which they run.

    Args:
        config: a `SpikformerConfig`, anything with `to_config()` (a `Genome`), or `Sizes`, whose rows then hold arrays.

    Returns:
        One `Row` a product, and one of kind "other" for a component that has parts but no product.

    Example:
        >>> import kspike
        >>> for row in kspike.cost.table(kspike.SpikformerConfig())[:2]:
        ...     print(row.name, row.macs, row.parameters)
        stem/conv_0 1327104 1392
        stem/conv_1 42467328 41664
    """
    if isinstance(config, Sizes):
        return tuple(rows(config))
    return ClosedForm(as_config(config)).rows


def _single(row: Row) -> Row:
    numbers: dict[str, Any] = {name: int(getattr(row, name)[0]) for name in NUMBERS}
    return dataclasses.replace(row, **numbers)


def as_config(config: Any) -> SpikformerConfig:
    """The config itself, of a genome, or of a model.

    Raises:
        ValueError: it is none of these.
    """
    if hasattr(config, "to_config"):
        config = config.to_config()
    elif not isinstance(config, SpikformerConfig):
        config = getattr(config, "config", config)
    if not isinstance(config, SpikformerConfig):
        raise ValueError(
            f"Expected a SpikformerConfig, a genome or a Spikformer, received {type(config).__name__}; for other "
            "models, kspike.cost.measure counts what really runs."
        )
    return config


def as_sizes(configs: Any) -> tuple[Sizes, bool]:
    """The sizes of one network or many, and whether it was one."""
    if isinstance(configs, Sizes):
        return configs, False
    if isinstance(configs, Sequence):
        return Sizes.of_configs([as_config(c) for c in configs]), False
    return Sizes.of_configs([as_config(configs)]), True


class ClosedForm:
    """One network in closed form; each answer is worked out once, for all who ask.

    Args:
        config: the architecture.
    """

    def __init__(self, config: SpikformerConfig) -> None:
        self.config = config
        self.sizes = Sizes.of_configs([config])

    @functools.cached_property
    def rows(self) -> tuple[Row, ...]:
        """As `table` gives them."""
        return tuple(_single(row) for row in rows(self.sizes))

    @functools.cached_property
    def components(self) -> tuple[tuple[str, Declared, Dimensions], ...]:
        """(path, declaration, sizes) of every component, in running order."""
        found = []
        for at in self.config.standing:
            declared = Declared.of(at.component.role, at.component, at.settings, at.grid)
            found.append((at.place.path, declared, Dimensions(at.sizes, declared.label)))
        return tuple(found)

    @functools.cached_property
    def neurons(self) -> dict[str, int]:
        """Path of every neuron layer -> how many neurons it has, one time step's updates."""
        return {
            f"{path}/{at.name}": updates(at, size)
            for path, declared, size in self.components
            for parts in declared.rows.values()
            for at in parts
            if isinstance(at.part, Neuron)
        }

    @functools.cached_property
    def pools(self) -> dict[str, list[tuple[int, str | None]]]:
        """Path of every row with pools -> of each pool, numbers that go into it, and whose spikes they are, or None."""
        found: dict[str, list[tuple[int, str | None]]] = {}
        for path, declared, size in self.components:
            known = dict(declared.parts)
            for row, parts in declared.rows.items():
                for at in parts:
                    if isinstance(at.part, Pool):
                        source = declared.source(at.name)
                        fires = source is not None and isinstance(known[source], Neuron)
                        pooled = size.times(at.part.channels, at.before)
                        found.setdefault(f"{path}/{row}", []).append((pooled, f"{path}/{source}" if fires else None))
        return found


def neuron_counts(config: Any) -> dict[str, int]:
    """`ClosedForm.neurons` of a config, a genome or a model."""
    return ClosedForm(as_config(config)).neurons


def pools(config: Any) -> dict[str, list[tuple[int, str | None]]]:
    """`ClosedForm.pools` of a config, a genome or a model."""
    return ClosedForm(as_config(config)).pools
