"""Families of published spiking transformers: how the tensors of each are named. A file is a family."""

from __future__ import annotations

import functools
import importlib
import pkgutil

from kspike._registry import unknown
from kspike.convert.families.family import Family


@functools.cache
def families() -> dict[str, Family]:
    """Name -> family, sorted by name."""
    found: dict[str, Family] = {}
    for module in pkgutil.iter_modules(__path__):
        made = vars(importlib.import_module(f"{__name__}.{module.name}"))
        found |= {each.name: each for each in made.values() if isinstance(each, Family)}
    return dict(sorted(found.items()))


def family_of(tensors: object, name: str | None) -> Family:
    """The family that a state dict is of, or the one that is named.

    Raises:
        ValueError: an unknown name, or names of tensors of no family, or of another than the one named.
    """
    known = families()
    if name is not None and name not in known:
        raise unknown("family", name, (*known, "spikformer"))
    fitting = [each for each in known.values() if each.recognised(tensors)]
    if name is not None:
        if known[name] not in fitting:
            other = f"; they are those of {fitting[0].name!r}" if fitting else ""
            raise ValueError(f"These tensors are not those of the family {name!r}, which has {known[name].has}{other}.")
        return known[name]
    if len(fitting) != 1:
        listed = "\n".join(f"  {each.name}: {each.has}" for each in known.values())
        raise ValueError(f"These tensors are of no known family; known ones have\n{listed}")
    return fitting[0]
