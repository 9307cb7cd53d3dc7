"""Settings of components that are True or False, checked."""

from __future__ import annotations

from typing import Any


def check_flags(component: Any, *names: str) -> None:
    """Refuses a setting of these names that is neither True nor False, by ValueError."""
    for name in names:
        value = getattr(component, name)
        if not isinstance(value, bool):
            raise ValueError(f"{name} of the {component.role} {component.name!r} must be True or False, got {value!r}.")


def one_form(component: Any, *names: str) -> None:
    """Refuses flags of which more than one is True: each names another form of the component.

    Raises:
        ValueError: that, or a flag that is neither True nor False.
    """
    check_flags(component, *names)
    chosen = [name for name in names if getattr(component, name)]
    if len(chosen) > 1:
        raise ValueError(
            f"{component.role} {component.name!r}: {' and '.join(chosen)} are forms of their own; give one of them."
        )
