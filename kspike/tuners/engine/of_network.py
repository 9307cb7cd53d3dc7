"""Numbers that a plain function gives of one network's config: memory, and whatever a user bounds or ranks by."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, TypeVar

from kspike import cost
from kspike._registry import Registry
from kspike.config import SpikformerConfig

#: A number of a network that follows from its config alone.
OfNetwork = Callable[[SpikformerConfig], float]
F = TypeVar("F", bound=Callable[..., Any])
#: Networks whose numbers are kept, of all functions together.
KEPT = 65_536


def name_of(function: Callable[..., Any], what: str) -> str:
    """The name of a plain function, which tells one project from another.

    Raises:
        ValueError: it has none of its own: a lambda, a partial.
    """
    name = getattr(function, "__name__", "")
    if not name.isidentifier():
        raise ValueError(
            f"A {what} that is a plain function goes by its name; {function!r} has none: write it with def."
        )
    return name


@functools.lru_cache(maxsize=KEPT)
def number(function: OfNetwork, config: SpikformerConfig) -> float:
    """What a function says of a network, asked once for each.

    Raises:
        ValueError: it returned no number.
    """
    found = function(config)
    if isinstance(found, bool) or not hasattr(found, "__float__"):
        raise ValueError(
            f"{getattr(function, '__name__', function)} must return a number for a SpikformerConfig; it returned "
            f"{found!r}."
        )
    value = float(found)
    return math.nan if math.isinf(value) else value


#: What constraints know by name, beside what whole populations are counted by.
REGISTRY: Registry[OfNetwork] = Registry("constraint", more="; kspike.tuners.constraints.register adds one")
REGISTRY.add("memory_mb", cost.memory_mb)
