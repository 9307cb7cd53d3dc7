"""Finds components by role and name; those of kspike are the files beside it, found as they lie there."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from kspike._registry import Registry, nearest, unknown
from kspike.components.base import ROLES, Component, check_declaration

C = TypeVar("C", bound=type)

_OWN = __name__.rpartition(".")[0]
#: Role -> the folder that holds kspike's own.
FOLDERS = {
    "stem": "stems", "downsample": "downsamples", "mixer": "mixers", "mlp": "mlps", "head": "heads",
    "neuron": "neurons",
}  # fmt: skip
_REGISTRY: dict[str, Registry[type]] = {
    role: Registry(
        role,
        more=f". A {role} of your own is known once its module is imported, which registers it (on the command line: "
        "--import MODULE)",
    )
    for role in ROLES
}
#: (role, name) -> the component with all its settings at their defaults: frozen, so that one serves all.
_DEFAULTS: dict[tuple[str, str], Any] = {}


def register(role: str, name: str) -> Callable[[C], C]:
    """Makes a component known by role and name: what configs, genes and files say.

    Args:
        role: "stem", "downsample", "mixer", "mlp", "head" or "neuron".
        name: letters, digits and "_".

    Raises:
        ValueError: an unknown role, a class of another role, a name that another class has, or parts that no reader
            could read.

    Example: see docs/components.md.
    """
    if role not in ROLES:
        raise unknown("role", role, ROLES)
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"A {role} is named by letters, digits and '_', got {name!r}.")

    def put(cls: C) -> C:
        if not (isinstance(cls, type) and issubclass(cls, Component)) or cls.role != role:
            raise ValueError(
                f"register({role!r}, {name!r}) expects a subclass of kspike.components.{_base(role)}, got {cls!r}."
            )
        if not cls.__module__.startswith(f"{_OWN}."):
            _load(role)  # kspike's own keep their names, whoever comes first
        known = _REGISTRY[role].get(name)
        again = known is not None and _place(known) == _place(cls)  # the same file, run again (a notebook's cell)
        if known is None or again:
            cls.name = name
            check_declaration(cls)
        _REGISTRY[role].add(name, cls, replace=again)
        _DEFAULTS.pop((role, name), None)
        return cls

    return put


def _base(role: str) -> str:
    return {"mlp": "MLP"}.get(role, role.capitalize())


def _place(cls: type) -> tuple[str, str]:
    return cls.__module__, cls.__qualname__


@functools.cache
def _load(role: str) -> None:
    folder = importlib.import_module(f"{_OWN}.{FOLDERS[role]}")
    for module in pkgutil.iter_modules(folder.__path__):
        importlib.import_module(f"{folder.__name__}.{module.name}")


def names(role: str) -> list[str]:
    """Names of all components of a role, sorted.

    Example:
        >>> {"identity", "ssa", "token_qk"} <= set(names("mixer"))
        True
    """
    if role not in ROLES:
        raise unknown("role", role, ROLES)
    _load(role)
    return sorted(_REGISTRY[role])


def get(role: str, value: Any) -> Any:
    """The component that a config, a gene or a file says: a name, `{"name": ..., settings}`, or the object itself.

    Raises:
        ValueError: an unknown name, a setting it does not have, or a component of another role.

    Example:
        >>> get("stem", {"name": "single_conv", "stride": 4}).label
        'single_conv(stride=4)'
    """
    if isinstance(value, Component):
        if value.role != role:
            raise ValueError(f"{role} expects a {role}, got the {value.role} {value.label}.")
        if not type(value).name or _REGISTRY[role].get(type(value).name) is not type(value):
            raise ValueError(
                f"{type(value).__name__} is not registered: put @kspike.components.register({role!r}, name) on it."
            )
        return value
    settings: dict[str, Any] = {}
    if isinstance(value, Mapping):
        settings = dict(value)
        if "name" not in settings:
            several = "" if role in ("stem", "head", "neuron") else "; of several, one a stage or a block, give a tuple"
            raise ValueError(
                f"A {role} given as a mapping is its name and settings, {{'name': {names(role)[0]!r}, ...}}; got no "
                f"'name' among the keys {list(settings)[:8]}{several}."
            )
        value = settings.pop("name")
    if not settings and isinstance(value, str) and (role, value) in _DEFAULTS:
        return _DEFAULTS[role, value]
    _load(role)
    cls = _REGISTRY[role].find(value)
    fields = [field.name for field in dataclasses.fields(cls)]
    for name in settings:
        if name not in fields:
            has = f"it has: {', '.join(fields)}" if fields else "it has none"
            raise ValueError(f"{role} {value!r} has no setting {name!r}{nearest(name, fields)}; {has}.")
    made = cls(**{name: tuple(v) if isinstance(v, list) else v for name, v in settings.items()})
    if not settings:
        _DEFAULTS[role, value] = made
    return made


def describe(component: Component | str) -> Any:
    """A component as plain JSON: its name, or `{"name": ..., settings}`; `get` reads it back.

    Example:
        >>> describe(get("stem", {"name": "single_conv", "kernel": 3, "stride": 4}))
        {'name': 'single_conv', 'stride': 4}
    """
    if isinstance(component, str):
        return component
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in component.settings.items()}
    return {"name": component.name, **plain} if plain else component.name
