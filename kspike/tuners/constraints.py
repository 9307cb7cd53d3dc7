"""Constraints of one's own by name: functions of a network's config."""

from __future__ import annotations

from kspike.tuners.engine.constraints import EXACT, MEASURED
from kspike.tuners.engine.of_network import REGISTRY, F, name_of

__all__ = ["names", "register"]


def register(function: F, *, replace: bool = False) -> F:
    """Makes a function of a `SpikformerConfig` known by its name: `constraints={name: (lower, upper)}` finds it.

    As a decorator, or called. The command line and JSON need a name; in Python the function itself is a key as well.

    Args:
        function: takes a `SpikformerConfig`, returns a number. The same config has to give the same number.
        replace: whether it may take a name that another function has.

    Returns:
        The function.

    Raises:
        ValueError: it is none, it has no name of its own (a lambda), or results or another function have its name.

    Example:
        >>> from kspike.tuners import constraints
        >>> @constraints.register
        ... def widest_hidden(config):
        ...     return max(config.hidden_dims)
        >>> "widest_hidden" in constraints.names()
        True
    """
    if callable(function):
        REGISTRY.add(name_of(function, "constraint"), function, replace=replace)
        return function
    raise ValueError(f"A constraint of your own is a function of a SpikformerConfig, got {function!r}.")


def names() -> list[str]:
    """Names of everything that can be bounded."""
    return [*EXACT, *REGISTRY, *MEASURED]
