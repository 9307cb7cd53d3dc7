"""Configs and processes: what another process must import before it can read one, and whether this one can."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from kspike.components import registry
from kspike.components.base import BRANCHES, ROLES


def of_config(config: Any) -> list[Any]:
    """Every component of a config, and its surrogate, as objects."""
    return [*(at.component for at in config.standing), config.neuron_component, config.surrogate]


def modules(things: Iterable[Any]) -> tuple[str, ...]:
    """Names of the modules whose import registers these components, kspike's own left out; sorted.

    Raises:
        ValueError: one lies in the script that runs, or in no module that another process could import.
    """
    found = set()
    for cls in {type(thing) for thing in things}:
        name = cls.__module__
        if name.partition(".")[0] == "kspike":
            continue
        known = getattr(cls, "name", "") or cls.__name__
        what = f"{getattr(cls, 'role', 'surrogate')} {known!r} ({cls.__qualname__})"
        if name == "__main__":
            raise ValueError(
                f"The {what} is defined in the script that runs (__main__), which another process cannot import: move "
                "the class into a module, and import it from there."
            )
        if "<locals>" in cls.__qualname__:
            raise ValueError(
                f"The {what} is made inside a function of {name}, where importing the module does not register it: "
                "move the class to the top of a module."
            )
        if not _findable(name):
            raise ValueError(
                f"The module {name!r} of the {what} cannot be found by another process: put it into a file on the "
                "Python path (PYTHONPATH, or a package that is installed)."
            )
        found.add(name)
    return tuple(sorted(found))


def check_known(raw: Mapping[str, Any], what: str) -> None:
    """Checks that this process knows every component that a config as JSON names; imports nothing that it says.

    Raises:
        ValueError: it does not: which one, of which role, and what to do.
    """
    for field, role in {**{role: role for role in ROLES}, **BRANCHES}.items():
        words = raw.get(field)
        for word in words if isinstance(words, list) else [words]:
            name = word.get("name") if isinstance(word, Mapping) else word
            if isinstance(name, str):
                try:
                    registry.get(role, name)
                except ValueError as error:
                    needs = f"{what} needs the {role} {name!r}, which is not registered here."
                    raise ValueError(f"{needs} {error}") from None


def path() -> str:
    """This process's module search path, as PYTHONPATH for another one."""
    return os.pathsep.join(os.path.abspath(entry) for entry in sys.path)


def _findable(name: str) -> bool:
    """Whether a fresh process with this process's path would import this very module: sys.modules is not asked."""
    search: Any = None
    spec = None
    whole = ""
    for part in name.split("."):
        whole = f"{whole}.{part}" if whole else part
        finders = (getattr(finder, "find_spec", None) for finder in sys.meta_path)
        spec = next((found for find in finders if find and (found := find(whole, search)) is not None), None)
        if spec is None:
            return False
        search = spec.submodule_search_locations
    here = getattr(sys.modules.get(name), "__file__", None)
    origin = spec.origin if spec is not None else None
    return here is None or origin is None or os.path.realpath(here) == os.path.realpath(origin)
