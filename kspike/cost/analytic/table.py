"""Tables of a network's layers: what each costs, and how many neurons it has. Nothing is built."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from kspike.config import SpikformerConfig
from kspike.cost.analytic.rows import NUMBERS, Row, rows
from kspike.cost.analytic.sizes import Sizes


def table(config: Any) -> tuple[Row, ...]:
    """Lists the cost of every layer of a network, in the order in which they run.

    Args:
        config: a `SpikformerConfig`, anything with `to_config()` (a `Genome`), or `Sizes`, whose rows then hold arrays.

    Returns:
        One `Row` a product.

    Example:
        >>> import kspike
        >>> for row in kspike.cost.table(kspike.SpikformerConfig())[:2]:
        ...     print(row.name, row.macs, row.parameters)
        stem/conv_0 1327104 1392
        stem/conv_1 42467328 41664
    """
    if isinstance(config, Sizes):
        return tuple(rows(config))
    sizes = Sizes.of_configs([as_config(config)])
    return tuple(_single(row) for row in rows(sizes))


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


def neuron_counts(config: Any) -> dict[str, int]:
    """Path of every neuron layer of a network -> how many neurons it has, one time step's updates."""
    config = as_config(config)
    membrane = config.residual == "membrane"
    sizes = (*config.stage_sizes, config.grid)
    stages = zip(config.stage_channels, sizes[1:] if config.pool_after == "norm" else sizes[:4], strict=True)
    counts = {f"stem/neuron_{i}": c * h * w for i, (c, (h, w)) in enumerate(stages) if i < 3 or not membrane}
    stream = config.tokens * config.embed_dim
    if not membrane:
        counts["stem/rpe_neuron"] = stream
    for block, hidden in enumerate(config.hidden_dims):
        attention, mlp = f"block_{block}/attention", f"block_{block}/mlp"
        counts |= {f"{attention}/input_neuron": stream} if membrane else {}
        counts |= {f"{attention}/qkv_neuron": 3 * stream, f"{attention}/attention_neuron": stream}
        counts |= {f"{mlp}/input_neuron": stream} if membrane else {f"{attention}/proj_neuron": stream}
        counts |= {f"{mlp}/fc1_neuron": config.tokens * hidden}
        counts |= {} if membrane else {f"{mlp}/fc2_neuron": stream}
    return counts
