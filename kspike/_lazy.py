"""Imports a module of a package when one of its public names is first asked for."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any


def attributes(
    package: str, where: Mapping[str, str], names: Iterable[str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Gives a package's `__getattr__` and `__dir__`.

    Args:
        package: its `__name__`.
        where: public name -> the module below the package that holds it; a name that is its own module's is the module.
        names: all public names (`__all__`), those too that are there from the start.

    Example:
        >>> __getattr__, __dir__ = attributes(__name__, {"Tuner": "tuner"}, __all__)  # doctest: +SKIP
    """
    public = sorted(names)

    def get(name: str) -> Any:
        if name not in where:
            raise AttributeError(f"module {package!r} has no attribute {name!r}; public names: {', '.join(public)}")
        module = importlib.import_module(f"{package}.{where[name]}")
        value = module if where[name] == name else getattr(module, name)
        setattr(sys.modules[package], name, value)
        return value

    return get, lambda: public
