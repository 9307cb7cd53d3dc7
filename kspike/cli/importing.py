"""--import MODULE, an option of every command: imports a module of the user's, which registers components."""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Iterable
from typing import Annotated

import typer

from kspike import _start

_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


def import_all(names: Iterable[str]) -> None:
    """Imports modules by name, from the Python path or the working folder.

    Raises:
        ValueError: one that is no module's name, cannot be found, or fails while it is imported.
        ImportError: a backend is missing, whatever imported it.
    """
    for name in names:
        if not _NAME.fullmatch(name) or name.endswith(".py"):
            meant = re.sub(r"[/\\]", ".", name.removesuffix(".py")).strip(".")
            example = f": --import {meant}" if _NAME.fullmatch(meant) else ""
            raise ValueError(f"--import {name}: expected the name of a module, not a path{example}.")
        if os.getcwd() not in (os.path.abspath(entry) for entry in sys.path):
            sys.path.append(os.getcwd())  # last: no file that lies there takes the place of an installed module
        try:
            importlib.import_module(name)
        except Exception as error:  # a user's module may raise anything
            said = _start.explained(error)
            if said is not error:
                raise said from error
            why = f"{type(error).__name__}: {error}"
            if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
                why = f"there is no module {error.name!r} on the Python path, nor in this folder, {os.getcwd()}"
            raise ValueError(f"--import {name}: the module cannot be imported: {why}.") from error


def _callback(names: list[str] | None) -> list[str] | None:
    import_all(names or ())
    return names


#: Run before all other options: they may name what it registers.
Modules = Annotated[
    list[str] | None,
    typer.Option(
        "--import",
        metavar="MODULE",
        help="Import this module first: components of your own, which it registers. May be repeated.",
        is_eager=True,
        callback=_callback,
        show_default=False,
    ),
]
