"""Rewrites the library's error messages, which name Python arguments, as command options: resume=False -> --restart.

The library writes its advice for Python, `name=value`. If the command that ran has an option of that name, the option
replaces it; where names differ, `OPTIONS` maps them. If only another command has the option, that command is named.
Anything else stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import typer

#: Arguments of the library (with a value if only that one is meant) -> the option, or other advice (`search` removes no
#: project).
OPTIONS = {
    "resume=False": "--restart",
    "overwrite=True": "an empty folder",
    "download=True": "--download",
    "unreadable='skip'": "--skip-unreadable",
    "project_name": "--project",
    "population_size": "--population",
    "max_trials": "--trials",
}
#: Options of another command that a message may mean -> that command.
OTHER_COMMANDS = {"--restart": "train"}
_VALUE = r"""'[^']*'|"[^"]*"|\([^()]*\)|\[[^\]]*\]|True|False|None|-?\d[\w.+-]*(?<!\.)"""
#: A call is Python as a whole, as Augmentation(flip=0.5): nothing of it is an option. Dotted names are fields.
_ADVICE = re.compile(rf"\w+\([^()]*=[^()]*\)|(?<![\w.])(?P<name>[a-z][a-z_]*)=(?!=|\.)(?P<value>{_VALUE})?")


class Command(typer.core.TyperCommand):
    """A command that records itself in the context, for its error messages."""

    def invoke(self, ctx: Any) -> Any:
        ctx.meta[__name__] = self
        return super().invoke(ctx)


def command_of(ctx: Any) -> Any:
    """The command that ran under a group's context; None where none did."""
    return ctx.meta.get(__name__)


def in_options(text: str, command: Any) -> str:
    """A message of the library -> the same with the options of `command`, a click command; None leaves it as it is."""
    if command is None:
        return text
    options = {option: parameter for parameter in command.params for option in parameter.opts}

    def said(found: re.Match) -> str:
        name, value = found["name"], found["value"]
        if name is None:
            return found[0]
        option = OPTIONS.get(f"{name}={value}") or OPTIONS.get(name) or f"--{name.replace('_', '-')}"
        if not option.startswith("--"):
            return option
        parameter = options.get(option)
        if parameter is None:
            return f"kspike {OTHER_COMMANDS[option]} {option}" if option in OTHER_COMMANDS else found[0]
        if f"{name}={value}" in OPTIONS or value is None or (parameter.is_flag and value == "True"):
            return option
        if parameter.is_flag or value == "None":
            return f"no {option}"
        return f"{option} {_unquoted(value)}"

    return _words(_ADVICE.sub(said, text), options)


def _words(text: str, options: Iterable[str]) -> str:
    """Arguments named without a value: "another project_name"."""
    for argument, option in OPTIONS.items():
        if "=" not in argument and option in options:
            text = re.sub(rf"(?<![\w.'\"-]){argument}(?![\w'\"=(])", option, text)
    return text


def _unquoted(value: str) -> str:
    inner = value[1:-1]
    return inner if value[0] in "'\"" and inner and not re.search(r"\s", inner) else value
