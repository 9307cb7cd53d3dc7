"""Parameters and operations of a config as one number, by named countings; whole populations at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kspike._registry import unknown
from kspike.cost.analytic.rows import Row, terms
from kspike.cost.analytic.sizes import Sizes
from kspike.cost.analytic.table import as_sizes

#: Networks counted at a time: their numbers then stay in the processor's cache (half the time of all at once).
CHUNK = 4096

#: Counting -> what it counts, per image over all time steps; a multiply-accumulate is one operation in both.
COUNTINGS = {
    "syops": "AutoST's fitness, as the syops counter sees AutoST's model: products, 2 for a normalised number, 1 for "
    "a neuron update, 1 for a number into a max-pool, times T; the head once. Attention's products and all biases are "
    "left out.",
    "full": "syops' and everything it leaves out: attention's two products and its scaling, biases, residual sums, "
    "the averages over tokens and time before the head.",
}


def parameters(config: Any) -> Any:
    """Counts the trainable parameters of `Spikformer(config)` without building it.

    The moving statistics of the normalisation, which `count_params` adds, are not trained and not counted.

    Args:
        config: a `SpikformerConfig`, a genome, or many: a list of them, or `Sizes`.

    Returns:
        An int, or an int64 array for many.

    Example:
        >>> import kspike
        >>> kspike.cost.parameters(kspike.SpikformerConfig())
        9324730
    """
    return _summed(config, lambda row: row.parameters)


def flops(config: Any, counting: str = "syops") -> Any:
    """Counts the operations of one image over all time steps, dense, without building the network.

    `COUNTINGS` says what each counting takes in; a multiply-accumulate is one operation in all of them.

    Args:
        config: a `SpikformerConfig`, a genome, or many: a list of them, or `Sizes`.
        counting: "syops" or "full".

    Returns:
        An int, or an int64 array for many.

    Raises:
        ValueError: an unknown counting.

    Example:
        >>> import kspike
        >>> kspike.cost.flops(kspike.SpikformerConfig(), counting="syops")
        3703607040
    """
    if counting not in COUNTINGS:
        raise unknown("counting", counting, COUNTINGS)
    return _summed(config, lambda row: row.flops(counting))


def _summed(config: Any, count: Callable[[Row], np.ndarray]) -> Any:
    sizes, single = as_sizes(config)
    totals = summed(sizes, count)
    return int(totals[0]) if single else totals


def summed(sizes: Sizes, count: Callable[[Row], Any]) -> np.ndarray:
    """Adds up over the rows of every network what is counted of each, int64 `(n,)`."""
    totals = np.zeros(len(sizes), np.int64)
    for start in range(0, len(sizes), CHUNK):
        part = slice(start, start + CHUNK)
        for row, there in terms(sizes[part]):
            totals[part] += count(row) * there
    return totals
