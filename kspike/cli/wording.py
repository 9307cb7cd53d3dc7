"""Says in a command's options what the library's messages say in Python's arguments: resume=False is --restart here.

The library writes its advice for Python, `name=value`. Where the command that ran has an option of that name, the
option is meant; where option and argument differ, `OPTIONS` says which is which. Where another command has it, that is
named. Anything else stays as it was written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import typer

#: Arguments of the library, with the value where it is one alone, and the command line's word for each: an option, or
#: what else is done here (`search` removes no project).
OPTIONS = {
    "resume=False": "--restart",
    "overwrite=True": "an empty folder",
    "download=True": "--download",
    "project_name": "--project",
    "population_size": "--population",
    "max_trials": "--trials",
}
#: Options that a message of another command's may mean, and the command that has them.
ELSEWHERE = {"--restart": "train"}
_VALUE = r"""'[^']*'|"[^"]*"|\([^()]*\)|\[[^\]]*\]|True|False|None|-?\d[\w.+-]*(?<!\.)"""
#: A call is Python as a whole, as Augmentation(flip=0.5): nothing of it is an option. Dotted names are fields.
_ADVICE = re.compile(rf"\w+\([^()]*=[^()]*\)|(?<![\w.])(?P<name>[a-z][a-z_]*)=(?!=|\.)(?P<value>{_VALUE})?")


class Command(typer.core.TyperCommand):
    """A command that is remembered where its errors are said."""

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
            return f"kspike {ELSEWHERE[option]} {option}" if option in ELSEWHERE else found[0]
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
