"""Imports a module of a package when one of its public names is first asked for."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any


def attributes(
    package: str,
    where: Mapping[str, str],
    names: Iterable[str],
    *,
    modules: bool = False,
    explain: Callable[[Exception], Exception] = lambda error: error,
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Gives a package's `__getattr__` and `__dir__`.

    Args:
        package: its `__name__`.
        where: public name -> the module below the package that holds it, "" for the package's own module of that name.
        names: all public names (`__all__`), those too that are there from the start.
        modules: whether the package's modules are found by attribute too, as if all were imported.
        explain: what failed while a module was imported -> what is raised instead.

    Example:
        >>> __getattr__, __dir__ = attributes(__name__, {"Tuner": "tuner"}, __all__)  # doctest: +SKIP
    """
    public = sorted(names)

    def get(name: str) -> Any:
        if name not in where and not (modules and _is_module(package, name)):
            raise AttributeError(f"module {package!r} has no attribute {name!r}; public names: {', '.join(public)}")
        holder = where.get(name, "")
        try:
            module = importlib.import_module(f"{package}.{holder or name}")
        except (ImportError, ValueError) as error:
            said = explain(error)
            if said is error:
                raise
            raise said from None  # its message says what to do; the chained traceback would hide it
        value = getattr(module, name) if holder else module
        setattr(sys.modules[package], name, value)
        return value

    return get, lambda: public


def _is_module(package: str, name: str) -> bool:
    return not name.startswith("_") and importlib.util.find_spec(f"{package}.{name}") is not None
